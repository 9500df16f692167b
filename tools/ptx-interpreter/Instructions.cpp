//===- Instructions.cpp - what each instruction does ----------------------===//
//
// A handler runs one instruction for the lanes of a warp. Arithmetic is a
// template over types and an operation on one lane's values; the table at the
// end names what there is.
//
//===----------------------------------------------------------------------===//

#include "Handlers.h"
#include "Machine.h"
#include "SmallFloat.h"
#include <algorithm>
#include <cmath>
#include <unordered_map>

using namespace ptx;

//===----------------------------------------------------------------------===//
// Values to values
//===----------------------------------------------------------------------===//

template <typename Out, typename A, auto F>
static void unary(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    w.set<Out>(i.outs[0], l, Out(F(w.get<A>(i.ins[0], l))));
  });
}
template <typename Out, typename A, auto F>
static void binary(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    w.set<Out>(i.outs[0], l,
               Out(F(w.get<A>(i.ins[0], l), w.get<A>(i.ins[1], l))));
  });
}
template <typename Out, typename A, typename C, auto F>
static void ternary(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    w.set<Out>(i.outs[0], l,
               Out(F(w.get<A>(i.ins[0], l), w.get<A>(i.ins[1], l),
                     w.get<C>(i.ins[2], l))));
  });
}

template <typename T> static T divide(T a, T b) {
  if (b == 0)
    throw Error("a division by zero");
  return T(a / b);
}
template <typename T> static T remainder(T a, T b) {
  if (b == 0)
    throw Error("a division by zero");
  return T(a % b);
}
template <typename T> static T mulHigh(T a, T b) {
  using Wide =
      std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
  return T((Wide(a) * Wide(b)) >> (8 * sizeof(T)));
}
template <typename T> static T shiftLeft(T a, uint32_t n) {
  return n >= 8 * sizeof(T) ? T(0) : T(a << n);
}
template <typename T> static T shiftRight(T a, uint32_t n) {
  if (n >= 8 * sizeof(T))
    return std::is_signed_v<T> && a < 0 ? T(-1) : T(0);
  return T(a >> n);
}
/// A funnel: the high word of (b:a) << n, the low word of (b:a) >> n.
static uint32_t funnelLeft(uint32_t a, uint32_t b, uint32_t n) {
  return uint32_t((uint64_t(b) << 32 | a) << (n & 31) >> 32);
}
static uint32_t funnelRight(uint32_t a, uint32_t b, uint32_t n) {
  return uint32_t((uint64_t(b) << 32 | a) >> (n & 31));
}
/// `length` bits from `start`, of which only the lowest byte counts.
template <typename U>
static U extractBits(U a, uint32_t start, uint32_t length) {
  U shifted = shiftRight(a, start & 255);
  length &= 255;
  return length >= 8 * sizeof(U) ? shifted : shifted & ((U(1) << length) - 1);
}
/// The same, its highest bit repeated upwards.
static int32_t extractSigned(int32_t a, int32_t start, uint32_t length) {
  int32_t shifted = shiftRight(a, uint32_t(start) & 255);
  length &= 255;
  if (length == 0)
    return 0;
  uint32_t rest = length >= 32 ? 0 : 32 - length;
  return int32_t(uint32_t(shifted) << rest) >> rest;
}
static uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  uint64_t bytes = uint64_t(b) << 32 | a;
  uint32_t out = 0;
  for (int k = 0; k < 4; ++k) {
    uint32_t s = selector >> (4 * k) & 15;
    auto byte = uint8_t(bytes >> (8 * (s & 7)));
    if (s & 8)
      byte = byte & 0x80 ? 0xff : 0;
    out |= uint32_t(byte) << (8 * k);
  }
  return out;
}
/// The number if one operand is none; min.NaN and max.NaN differ.
template <typename F> static F numberMin(F a, F b) {
  return std::isnan(a) ? b : std::isnan(b) ? a : std::min(a, b);
}
template <typename F> static F numberMax(F a, F b) {
  return std::isnan(a) ? b : std::isnan(b) ? a : std::max(a, b);
}
template <typename F> static F nanMin(F a, F b) {
  return std::isnan(a) || std::isnan(b) ? F(NAN) : std::min(a, b);
}
template <typename F> static F nanMax(F a, F b) {
  return std::isnan(a) || std::isnan(b) ? F(NAN) : std::max(a, b);
}

template <typename T>
static void select(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    w.set<T>(i.outs[0], l,
             w.get<T>(i.ins[w.get<bool>(i.ins[2], l) ? 0 : 1], l));
  });
}

