//===- PassSizes.cpp - sizes that a call says, as arguments ---------------===//
//
// In: functions on buffers in which `graph.runtime_size` stands. Out: each
// takes the sizes that it, or what it calls, asks for as its last arguments.
// Entry functions take those of all dimensions with a bound in their arguments
// and results (`graph.size`).
//
//===----------------------------------------------------------------------===//

#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SetVector.h"

namespace gradus {
#define GEN_PASS_DEF_PASSSIZES
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace func = mlir::func;

namespace {
struct PassSizes : impl::PassSizesBase<PassSizes> {
  void runOnOperation() override {
    auto bounds =
        getOperation()->getAttrOfType<DictionaryAttr>(lowering::boundsAttr);
    if (!bounds || bounds.empty())
      return;
    wanted.clear();
    for (auto f : getOperation().getOps<func::FuncOp>())
      (void)sizesOf(f);
    for (auto f : getOperation().getOps<func::FuncOp>())
      addArguments(f);
    for (auto f : getOperation().getOps<func::FuncOp>())
      f.walk([&](func::CallOp call) { passSizes(call); });
  }

private:
  using Names = llvm::SetVector<StringAttr>;

  /// The dimensions whose sizes `f` needs. No function calls itself.
  const Names &sizesOf(func::FuncOp f) {
    if (auto it = wanted.find(f); it != wanted.end())
      return it->second;
    Names names;
    f.walk([&](Operation *op) {
      if (auto size = dyn_cast<graph::RuntimeSizeOp>(op))
        names.insert(size.getDimAttr());
      if (auto call = dyn_cast<func::CallOp>(op)) {
        Names inner = sizesOf(callee(call));
        names.insert(inner.begin(), inner.end());
      }
    });
    if (!f.isPrivate())
      for (BlockArgument a : f.getArguments())
        for (const RuntimeLength &l : argumentLengths(a))
          if (l)
            names.insert(l.dim);
    // In one order, whichever op comes first.
    SmallVector<StringAttr> sorted = names.takeVector();
    llvm::sort(sorted, [](StringAttr a, StringAttr b) {
      return a.getValue() < b.getValue();
    });
    return wanted[f] = Names(sorted.begin(), sorted.end());
  }
  func::FuncOp callee(func::CallOp call) {
    return getOperation().lookupSymbol<func::FuncOp>(call.getCallee());
  }

  void addArguments(func::FuncOp f) {
    Builder b(&getContext());
    for (StringAttr name : wanted[f]) {
      unsigned i = f.getNumArguments();
      (void)f.insertArgument(
          i, b.getIndexType(),
          b.getDictionaryAttr(b.getNamedAttr(lowering::sizeAttr, name)),
          f.getLoc());
    }
    f.walk([&](graph::RuntimeSizeOp op) {
      op.replaceAllUsesWith(argument(f, op.getDimAttr()));
      op.erase();
    });
  }
  Value argument(func::FuncOp f, StringAttr name) {
    const Names &names = wanted[f];
    unsigned first = f.getNumArguments() - names.size();
    return f.getArgument(first + (llvm::find(names, name) - names.begin()));
  }

  void passSizes(func::CallOp call) {
    auto f = call->getParentOfType<func::FuncOp>();
    SmallVector<Value> sizes;
    for (StringAttr name : wanted[callee(call)])
      sizes.push_back(argument(f, name));
    call->insertOperands(call->getNumOperands(), sizes);
  }

  llvm::DenseMap<func::FuncOp, Names> wanted;
};
} // namespace
