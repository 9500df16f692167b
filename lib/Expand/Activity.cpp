//===- Activity.cpp - the values that depend on others --------------------===//

#include "gradus/Expand.h"

using namespace gradus;
using namespace gradus::graph;

namespace {
class Activity {
public:
  Activity(ArrayRef<Value> from, Through through)
      : active(from.begin(), from.end()), through(through) {}

  void visit(Operation *op) {
    if (auto loop = dyn_cast<ForOp>(op))
      return visitFor(loop);
    if (auto loop = dyn_cast<WhileOp>(op))
      return visitWhile(loop);
    if (isa<IfOp, CheckpointOp>(op)) {
      if (through == Through::Control && readsActive(op))
        active.insert(op->result_begin(), op->result_end());
      for (mlir::Region &body : op->getRegions())
        spread(visitBody(body), op->getResults());
      return;
    }
    if (readsActive(op))
      active.insert(op->result_begin(), op->result_end());
  }

  ValueSet active;

private:
  Through through;
  bool isActive(Value v) const { return active.contains(v); }
  bool readsActive(Operation *op) const {
    return llvm::any_of(op->getOperands(),
                        [&](Value v) { return isActive(v); });
  }
  bool passes(Value v) const {
    return through == Through::Control || Shape(v).isFloat();
  }
  /// Where a source is active, so is its target; is one of them newly so?
  template <typename From, typename To>
  bool spread(const From &sources, const To &targets) {
    bool grown = false;
    for (auto [s, t] : llvm::zip(sources, targets))
      if (active.contains(s) && passes(t))
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
    auto condition = loop.getCondition().getArguments();
    spread(loop.getInitial(), loop.getBody().getArguments());
    bool grown = true;
    while (grown) {
      spread(loop.getBody().getArguments(), condition);
      grown = spread(visitBody(loop.getBody()), loop.getBody().getArguments());
      // What the last step leaves depends on which one that is.
      if (isActive(visitBody(loop.getCondition())[0]) &&
          through == Through::Control)
        for (Value carry : loop.getBody().getArguments())
          grown |= active.insert(carry).second;
    }
    spread(loop.getBody().getArguments(), loop.getResults());
  }
};
} // namespace

ValueSet gradus::reached(ArrayRef<Value> from, ArrayRef<Operation *> tape,
                         Through through) {
  Activity activity(from, through);
  for (Operation *op : tape)
    activity.visit(op);
  return std::move(activity.active);
}