/// `mov.b64 {lo, hi}, x` and back too.
static void move(Warp &w, const Instruction &i, uint32_t lanes) {
  uint32_t width = i.bytes * 8;
  auto cut = [](uint64_t v, size_t bits) {
    return bits >= 64 ? v : v & ((uint64_t(1) << bits) - 1);
  };
  size_t parts = std::max(i.outs.size(), i.ins.size()), part = width / parts;
  eachLane(lanes, [&](int l) {
    if (i.outs.size() > 1) {
      auto v = w.get<uint64_t>(i.ins[0], l);
      for (size_t p = 0; p < parts; ++p)
        w.set<uint64_t>(i.outs[p], l, cut(v >> (p * part), part));
      return;
    }
    uint64_t v = 0;
    for (size_t p = 0; p < i.ins.size(); ++p)
      v |= cut(w.get<uint64_t>(i.ins[p], l), part) << (p * part);
    w.set<uint64_t>(i.outs[0], l, v);
  });
}

//===----------------------------------------------------------------------===//
// Comparisons
//===----------------------------------------------------------------------===//

enum Comparison : int { Eq, Ne, Lt, Le, Gt, Ge, Num, Nan };

template <typename T>
static void compare(Warp &w, const Instruction &i, uint32_t lanes) {
  // The variant: a comparison, plus 16 if it holds for NaN too.
  auto how = Comparison(i.variant & 15);
  bool unordered = i.variant & 16;
  eachLane(lanes, [&](int l) {
    T a = w.get<T>(i.ins[0], l), b = w.get<T>(i.ins[1], l);
    bool result = how == Eq   ? a == b
                  : how == Ne ? a != b
                  : how == Lt ? a < b
                  : how == Le ? a <= b
                  : how == Gt ? a > b
                              : a >= b;
    if constexpr (std::is_floating_point_v<T>) {
      bool none = std::isnan(a) || std::isnan(b);
      if (none)
        result = unordered;
      if (how == Num || how == Nan)
        result = none == (how == Nan);
    }
    w.set<bool>(i.outs[0], l, result);
  });
}

static int comparisonOf(std::string how, bool isFloat, bool isUnsigned) {
  static const std::unordered_map<std::string, int> known = {
      {"eq", Eq},       {"ne", Ne},       {"lt", Lt},       {"le", Le},
      {"gt", Gt},       {"ge", Ge},       {"lo", Lt},       {"ls", Le},
      {"hi", Gt},       {"hs", Ge},       {"num", Num},     {"nan", Nan},
      {"equ", Eq | 16}, {"neu", Ne | 16}, {"ltu", Lt | 16}, {"leu", Le | 16},
      {"gtu", Gt | 16}, {"geu", Ge | 16}};
  auto it = known.find(how);
  if (it == known.end() || (it->second & 16 && !isFloat))
    throw Error("comparison " + how + " is not known");
  return it->second;
}

//===----------------------------------------------------------------------===//
// Arithmetic of 16 bits: as f32, then rounded
//===----------------------------------------------------------------------===//

