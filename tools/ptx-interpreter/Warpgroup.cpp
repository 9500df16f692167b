//===- Warpgroup.cpp - asynchronous products of four warps (wgmma) --------===//
//
// Each warp of a warpgroup has 16 of the 64 rows. Products read shared memory
// as late as a wait allows; until then their sums count as not written. Errors
// are, besides those of all reads of shared memory: what threads wrote there
// and did not pass to the asynchronous proxy (fence.proxy.async); sums that the
// warp wrote and did not hand over (wgmma.fence); products without a wait.
//
// Descriptors and the places of elements: PTX ISA, "Asynchronous Warpgroup
// Level Matrix Instructions".
//
//===----------------------------------------------------------------------===//

#include "Handlers.h"
#include "Machine.h"
#include "SmallFloat.h"

using namespace ptx;

namespace {
constexpr uint64_t lineBytes = 128;

/// What one instruction multiplies: 64 x columns x depth.
struct Shape {
  int columns, depth;
  size_t bytes; ///< of an element
  float (*element)(uint32_t bits);
};

Shape shapeOf(const Instruction &i) {
  // wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16
  if (i.opcode.size() != 8 || i.opcode[5] != "f32" ||
      i.opcode[6] != i.opcode[7])
    throw Error("instruction " + i.name() + " is not known");
  Shape s{};
  const std::string &type = i.opcode[6];
  if (type == "bf16")
    s = {0, 16, 2, [](uint32_t b) { return fromBf16(uint16_t(b)); }};
  else if (type == "f16")
    s = {0, 16, 2, [](uint32_t b) { return fromF16(uint16_t(b)); }};
  else if (type == "tf32")
    s = {0, 8, 4, fromTf32};
  else
    throw Error("instruction " + i.name() + " is not known");
  s.columns = int(i.outs.size()) * 2;
  if (i.opcode[4] !=
          "m64n" + std::to_string(s.columns) + "k" + std::to_string(s.depth) ||
      s.columns % 8 != 0 || s.columns < 8 || s.columns > 256)
    throw Error("instruction " + i.name() + " is not known");
  return s;
}

/// Where the elements of an operand are.
class Operand {
public:
  Operand(uint64_t descriptor, const Shape &shape, bool depthInLine)
      : bytes(shape.bytes), depthInLine(depthInLine),
        start((descriptor & 0x3fff) << 4),
        leading((descriptor >> 16 & 0x3fff) << 4),
        stride((descriptor >> 32 & 0x3fff) << 4) {
    if (descriptor >> 62 != 1)
      throw Error("wgmma: only the 128-byte swizzle is known");
    if ((descriptor >> 49 & 7) != 0)
      throw Error("wgmma: no base offset is known");
    if (!depthInLine && shape.bytes != 2)
      throw Error("wgmma: 32-bit elements must lie along the depth");
  }

  uint64_t place(uint64_t row, uint64_t depth) const {
    uint64_t line = depthInLine ? row : depth,
             along = (depthInLine ? depth : row) * bytes;
    uint64_t address = start + line / 8 * stride + line % 8 * lineBytes +
                       along / lineBytes * (depthInLine ? 0 : leading) +
                       along % lineBytes;
    return address ^ (address / lineBytes % 8) << 4;
  }

private:
  size_t bytes;
  bool depthInLine;
  uint64_t start, leading, stride;
};

/// Both operands of a product that is under way.
struct Operands {
  Operands(Warp &w, const PendingProduct &p, const Shape &s)
      : warp(w), shape(s), lhs(p.lhs, s, !turned(w, p, 5)),
        rhs(p.rhs, s, !turned(w, p, 6)), firstRow(w.number % 4 * uint64_t(16)) {
  }

  void checkVisible() {
    for (int k = 0; k < shape.depth; ++k) {
      for (int r = 0; r < 16; ++r)
        warp.block.shared.checkVisible(lhs.place(firstRow + r, k), shape.bytes);
      for (int c = 0; c < shape.columns; ++c)
        warp.block.shared.checkVisible(rhs.place(c, k), shape.bytes);
    }
  }
  float read(const Operand &o, uint64_t row, uint64_t depth) {
    uint32_t bits = 0;
    warp.block.shared.read(o.place(row, depth), &bits, shape.bytes);
    return shape.element(bits);
  }

