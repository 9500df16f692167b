//===- Loops.cpp - loops as the sweeps want them --------------------------===//

#include "Loops.h"
#include "dialects/graph/Control.h"
#include "gradus/Expand.h"
#include "mlir/IR/IRMapping.h"

using namespace gradus;
using namespace gradus::graph;

/// The condition needs no memory of having failed: the carries stay, and so
/// does what it says of them.
static ForOp bounded(ImplicitLocOpBuilder &b, WhileOp loop) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(loop);
  b.setLoc(loop.getLoc());
  RankedTensorType counts =
      countsType(b.getContext(), Dim{int64_t(*loop.getLimit())});
  auto step = [&](Value, ValueRange carries, ValueRange) -> ForOp::Yields {
    mlir::IRMapping inCondition, inBody;
    inCondition.map(loop.getCondition().getArguments(), carries);
    Value goOn = cloneBody(b, loop.getCondition(), inCondition).carried[0];
    inBody.map(loop.getBody().getArguments(), carries);
    auto next = IfOp::make(
        b, goOn, [&] { return cloneBody(b, loop.getBody(), inBody).carried; },
        [&] { return SmallVector<Value>(carries); });
    return {SmallVector<Value>(next.getResults()), {}};
  };
  auto steps = ForOp::make(b, loop.getInitial(), {}, counts,
                           /*reverse=*/false, step);
  nameAfter(llvm::to_vector(steps.getCarries()),
            llvm::to_vector(loop.getBody().getArguments()));
  return steps;
}

LogicalResult gradus::boundLoops(ImplicitLocOpBuilder &b, Tape &tape,
                                 const ValueSet &active,
                                 SmallVectorImpl<Value> &results,
                                 Location request) {
  SmallVector<WhileOp> loops;
  for (Operation *op : tape)
    op->walk([&](WhileOp loop) {
      if (llvm::any_of(loop.getResults(),
                       [&](Value r) { return active.contains(r); }))
        loops.push_back(loop);
    });
  bool ok = true;
  for (WhileOp loop : loops) {
    if (!loop.getLimit()) {
      auto d = mlir::emitError(withoutName(loop.getLoc()))
               << "this 'while' may take any number of steps, and its gradient "
                  "keeps them all: say how many it takes at most, as in 'while "
                  "limit = 100 carry (...)'";
      d.attachNote(request) << "asked for here";
      ok = false;
      continue;
    }
    ForOp steps = bounded(b, loop);
    for (auto [from, to] : llvm::zip(loop.getResults(), steps.getResults()))
      llvm::replace(results, Value(from), Value(to));
    llvm::replace(tape, loop.getOperation(), steps.getOperation());
    loop.replaceAllUsesWith(steps.getResults());
    loop.erase();
  }
  return success(ok);
}