template <float (*From)(uint16_t), uint16_t (*To)(float), auto F>
static void narrowBinary(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    w.set(i.outs[0], l,
          To(F(From(w.get<uint16_t>(i.ins[0], l)),
               From(w.get<uint16_t>(i.ins[1], l)))));
  });
}
template <float (*From)(uint16_t), uint16_t (*To)(float)>
static void narrowFma(Warp &w, const Instruction &i, uint32_t lanes) {
  eachLane(lanes, [&](int l) {
    auto x = [&](int n) { return double(From(w.get<uint16_t>(i.ins[n], l))); };
    w.set(i.outs[0], l, To(float(x(0) * x(1) + x(2))));
  });
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

namespace {
class Table {
public:
  Table() {
    integers<uint16_t, int16_t, uint32_t>("16");
    integers<uint32_t, int32_t, uint64_t>("32");
    integers<uint64_t, int64_t, uint64_t>("64");
    floats<float>("f32");
    floats<double>("f64");
    narrow<fromBf16, toBf16>("bf16");
    narrow<fromF16, toF16>("f16");
    known["and.pred"] =
        binary<bool, bool, [](bool a, bool b) { return a && b; }>;
    known["or.pred"] =
        binary<bool, bool, [](bool a, bool b) { return a || b; }>;
    known["xor.pred"] =
        binary<bool, bool, [](bool a, bool b) { return a != b; }>;
    known["not.pred"] = unary<bool, bool, [](bool a) { return !a; }>;
    known["mov.pred"] = unary<bool, bool, [](bool a) { return a; }>;
    known["shf.l.wrap.b32"] = ternary<uint32_t, uint32_t, uint32_t, funnelLeft>;
    known["shf.r.wrap.b32"] =
        ternary<uint32_t, uint32_t, uint32_t, funnelRight>;
    known["prmt.b32"] = ternary<uint32_t, uint32_t, uint32_t, permute>;
    known["bfe.u32"] =
        ternary<uint32_t, uint32_t, uint32_t, extractBits<uint32_t>>;
    known["bfe.u64"] =
        ternary<uint64_t, uint32_t, uint32_t, extractBits<uint64_t>>;
    known["bfe.s32"] = ternary<int32_t, int32_t, uint32_t, extractSigned>;
    for (const Handlers &more :
         {conversionInstructions(), memoryInstructions(), matrixInstructions(),
          warpgroupInstructions(), bulkInstructions()})
      known.insert(more.begin(), more.end());
  }

  Handler find(const Instruction &i) const {
    const std::string &op = i.opcode[0];
    if (auto it = known.find(i.name()); it != known.end())
      return it->second;
    if (op == "mov")
      return move;
    bool isKind = op == "ld" || op == "st" || op == "cvt" || op == "cvta" ||
                  (op == "shfl" && i.opcode.back() == "b32") || op == "wgmma" ||
                  op == "mbarrier" ||
                  (op == "cp" && i.has("async") && i.has("shared"));
    if (op == "cp" && i.has("bulk"))
      return known.at("bulk");
    if (isKind)
      return known.at(op);
    throw Error("instruction " + i.name() + " is not known");
  }

private:
  template <typename U, typename S, typename Wide>
  void integers(const std::string &bits) {
    std::string b = "b" + bits, u = "u" + bits, s = "s" + bits;
    for (auto &t : {u, s}) {
      known["add." + t] = binary<U, U, [](U a, U c) { return U(a + c); }>;
      known["sub." + t] = binary<U, U, [](U a, U c) { return U(a - c); }>;
      known["mul.lo." + t] = binary<U, U, [](U a, U c) { return U(a * c); }>;
      known["mad.lo." + t] =
          ternary<U, U, U, [](U a, U c, U d) { return U(a * c + d); }>;
    }
    using SignedWide = std::make_signed_t<Wide>;
    known["mul.wide." + u] =
        binary<Wide, U, [](U a, U c) { return Wide(a) * Wide(c); }>;
    known["mul.wide." + s] = binary<SignedWide, S, [](S a, S c) {
      return SignedWide(a) * SignedWide(c);
    }>;
    known["mad.wide." + u] = ternary<Wide, U, Wide, [](U a, U c, Wide d) {
      return Wide(a) * Wide(c) + d;
    }>;
    known["mad.wide." + s] =
        ternary<SignedWide, S, SignedWide, [](S a, S c, SignedWide d) {
          return SignedWide(a) * SignedWide(c) + d;
        }>;
    known["mul.hi." + u] = binary<U, U, mulHigh<U>>;
    known["mul.hi." + s] = binary<S, S, mulHigh<S>>;
    known["div." + u] = binary<U, U, divide<U>>;
    known["div." + s] = binary<S, S, divide<S>>;
    known["rem." + u] = binary<U, U, remainder<U>>;
    known["rem." + s] = binary<S, S, remainder<S>>;
    known["min." + u] = binary<U, U, [](U a, U c) { return std::min(a, c); }>;
    known["min." + s] = binary<S, S, [](S a, S c) { return std::min(a, c); }>;
    known["max." + u] = binary<U, U, [](U a, U c) { return std::max(a, c); }>;
    known["max." + s] = binary<S, S, [](S a, S c) { return std::max(a, c); }>;
    known["and." + b] = binary<U, U, [](U a, U c) { return U(a & c); }>;
    known["or." + b] = binary<U, U, [](U a, U c) { return U(a | c); }>;
    known["xor." + b] = binary<U, U, [](U a, U c) { return U(a ^ c); }>;
    known["not." + b] = unary<U, U, [](U a) { return U(~a); }>;
    known["neg." + s] = unary<S, S, [](S a) { return S(-a); }>;
    known["abs." + s] = unary<S, S, [](S a) { return S(a < 0 ? -a : a); }>;
    known["clz." + b] =
        unary<uint32_t, U, [](U a) { return uint32_t(std::countl_zero(a)); }>;
    known["popc." + b] =
        unary<uint32_t, U, [](U a) { return uint32_t(std::popcount(a)); }>;
    known["shl." + b] = shift<U, shiftLeft<U>>;
    known["shr." + u] = shift<U, shiftRight<U>>;
    known["shr." + b] = shift<U, shiftRight<U>>;
    known["shr." + s] = shift<S, shiftRight<S>>;
    known["selp." + b] = known["selp." + u] = known["selp." + s] = select<U>;
    known["setp." + u] = known["setp." + b] = compare<U>;
    known["setp." + s] = compare<S>;
  }
  template <typename T, auto F>
  static void shift(Warp &w, const Instruction &i, uint32_t lanes) {
    eachLane(lanes, [&](int l) {
      w.set<T>(i.outs[0], l,
               F(w.get<T>(i.ins[0], l), w.get<uint32_t>(i.ins[1], l)));
    });
  }

  template <typename F> void floats(const std::string &t) {
    // `rn` is what arithmetic does anyway, unless it says otherwise.
    for (const char *round : {".", ".rn."}) {
      known["add" + (round + t)] = binary<F, F, [](F a, F b) { return a + b; }>;
      known["sub" + (round + t)] = binary<F, F, [](F a, F b) { return a - b; }>;
      known["mul" + (round + t)] = binary<F, F, [](F a, F b) { return a * b; }>;
    }
    known["div.rn." + t] = binary<F, F, [](F a, F b) { return a / b; }>;
    known["fma.rn." + t] =
        ternary<F, F, F, [](F a, F b, F c) { return std::fma(a, b, c); }>;
    known["rcp.rn." + t] = unary<F, F, [](F a) { return 1 / a; }>;
    known["sqrt.rn." + t] = unary<F, F, [](F a) { return std::sqrt(a); }>;
    known["neg." + t] = unary<F, F, [](F a) { return -a; }>;
    known["abs." + t] = unary<F, F, [](F a) { return std::abs(a); }>;
    known["min." + t] = binary<F, F, numberMin<F>>;
    known["max." + t] = binary<F, F, numberMax<F>>;
    known["min.NaN." + t] = binary<F, F, nanMin<F>>;
    known["max.NaN." + t] = binary<F, F, nanMax<F>>;
    known["copysign." + t] =
        binary<F, F, [](F sign, F a) { return std::copysign(a, sign); }>;
    known["selp." + t] = select<F>;
    known["setp." + t] = compare<F>;
    known["ex2.approx." + t] = unary<F, F, [](F a) { return std::exp2(a); }>;
    known["lg2.approx." + t] = unary<F, F, [](F a) { return std::log2(a); }>;
    known["rsqrt.approx." + t] =
        unary<F, F, [](F a) { return 1 / std::sqrt(a); }>;
    known["tanh.approx." + t] = unary<F, F, [](F a) { return std::tanh(a); }>;
  }

  template <float (*From)(uint16_t), uint16_t (*To)(float)>
  void narrow(const std::string &t) {
    for (const char *round : {".", ".rn."}) {
      known["add" + (round + t)] =
          narrowBinary<From, To, [](float a, float b) { return a + b; }>;
      known["sub" + (round + t)] =
          narrowBinary<From, To, [](float a, float b) { return a - b; }>;
      known["mul" + (round + t)] =
          narrowBinary<From, To, [](float a, float b) { return a * b; }>;
    }
    known["max.NaN." + t] = narrowBinary<From, To, nanMax<float>>;
    known["min.NaN." + t] = narrowBinary<From, To, nanMin<float>>;
    known["fma.rn." + t] = narrowFma<From, To>;
    known["neg." + t] = unary<uint16_t, uint16_t,
                              [](uint16_t a) { return uint16_t(a ^ 0x8000); }>;
    known["abs." + t] = unary<uint16_t, uint16_t,
                              [](uint16_t a) { return uint16_t(a & 0x7fff); }>;
  }

  std::unordered_map<std::string, Handler> known;
};
} // namespace

static uint32_t bytesOfType(const std::string &type) {
  if (type == "pred")
    return 1;
  size_t digits = type.find_first_of("0123456789");
  return digits == std::string::npos
             ? 0
             : uint32_t(std::stoul(type.substr(digits))) / 8;
}

void ptx::decode(Instruction &i) {
  static const Table table;
  const std::string &op = i.opcode[0];
  if (i.name() == "bar.warp.sync") {
    i.control = Control::WarpBarrier;
    return;
  }
  if (op == "barrier" && i.has("cluster") && i.has("wait")) {
    i.control = Control::ClusterWait;
    return;
  }
  if (op == "bar" || (op == "barrier" && !i.has("cluster"))) {
    if (i.opcode.back() == "red")
      throw Error("instruction " + i.name() + " is not known");
    i.control = Control::Barrier;
    return;
  }
  if (op == "mbarrier" && i.has("try_wait"))
    i.control = Control::Wait;
  if (op == "setp") {
    if (i.opcode.size() != 3)
      throw Error("instruction " + i.name() + " is not known");
    const std::string &type = i.opcode.back();
    i.variant = comparisonOf(i.opcode[1], type[0] == 'f', type[0] == 'u');
    i.opcode.erase(i.opcode.begin() + 1);
  }
  i.space = i.has("shared")   ? Space::Shared
            : i.has("global") ? Space::Global
                              : Space::Generic;
  if (op == "mul" && i.opcode.back() == "f16x2")
    throw Error("instruction " + i.name() + " is not known");
  i.bytes = bytesOfType(i.opcode.back());
  i.run = table.find(i);
}