  Warp &warp;
  const Shape &shape;
  Operand lhs, rhs;
  uint64_t firstRow;

private:
  /// Elements of 16 bits say whether they lie across the depth.
  static bool turned(Warp &w, const PendingProduct &p, size_t input) {
    const auto &ins = p.instruction->ins;
    return input < ins.size() && w.get<uint32_t>(ins[input], 0) != 0;
  }
};

void finish(Warp &w, const PendingProduct &p) {
  const Instruction &i = *p.instruction;
  Shape shape = shapeOf(i);
  Operands operands(w, p, shape);
  float lhs[16][16];
  for (int k = 0; k < shape.depth; ++k)
    for (int r = 0; r < 16; ++r)
      lhs[k][r] = operands.read(operands.lhs, operands.firstRow + r, k);
  std::vector<double> sums(size_t(16) * shape.columns);
  for (int k = 0; k < shape.depth; ++k)
    for (int c = 0; c < shape.columns; ++c) {
      double factor = operands.read(operands.rhs, c, k);
      for (int r = 0; r < 16; ++r)
        sums[size_t(c) * 16 + r] += factor * lhs[k][r];
    }
  for (int l = 0; l < lanesAWarp; ++l)
    for (size_t o = 0; o < i.outs.size(); ++o) {
      size_t row = l / 4 + o % 4 / 2 * 8,
             column = o / 4 * 8 + l % 4 * 2 + o % 2;
      double sum = sums[column * 16 + row];
      w.set(i.outs[o], l,
            float(p.adds ? sum + w.get<float>(i.outs[o], l) : sum));
    }
}

void begin(Warp &w, const Instruction &i) {
  Shape shape = shapeOf(i);
  PendingProduct p{&i, w.get<uint64_t>(i.ins[0], 0),
                   w.get<uint64_t>(i.ins[1], 0), w.get<bool>(i.ins[2], 0)};
  for (int l = 1; l < lanesAWarp; ++l)
    if (w.get<uint64_t>(i.ins[0], l) != p.lhs ||
        w.get<uint64_t>(i.ins[1], l) != p.rhs)
      throw Error("wgmma: lanes have descriptors of their own");
  if (w.get<uint32_t>(i.ins[3], 0) != 1 || w.get<uint32_t>(i.ins[4], 0) != 1)
    throw Error("wgmma: factors are taken as they are only");
  Operands(w, p, shape).checkVisible();
  for (int r : i.outs)
    w.handOver(r, p.adds);
  w.products.push_back(p);
}

void waitForProducts(Warp &w, size_t groups) {
  while (w.productGroups.size() > groups) {
    for (size_t n = w.productGroups.front(); n > 0; --n) {
      finish(w, w.products.front());
      for (int r : w.products.front().instruction->outs)
        w.takeBack(r);
      w.products.erase(w.products.begin());
    }
    w.productGroups.erase(w.productGroups.begin());
  }
}

void warpgroup(Warp &w, const Instruction &i, uint32_t lanes) {
  if (lanes != allLanes)
    throw Error("a matrix instruction without all lanes of the warp");
  const std::string &what = i.opcode[1];
  if (what == "fence") {
    w.fenceProducts();
  } else if (what == "commit_group") {
    size_t grouped = 0;
    for (size_t n : w.productGroups)
      grouped += n;
    w.productGroups.push_back(w.products.size() - grouped);
  } else if (what == "wait_group") {
    waitForProducts(w, w.get<uint32_t>(i.ins[0], 0));
  } else {
    begin(w, i);
  }
}

/// What this warp wrote to shared memory, tensor cores and copies may read.
void passToAsyncProxy(Warp &w, const Instruction &, uint32_t) {
  w.block.shared.makeVisible(w.hidden);
  w.hidden.clear();
}
} // namespace

Handlers ptx::warpgroupInstructions() {
  return {{"wgmma", warpgroup},
          {"fence.proxy.async.shared::cta", passToAsyncProxy},
          {"fence.proxy.async", passToAsyncProxy}};
}
