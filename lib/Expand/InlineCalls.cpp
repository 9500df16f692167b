//===- InlineCalls.cpp - replace calls by their callees' bodies -----------===//
//
// In: plain functions; a call stands below its callee. Out: functions without
// calls. Value names survive; locations become call sites.
//
//===----------------------------------------------------------------------===//

#include "gradus/Expand.h"
#include "gradus/Passes.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace gradus {
#define GEN_PASS_DEF_INLINECALLS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;

Location gradus::withoutName(Location loc) {
  if (auto named = dyn_cast<NameLoc>(loc))
    return named.getChildLoc();
  if (auto site = dyn_cast<mlir::CallSiteLoc>(loc))
    return mlir::CallSiteLoc::get(withoutName(site.getCallee()),
                                  site.getCaller());
  return loc;
}

static bool hasOpenSize(mlir::TypeRange types) {
  return llvm::any_of(types, [](Type t) {
    auto tensor = dyn_cast<RankedTensorType>(t);
    return tensor && !tensor.hasStaticShape();
  });
}

SmallVector<Value> gradus::inlineBody(OpBuilder &b, FuncOp f, ValueRange args,
                                      Location call,
                                      function_ref<void(Operation *)> made,
                                      CallReplacer replace) {
  // The callee's dimensions take the sizes of this call.
  DimBindings bound;
  [[maybe_unused]] auto types =
      callResults(Signature(f), args, {}, Report(call), &bound);
  assert(succeeded(types) && "the call was checked when it was read");
  mlir::AttrTypeReplacer sizes;
  sizes.addReplacement([&](RankedTensorType t) -> std::optional<Type> {
    return substitute(t, bound);
  });
  mlir::IRMapping map;
  map.map(f.getBody().getArguments(), args);
  auto mapped = [&](ValueRange values) {
    return llvm::map_to_vector(values,
                               [&](Value v) { return map.lookupOrDefault(v); });
  };
  for (Operation &op : f.getBody().front()) {
    if (isa<ReturnOp>(op))
      return mapped(op.getOperands());
    if (auto inner = dyn_cast<CallOp>(op)) {
      FuncOp callee = lookupCallee(inner, inner.getCallee());
      auto at = mlir::CallSiteLoc::get(withoutName(inner.getLoc()), call);
      auto inputs = mapped(inner.getInputs());
      auto other = replace ? replace(b, callee, inputs, at) : std::nullopt;
      SmallVector<Value> results =
          other ? *other : inlineBody(b, callee, inputs, at, made, replace);
      map.map(inner.getResults(), results);
      continue;
    }
    Operation *copy = b.clone(op, map);
    copy->walk([&](Operation *nested) {
      nested->setLoc(mlir::CallSiteLoc::get(nested->getLoc(), call));
    });
    sizes.recursivelyReplaceElementsIn(copy, /*replaceAttrs=*/true,
                                       /*replaceLocs=*/false,
                                       /*replaceTypes=*/true);
    // What the callee's names could not tell, such as a padded size, this
    // call's sizes may. An error is reported: there is no size then either.
    if (hasOpenSize(copy->getResultTypes()))
      (void)inferAgain(copy);
    if (copy->getNumRegions())
      inlineCallsIn(copy, replace);
    if (!isa<UpdateOp>(copy))
      made(copy);
  }
  llvm_unreachable("a function ends in a return");
}

SmallVector<FuncOp> gradus::inlineCallsIn(Operation *op, CallReplacer replace) {
  llvm::SetVector<FuncOp> callees;
  SmallVector<CallOp> calls;
  op->walk([&](CallOp c) { calls.push_back(c); });
  bool learned = false;
  for (CallOp c : calls) {
    FuncOp callee = lookupCallee(c, c.getCallee());
    callees.insert(callee);
    OpBuilder b(c);
    Location at = withoutName(c.getLoc());
    auto results =
        replace ? replace(b, callee, c.getInputs(), at) : std::nullopt;
    if (!results)
      results =
          inlineBody(b, callee, c.getInputs(), at, [](Operation *) {}, replace);
    learned |= c.getResultTypes() != ValueRange(*results).getTypes();
    c.replaceAllUsesWith(*results);
    c.erase();
  }
  if (auto f = dyn_cast<FuncOp>(op); f && learned)
    for (Operation &inner : f.getBody().front())
      (void)inferAnew(&inner);
  else if (learned)
    (void)inferAnew(op);
  return callees.takeVector();
}

SmallVector<Operation *> gradus::usedVariables(FuncOp f) {
  llvm::SetVector<Operation *> used;
  SmallVector<FuncOp> work{f};
  llvm::SmallPtrSet<Operation *, 8> seen;
  while (!work.empty()) {
    FuncOp g = work.pop_back_val();
    if (!seen.insert(g).second)
      continue;
    g.walk([&](Operation *op) {
      for (Value v : op->getOperands())
        if (Operation *d = v.getDefiningOp(); d && variableName(d))
          used.insert(d);
      auto callee = op->getAttrOfType<mlir::FlatSymbolRefAttr>("callee");
      if (callee)
        if (FuncOp next = lookupCallee(op, callee.getValue()))
          work.push_back(next);
    });
  }
  SmallVector<Operation *> ordered = used.takeVector();
  llvm::sort(ordered,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return ordered;
}

namespace {
struct InlineCalls : impl::InlineCallsBase<InlineCalls> {
  using InlineCallsBase::InlineCallsBase;

  void runOnOperation() override {
    llvm::SetVector<FuncOp> helpers;
    for (auto f : getOperation().getBody().getOps<FuncOp>()) {
      helpers.insert_range(inlineCallsIn(f));
      if (auto rule = f->getAttrOfType<mlir::FlatSymbolRefAttr>(gradientAttr))
        if (FuncOp gradient = lookupCallee(f, rule.getValue()))
          helpers.insert(gradient);
    }
    // A helper whose dimensions only its calls give sizes is no function of
    // the compiled model.
    for (FuncOp f : helpers)
      if (!hasSizes(f))
        f->erase();
  }

private:
  bool hasSizes(FuncOp f) {
    auto isSized = [&](const Dim &d) {
      return d.known() ||
             (d.name && llvm::is_contained(bounded, d.name.getValue()));
    };
    return llvm::all_of(f.getArgumentTypes(), [&](Type t) {
      return llvm::all_of(Shape(t).dims, isSized);
    });
  }
};
} // namespace
