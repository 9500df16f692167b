//===- Conversions.cpp - cvt and cvta -------------------------------------===//

#include "Handlers.h"
#include "Machine.h"
#include "SmallFloat.h"
#include <cmath>

using namespace ptx;

/// A type's letter and bits, "s32" -> {'s', 32}.
struct Kind {
  char letter;
  int bits;
};
static Kind kindOf(const std::string &type) {
  if (type == "bf16")
    return {'B', 16};
  if (type == "tf32")
    return {'T', 32};
  return {type[0], std::stoi(type.substr(1))};
}

static double readFloat(const Warp &w, int reg, int lane, Kind k) {
  if (k.letter == 'B')
    return fromBf16(w.get<uint16_t>(reg, lane));
  if (k.bits == 16)
    return fromF16(w.get<uint16_t>(reg, lane));
  return k.bits == 32 ? double(w.get<float>(reg, lane))
                      : w.get<double>(reg, lane);
}
static void writeFloat(Warp &w, int reg, int lane, Kind k, double v) {
  if (k.letter == 'B')
    w.set(reg, lane, toBf16(float(v)));
  else if (k.letter == 'T')
    w.set(reg, lane, toTf32(float(v)));
  else if (k.bits == 16)
    w.set(reg, lane, toF16(float(v)));
  else if (k.bits == 32)
    w.set(reg, lane, float(v));
  else
    w.set(reg, lane, v);
}
static __int128 readInteger(const Warp &w, int reg, int lane, Kind k) {
  auto v = w.get<uint64_t>(reg, lane);
  int shift = 64 - k.bits;
  if (k.letter == 's')
    return __int128(int64_t(v << shift) >> shift);
  return __int128((v << shift) >> shift);
}

static bool isFloat(Kind k) {
  return k.letter == 'f' || k.letter == 'B' || k.letter == 'T';
}

static double roundedBy(const Instruction &i, double v) {
  if (i.has("rni"))
    return std::nearbyint(v);
  if (i.has("rzi"))
    return std::trunc(v);
  if (i.has("rmi"))
    return std::floor(v);
  if (i.has("rpi"))
    return std::ceil(v);
  return v;
}

static void convert(Warp &w, const Instruction &i, uint32_t lanes) {
  Kind to = kindOf(i.opcode[i.opcode.size() - 2]),
       from = kindOf(i.opcode.back());
  eachLane(lanes, [&](int l) {
    if (isFloat(from)) {
      double v = roundedBy(i, readFloat(w, i.ins[0], l, from));
      if (isFloat(to))
        return writeFloat(w, i.outs[0], l, to, v);
      // Beyond the type's range: its ends; NaN is 0.
      double low = to.letter == 's' ? -std::ldexp(1, to.bits - 1) : 0,
             high = std::ldexp(1, to.letter == 's' ? to.bits - 1 : to.bits);
      __int128 n = std::isnan(v) ? 0
                   : v <= low    ? __int128(low)
                   : v >= high   ? __int128(high) - 1
                                 : __int128(v);
      uint64_t mask =
          to.bits == 64 ? ~uint64_t(0) : (uint64_t(1) << to.bits) - 1;
      return w.set(i.outs[0], l, uint64_t(n) & mask);
    }
    __int128 v = readInteger(w, i.ins[0], l, from);
    if (isFloat(to) && to.bits == 32) // not by way of double: rounded once
      return w.set(i.outs[0], l, float(v));
    if (isFloat(to))
      return writeFloat(w, i.outs[0], l, to, double(v));
    uint64_t mask = to.bits == 64 ? ~uint64_t(0) : (uint64_t(1) << to.bits) - 1;
    w.set(i.outs[0], l, uint64_t(v) & mask);
  });
}

/// `cvt.rn.bf16x2.f32 d, a, b`: a above, b below.
template <uint16_t (*To)(float)>
static void convertPair(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    uint32_t high = To(w.get<float>(i.ins[0], l)),
             low = To(w.get<float>(i.ins[1], l));
    w.set(i.outs[0], l, high << 16 | low);
  });
}

static void convertAddress(Warp &w, const Instruction &i, uint32_t lanes) {
  uint64_t offset = !i.has("shared") ? 0
                    : i.has("to")    ? -sharedWindow
                                     : sharedWindow;
  eachLane(lanes, [&](int l) {
    w.set(i.outs[0], l, w.get<uint64_t>(i.ins[0], l) + offset);
  });
}

Handlers ptx::conversionInstructions() {
  return {{"cvt", convert},
          {"cvta", convertAddress},
          {"cvt.rn.bf16x2.f32", convertPair<toBf16>},
          {"cvt.rn.f16x2.f32", convertPair<toF16>}};
}
