//===- Split.cpp - a loop cut into parts for threads ----------------------===//

#include "Split.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace scf = mlir::scf;

Split::Split(int64_t size, int64_t unit, int64_t threads) : size(size) {
  int64_t units = llvm::divideCeil(size, unit);
  chunk = llvm::divideCeil(units, threads) * unit;
  parts = llvm::divideCeil(size, chunk);
}

scf::ForOp gradus::createParts(ImplicitLocOpBuilder &b, const Split &split,
                               function_ref<void(OpBuilder &, Value)> body) {
  auto index = [&](int64_t n) {
    return arith::ConstantIndexOp::create(b, n).getResult();
  };
  auto loop = scf::ForOp::create(b, index(0), index(split.parts), index(1));
  OpBuilder inside = OpBuilder::atBlockBegin(loop.getBody());
  body(inside, loop.getInductionVar());
  loop->setAttr(lowering::partsAttr, b.getI64IntegerAttr(split.parts));
  return loop;
}

void gradus::createEvenParts(ImplicitLocOpBuilder &b, const Split &split,
                             function_ref<void()> prepare,
                             function_ref<void(Value, int64_t)> body) {
  auto index = [&](int64_t n) {
    return arith::ConstantIndexOp::create(b, n).getResult();
  };
  OpBuilder::InsertionGuard guard(b);
  createParts(b, split, [&](OpBuilder &nested, Value part) {
    b.restoreInsertionPoint(nested.saveInsertionPoint());
    Value first = arith::MulIOp::create(b, part, index(split.chunk));
    prepare();
    if (split.last() == split.chunk)
      return body(first, split.chunk);
    Value isLast = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, part,
                                         index(split.parts - 1));
    auto choice = scf::IfOp::create(b, isLast, /*withElseRegion=*/true);
    b.setInsertionPointToStart(&choice.getThenRegion().front());
    body(first, split.last());
    b.setInsertionPointToStart(&choice.getElseRegion().front());
    body(first, split.chunk);
  });
}
