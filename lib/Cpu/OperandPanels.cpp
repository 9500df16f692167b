//===- OperandPanels.cpp - a contraction's operands in panels -------------===//

#include "OperandPanels.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include <numeric>

using namespace gradus;
namespace memref = mlir::memref;

OperandPanels::OperandPanels(ImplicitLocOpBuilder &b,
                             const Contraction &contraction,
                             const Blocking &blocking)
    : ContractionLoops(b, contraction, blocking),
      kernel((words.tiles ? createTileKernel : createVectorKernel)(b, c, k)) {}

Value OperandPanels::emitAll(int64_t threads) {
  rhs = flattenedBuffer(b, c.rhs.buffer);
  int64_t count = llvm::alignTo(c.columns(), panel) * kernel->steps(c.depth());
  Value bytes = memref::AllocOp::create(
      b, mlir::MemRefType::get({count * lowering::elementBytes(words.type())},
                               b.getI8Type()));
  auto viewAs = [&](Type type, int64_t size) -> Value {
    return memref::ViewOp::create(b, mlir::MemRefType::get({size}, type), bytes,
                                  index(0), ValueRange());
  };
  kernel->rhs = viewAs(words.type(), count);
  Value from = index(c.rhs.start);
  for (auto [loop, i] : c.rowLoops)
    from = advance(from, i, c.rhs.step[loop]);
  auto packFrom = [&](Value first, int64_t columns) {
    pack(advance(from, first, c.rhs.step[c.column]),
         advance(index(0), first, kernel->steps(c.depth())), columns,
         c.depth());
  };
  Split split(c.columns(), panel, threads);
  if (split.parts > 1)
    createEvenParts(b, split, [] {}, packFrom);
  else
    packFrom(index(0), c.columns());
  return viewAs(words.element(), count * words.elements);
}

int64_t OperandPanels::lhsGroup(int64_t rows) const {
  return k.packLhs && !words.tiles ? std::lcm(k.tileRows, c.lanes) : rows;
}
Panel OperandPanels::lhsPanel(Value g, int64_t rows, int64_t depth) {
  kernel->packedAcross = words.tiles ? words.steps(depth) : 1;
  kernel->packedAlong = words.tiles ? 1 : rows;
  return {kernel->lhs, advance(index(0), g, words.steps(depth)),
          kernel->packedAcross, kernel->packedAlong};
}
void OperandPanels::packLhs(Value from, int64_t rows, int64_t depth) {
  Lines lines{lhs, c.lhs.step[*c.row], c.lhs.step[c.reductions[0]]};
  blocks(rows, lhsGroup(rows), [&](Value g, int64_t some) {
    copy(lines, advance(from, g, lines.across), lhsPanel(g, some, depth), some,
         depth);
  });
}
void OperandPanels::pack(Value from, Value first, int64_t columns,
                         int64_t depth) {
  constexpr int64_t rowsAtOnce = 16;
  bool rows = c.reductions.size() == 1 && c.rhs.step[c.column] == 1;
  int64_t some = llvm::alignTo(rowsAtOnce, words.stepsAtOnce) * words.elements;
  blocks(depth, rows ? some : depth, [&](Value s, int64_t few) {
    Value source = advance(from, s, c.rhs.step[c.reductions[0]]);
    Value target = advance(first, s, panel / words.elements);
    blocks(columns, panel, [&](Value j, int64_t width) {
      packColumns(0, advance(source, j, c.rhs.step[c.column]),
                  advance(target, j, kernel->steps(depth)), width, few);
    });
  });
}
void OperandPanels::packColumns(unsigned n, Value source, Value target,
                                int64_t width, int64_t depth) {
  unsigned d = c.reductions[n];
  if (n + 1 == c.reductions.size())
    return copy({rhs, c.rhs.step[c.column], c.rhs.step[d]}, source,
                {kernel->rhs, target, 1, panel, words.flips}, width, depth);
  int64_t inner = depth / c.size[d];
  loop(0, c.size[d], 1, [&](Value i) {
    packColumns(n + 1, advance(source, i, c.rhs.step[d]),
                advance(target, i, words.steps(inner) * panel), width, inner);
  });
}

RhsPanels gradus::emitPanels(ImplicitLocOpBuilder &b, const Contraction &c,
                             const Blocking &blocking, int64_t threads) {
  return {OperandPanels(b, c, blocking).emitAll(threads),
          blocking.tileVectors * c.lanes, c.words};
}
