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
