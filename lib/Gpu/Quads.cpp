//===- Quads.cpp - neighbouring sums of tensor cores ----------------------===//
//
//               first eight columns        second eight
//   lane        0     1     2     3        0     1      2      3
//   before      0 1   2 3   4 5   6 7      8 9   10 11  12 13  14 15
//   after       lane 0: 0 1 2 3            lane 2: 4 5 6 7
//               lane 1: 8 9 10 11          lane 3: 12 13 14 15
//
//===----------------------------------------------------------------------===//

#include "Quads.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace NVVM = mlir::NVVM;

static constexpr int64_t lanes = 4, columns = 8, neighbours = 4;

/// A lane's pairs of both eights become four neighbours.
static SmallVector<Value> exchange(Kernel &k, Value isEven,
                                   mlir::ValueRange first,
                                   mlir::ValueRange second) {
  auto word = [&](int64_t n) -> Value {
    return arith::ConstantIntOp::create(k.b, k.b.getI32Type(), n);
  };
  auto ifEven = [&](Value even, Value odd) -> Value {
    return arith::SelectOp::create(k.b, isEven, even, odd);
  };
  SmallVector<Value> four(neighbours);
  for (unsigned i = 0; i < 2; ++i) {
    Value given = ifEven(second[i], first[i]);
    Value got = NVVM::ShflOp::create(k.b, given.getType(), word(-1), given,
                                     word(1), word(warpSize - 1),
                                     NVVM::ShflKind::bfly, mlir::UnitAttr());
    four[i] = ifEven(first[i], got);
    four[2 + i] = ifEven(got, second[i]);
  }
  return four;
}

void gpu::visitQuads(Kernel &k, ArrayRef<QuadSums> rows, int64_t stored,
                     function_ref<void(Value, Value, mlir::ValueRange)> visit) {
  Value lane = k.at.rem(k.thread(), warpSize), member = k.at.rem(lane, lanes),
        firstRow = k.at.div(lane, lanes), odd = k.at.rem(member, 2);
  struct Visited {
    Value row, column;
    SmallVector<Value> sums;
  };
  // Lanes exchange before they part at the result's bounds.
  SmallVector<Visited> all;
  Value isEven =
      arith::CmpIOp::create(k.b, arith::CmpIPredicate::eq, odd, k.at.number(0));
  Value firstOfPair = k.at.mul(member, 2),
        firstOfFour = k.at.add(k.at.mul(k.at.div(member, 2), neighbours),
                               k.at.mul(odd, columns));
  for (const QuadSums &row : rows) {
    Value r = k.at.add(firstRow, row.row);
    ArrayRef<mlir::ValueRange> pairs = row.pairs;
    size_t exchanged = stored >= neighbours ? pairs.size() / 2 * 2 : 0;
    for (size_t i = 0; i < exchanged; i += 2)
      all.push_back({r, k.at.add(firstOfFour, int64_t(i) * columns),
                     exchange(k, isEven, pairs[i], pairs[i + 1])});
    for (size_t i = exchanged; i < pairs.size(); ++i)
      all.push_back({r, k.at.add(firstOfPair, int64_t(i) * columns),
                     SmallVector<Value>(pairs[i])});
  }
  for (const Visited &v : all)
    visit(v.row, v.column, v.sums);
}
