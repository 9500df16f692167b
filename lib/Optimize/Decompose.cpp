//===- Decompose.cpp - composites become their parts ----------------------===//
//
// In: any graph ops. Out: primitive ones and elementwise formulas, which the
// lowering reads as scalars. An einsum of several operands becomes einsums of
// two, from the left; letters that no later operand and not the result has are
// summed as soon as they can be.
//
//===----------------------------------------------------------------------===//

#include "gradus/Expand.h"
#include "gradus/Passes.h"

namespace gradus {
#define GEN_PASS_DEF_DECOMPOSE
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;

static Value pairwise(ImplicitLocOpBuilder &b, EinsumOp op) {
  auto [left, result] = op.getEquation().split("->");
  SmallVector<StringRef> terms;
  left.split(terms, ',');
  std::string term = terms[0].str();
  Value value = op.getInputs()[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    std::string kept;
    bool last = i + 1 == terms.size();
    auto wanted = [&](char c) {
      return result.contains(c) ||
             llvm::any_of(ArrayRef(terms).drop_front(i + 1),
                          [&](StringRef t) { return t.contains(c); });
    };
    for (char c : (term + terms[i]).str())
      if (wanted(c) && !StringRef(kept).contains(c))
        kept += c;
    std::string next = last ? result.str() : kept;
    value = EinsumOp::create(b, (term + "," + terms[i] + "->" + next).str(),
                             ValueRange{value, op.getInputs()[i]});
    term = next;
  }
  return value;
}

namespace {
struct Decompose : impl::DecomposeBase<Decompose> {
  void runOnOperation() override {
    walkAlongAxis0(getOperation(), [](Value, Value) {});
    // Parts may be composites in turn: they are visited after their whole.
    SmallVector<Operation *> work;
    auto isWork = [](Operation *op) {
      if (auto e = dyn_cast<EinsumOp>(op))
        return e.getInputs().size() > 2;
      return isa<Composite>(op) && !isa<Formula>(op);
    };
    getOperation()->walk([&](Operation *op) {
      if (isWork(op))
        work.push_back(op);
    });
    while (!work.empty()) {
      Operation *op = work.pop_back_val();
      ImplicitLocOpBuilder b(withoutName(op->getLoc()), op);
      Operation *before = op->getPrevNode();
      SmallVector<Value> parts;
      if (auto e = dyn_cast<EinsumOp>(op))
        parts = {pairwise(b, e)};
      else
        parts = cast<Composite>(op).decompose(b);
      Operation *first =
          before ? before->getNextNode() : &op->getBlock()->front();
      for (Operation *o = first; o != op; o = o->getNextNode())
        if (isWork(o))
          work.push_back(o);
      for (auto [r, v] : llvm::zip(op->getResults(), parts))
        if (auto part = dyn_cast<mlir::OpResult>(v);
            part && nameOf(part).empty() && !nameOf(r).empty())
          rename(part, nameOf(r));
      op->replaceAllUsesWith(parts);
      op->erase();
    }
  }
};
} // namespace
