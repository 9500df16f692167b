//===- Random.h - Threefry-2x32, as the ops and the data loader use it ----===//
//
// J. Salmon, M. Moraes, R. Dror, D. Shaw: "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011; rotations and constant of Threefry-2x32, 20 rounds.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_RANDOM_H
#define GRADUS_RANDOM_H

#include <cmath>
#include <cstdint>
#include <utility>

namespace gradus::random {

using Bits = std::pair<uint32_t, uint32_t>;

constexpr unsigned rotations[] = {13, 15, 26, 6, 17, 29, 16, 24};
constexpr uint32_t parity = 0x1BD11BDA;

/// The two words of element `index` of a stream under a seed. The key is the
/// seed's two halves, the stream added to the upper one; the counter is the
/// index.
inline Bits threefry2x32(uint64_t seed, uint64_t stream, uint64_t index) {
  auto k0 = static_cast<uint32_t>(seed);
  auto k1 = static_cast<uint32_t>(seed >> 32) + static_cast<uint32_t>(stream);
  uint32_t keys[] = {k0, k1, k0 ^ k1 ^ parity};
  uint32_t a = static_cast<uint32_t>(index) + k0;
  uint32_t b = static_cast<uint32_t>(index >> 32) + k1;
  for (uint32_t group = 0; group < 5; ++group) {
    for (unsigned i = 0; i < 4; ++i) {
      unsigned r = rotations[(group % 2) * 4 + i];
      a += b;
      b = ((b << r) | (b >> (32 - r))) ^ a;
    }
    a += keys[(group + 1) % 3];
    b += keys[(group + 2) % 3] + group + 1;
  }
  return {a, b};
}

/// [0, 1) in steps of 2^-24, which f32 holds exactly.
inline double uniform(Bits bits) { return (bits.first >> 8) * 0x1p-24; }
/// Box and Muller 1958; the first uniform is shifted into (0, 1].
inline double normal(Bits bits) {
  double radius =
      std::sqrt(-2 * std::log((bits.first >> 8) * 0x1p-24 + 0x1p-24));
  return radius * std::cos(2 * M_PI * ((bits.second >> 8) * 0x1p-24));
}

} // namespace gradus::random

#endif // GRADUS_RANDOM_H
