//===- Activity.cpp - the values that depend on others --------------------===//

#include "Sweep.h"

using namespace gradus;
using namespace gradus::graph;

namespace {
class Activity {
public:
  explicit Activity(ArrayRef<Value> from) : active(from.begin(), from.end()) {}

  void visit(Operation *op) {
    if (auto loop = dyn_cast<ForOp>(op))
      return visitFor(loop);
    if (auto loop = dyn_cast<WhileOp>(op))
      return visitWhile(loop);
    if (isa<IfOp, CheckpointOp>(op)) {
      for (mlir::Region &body : op->getRegions())
        spread(visitBody(body), op->getResults());
      return;
    }
    if (llvm::any_of(op->getOperands(),
                     [&](Value v) { return active.contains(v); }))
      active.insert(op->result_begin(), op->result_end());
  }

  ValueSet active;

private:
  /// Where a source is active, so is its target; is one of them newly so?
  template <typename From, typename To>
  bool spread(const From &sources, const To &targets) {
    bool grown = false;
    for (auto [s, t] : llvm::zip(sources, targets))
      if (active.contains(s) && isFloat(t))
        grown |= active.insert(t).second;
    return grown;
  }
  ValueRange visitBody(Region &body) {
    for (Operation &op : body.front().without_terminator())
      visit(&op);
    return cast<YieldOp>(body.front().getTerminator()).getCarried();
  }
  void visitFor(ForOp loop) {
    spread(loop.getInitial(), loop.getCarries());
    spread(loop.getSources(), loop.getSlices());
    // A carry may become active in the body only.
    while (spread(visitBody(loop.getBody()), loop.getCarries()))
      ;
    spread(loop.getCarries(), loop.getFinals());
    spread(loop.getYield().getStacked(), loop.getStacks());
  }
  void visitWhile(WhileOp loop) {
    spread(loop.getInitial(), loop.getBody().getArguments());
    while (spread(visitBody(loop.getBody()), loop.getBody().getArguments()))
      ;
    spread(loop.getBody().getArguments(), loop.getResults());
  }
};
} // namespace

ValueSet gradus::reached(ArrayRef<Value> from, ArrayRef<Operation *> tape) {
  Activity activity(from);
  for (Operation *op : tape)
    activity.visit(op);
  return std::move(activity.active);
}
