//===- SmallFloat.h - floats of 16 and 19 bits ------------------*- C++ -*-===//

#ifndef GRADUS_PTX_SMALLFLOAT_H
#define GRADUS_PTX_SMALLFLOAT_H

#include <bit>
#include <cmath>
#include <cstdint>

namespace ptx {

inline float fromBf16(uint16_t bits) {
  return std::bit_cast<float>(uint32_t(bits) << 16);
}
/// To the nearest, ties to even; NaN stays NaN.
inline uint16_t toBf16(float v) {
  auto bits = std::bit_cast<uint32_t>(v);
  if (std::isnan(v))
    return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float fromF16(uint16_t bits) {
  return float(std::bit_cast<_Float16>(bits));
}
inline uint16_t toF16(float v) { return std::bit_cast<uint16_t>(_Float16(v)); }

/// What a tensor core reads of a word: the lowest 13 bits are cut off.
inline float fromTf32(uint32_t bits) {
  return std::bit_cast<float>(bits & 0xffffe000);
}
/// cvt.rna.tf32.f32: to the nearest, ties away from zero.
inline uint32_t toTf32(float v) {
  auto bits = std::bit_cast<uint32_t>(v);
  return std::isfinite(v) ? (bits + 0x1000) & 0xffffe000 : bits;
}

} // namespace ptx

#endif // GRADUS_PTX_SMALLFLOAT_H
