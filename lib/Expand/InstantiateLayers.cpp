//===- InstantiateLayers.cpp - layers become their bodies -----------------===//
//
// In: calls of layers. Out: none; each call is replaced by the layer's body,
// whose variables stand in the model under the call's prefix (`h.0.up.w`).
//
// Calls are worked off one at a time; a body's own layer calls join the work
// with a longer prefix. A `repeat` is a loop around one call; at the end its
// variables get a leading axis, which the loop walks (Repeat.cpp). Dimensions
// and packs of the layer take the sizes of the call, so shapes are inferred
// anew in the copy.
//
//===----------------------------------------------------------------------===//

#include "Repeat.h"
#include "gradus/Expand.h"
#include "gradus/Passes.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringExtras.h"

namespace gradus {
#define GEN_PASS_DEF_INSTANTIATELAYERS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;
using mlir::CallSiteLoc;

static bool isStandard(CallOp c) { return c.getCallee().starts_with("std."); }

/// Is the callee to be copied for this call?
static bool callsLayer(CallOp c) {
  if (c.getPrefix() || isStandard(c))
    return true;
  FuncOp f = lookupCallee(c, c.getCallee());
  return f && isLayer(f);
}

static std::string prefixOf(CallOp c) {
  if (c.getPrefix())
    return c.getPrefix()->str();
  auto name = c.getLoc()->findInstanceOf<NameLoc>();
  return name ? name.getName().str() : "";
}
static std::string joined(StringRef prefix, StringRef name) {
  if (prefix.empty() || name.empty())
    return (prefix + name).str();
  return (prefix + "." + name).str();
}

namespace {
struct InstantiateLayers : impl::InstantiateLayersBase<InstantiateLayers> {
  void runOnOperation() override {
    ModelOp model = getOperation();
    variables.clear();
    work.clear();
    for (Operation &op : model.getBody().front())
      if (StringAttr name = variableName(&op))
        variables[name.getValue()] = &op;
    llvm::SmallPtrSet<Operation *, 8> layers;
    SmallVector<RepeatOp> repeats;
    model.walk([&](RepeatOp r) { repeats.push_back(r); });
    llvm::for_each(repeats, writeAsLoop);
    model.walk([&](CallOp c) {
      if (callsLayer(c) && !isStandard(c))
        layers.insert(lookupCallee(c, c.getCallee()));
    });
    for (auto f : model.getBody().getOps<FuncOp>())
      if (isLayer(f))
        layers.insert(f);
    for (auto f : model.getBody().getOps<FuncOp>())
      if (!layers.contains(f))
        f.walk([&](CallOp c) {
          if (callsLayer(c))
            work.push_back(c);
        });
    // From the first call to the last, so that variables come in that order.
    std::reverse(work.begin(), work.end());
    while (!work.empty())
      if (failed(instantiate(work.pop_back_val())))
        return signalPassFailure();
    stackRepeatedVariables(model);
    if (failed(checkHasEntry(layers)))
      return signalPassFailure();
    // From the last to the first: a layer stands above those that call it.
    for (Operation &op :
         llvm::make_early_inc_range(llvm::reverse(model.getBody().front())))
      if (layers.contains(&op) &&
          mlir::SymbolTable::symbolKnownUseEmpty(&op, model))
        op.erase();
  }

private:
  /// Nothing would be left of a model that has layers only.
  LogicalResult
  checkHasEntry(const llvm::SmallPtrSetImpl<Operation *> &layers) {
    auto functions = llvm::to_vector(getOperation().getBody().getOps<FuncOp>());
    if (functions.empty() ||
        !llvm::all_of(functions, [&](FuncOp f) { return layers.contains(f); }))
      return success();
    FuncOp last = functions.back();
    return last.emitError()
           << "@" << last.getSymName()
           << " is a layer, as it has parameters of its own, and nothing calls "
              "it; move its parameters in front of it, or call it from a "
              "function that has none";
  }

  LogicalResult instantiate(CallOp call) {
    FuncOp f = lookupCallee(call, call.getCallee());
    DimBindings bound;
    if (failed(callResults(Signature(f), call.getInputs(),
                           call.getOptionsAttr(), Report(call.getLoc()),
                           &bound)))
      return failure();
    mlir::AttrTypeReplacer sizes;
    sizes.addReplacement([&](RankedTensorType t) -> std::optional<Type> {
      return substitute(t, bound);
    });
    OpBuilder b(call);
    mlir::IRMapping map;
    mapArguments(b, call, f, map);
    size_t before = work.size();
    bool learned = false;
    for (Operation &op : f.getBody().front()) {
      if (auto ret = dyn_cast<ReturnOp>(op)) {
        learned = finish(call, ret, map);
        break;
      }
      if (failed(copy(b, call, op, sizes, map)))
        return failure();
    }
    Operation *next = call->getNextNode();
    call.erase();
    std::reverse(work.begin() + before, work.end());
    // What follows learns of sizes that the call could not tell: those that
    // the layer computes from this call's.
    while (isa<HasBodies>(next->getParentOp()))
      next = next->getParentOp();
    for (; learned && next; next = next->getNextNode())
      if (failed(inferAnew(next)))
        return failure();
    return success();
  }

  /// Arguments left out take the call's option, or their default.
  void mapArguments(OpBuilder &b, CallOp call, FuncOp f, mlir::IRMapping &map) {
    for (BlockArgument a : f.getBody().getArguments()) {
      unsigned i = a.getArgNumber();
      if (i < call.getInputs().size()) {
        map.map(a, call.getInputs()[i]);
        continue;
      }
      auto attrs = cast<DictionaryAttr>(f.getArgAttrsAttr()[i]);
      auto name = attrs.getAs<StringAttr>("graph.name");
      Attribute number;
      if (auto options = call.getOptionsAttr())
        number = options.get(name);
      if (!number)
        number = attrs.get("graph.default");
      auto type = cast<RankedTensorType>(a.getType());
      double v = isa<FloatAttr>(number)
                     ? cast<FloatAttr>(number).getValueAsDouble()
                     : double(cast<IntegerAttr>(number).getInt());
      Type e = type.getElementType();
      Attribute element = isa<FloatType>(e)
                              ? Attribute(b.getFloatAttr(e, v))
                              : Attribute(b.getIntegerAttr(e, int64_t(v)));
      map.map(a, ConstantOp::create(b, NameLoc::get(name, call.getLoc()), type,
                                    cast<mlir::ElementsAttr>(
                                        DenseElementsAttr::get(type, element)))
                     .getResult());
    }
  }

  LogicalResult copy(OpBuilder &b, CallOp call, Operation &op,
                     mlir::AttrTypeReplacer &sizes, mlir::IRMapping &map) {
    std::string prefix = prefixOf(call);
    Operation *made = b.clone(op, map);
    made->walk([&](Operation *o) { relocate(o, call, prefix); });
    sizes.recursivelyReplaceElementsIn(made, /*replaceAttrs=*/true,
                                       /*replaceLocs=*/false,
                                       /*replaceTypes=*/true);
    if (failed(adopt(made, call, prefix)))
      return failure();
    if (StringAttr name = variableName(made)) {
      auto whole = b.getStringAttr(joined(prefix, name));
      if (failed(checkShared(made, whole, call)))
        return failure();
      declare(made, whole, op, call, map);
    }
    return success();
  }

  /// What the calls of a function share has no size that each of them gives.
  LogicalResult checkShared(Operation *variable, StringAttr name, CallOp call) {
    const auto dims = Shape(variable->getResult(0)).dims;
    const Dim *open =
        llvm::find_if(dims, [](const Dim &d) { return !!d.name; });
    if (open == dims.end())
      return success();
    auto f = call->getParentOfType<FuncOp>();
    auto uses = mlir::SymbolTable::getSymbolUses(f, getOperation());
    for (auto use : *uses) {
      auto user = dyn_cast<CallOp>(use.getUser());
      if (!user)
        continue;
      auto d = mlir::emitError(call.getLoc())
               << "calls of @" << f.getSymName() << " share '"
               << name.getValue() << "', but each gives it a size '"
               << open->str() << "'";
      d.attachNote(user.getLoc())
          << "called with a name, `call @" << f.getSymName()
          << "(..) as \"a\"`, it has one of its own";
      return d;
    }
    return success();
  }

  /// The copy of an op stands where the layer is called, its results' names
  /// behind the call's.
  static void relocate(Operation *copy, CallOp call, StringRef prefix) {
    auto named = dyn_cast<NameLoc>(copy->getLoc());
    auto site = CallSiteLoc::get(withoutName(copy->getLoc()), call.getLoc());
    copy->setLoc(site);
    if (auto own = copy->getAttrOfType<StringAttr>(repeatAttr))
      copy->setAttr(repeatAttr,
                    StringAttr::get(copy->getContext(), joined(prefix, own)));
    if (!named)
      return;
    SmallVector<StringRef> parts;
    named.getName().getValue().split(parts, ',');
    std::string names =
        llvm::join(llvm::map_range(parts,
                                   [&](StringRef n) {
                                     return n.empty() ? "" : joined(prefix, n);
                                   }),
                   ",");
    copy->setLoc(
        NameLoc::get(StringAttr::get(copy->getContext(), names), site));
  }

  /// Infers a copy's types; its calls, and those in its bodies, join the work.
  LogicalResult adopt(Operation *copy, CallOp call, StringRef prefix) {
    if (auto bodies = dyn_cast<HasBodies>(copy))
      return bodies.inferBodies(
          [&](Operation *nested) { return adopt(nested, call, prefix); });
    auto inner = dyn_cast<CallOp>(copy);
    if (!inner)
      return inferAgain(copy);
    if (isStandard(call) && !isStandard(inner))
      inner.setCallee(("std." + inner.getCallee()).str());
    if (callsLayer(inner)) {
      if (auto own = inner.getPrefix())
        inner.setPrefix(joined(prefix, *own));
      work.push_back(inner);
    }
    // Only now does the callee's name say which function it is.
    return inferAnew(inner);
  }

  /// Moves a variable's copy to the model, or takes the one that is there.
  void declare(Operation *made, StringAttr name, Operation &op, CallOp call,
               mlir::IRMapping &map) {
    Operation *&known = variables[name.getValue()];
    if (known) {
      made->replaceAllUsesWith(known);
      map.map(op.getResults(), known->getResults());
      made->erase();
      return;
    }
    known = made;
    made->setAttr("name", name);
    made->setLoc(NameLoc::get(name, call.getLoc()));
    made->moveBefore(*getOperation().getBody().getOps<FuncOp>().begin());
  }

  /// The call's uses become uses of what the copy returns; a value made by the
  /// copy takes the call's name. Is a type another than the call's?
  bool finish(CallOp call, ReturnOp ret, mlir::IRMapping &map) {
    bool learned = false;
    auto name = call.getLoc()->findInstanceOf<NameLoc>();
    for (auto [from, to] : llvm::zip(call.getResults(), ret.getValues())) {
      Value v = map.lookupOrDefault(to);
      learned |= from.getType() != v.getType();
      from.replaceAllUsesWith(v);
      Operation *d = v.getDefiningOp();
      bool own =
          d && !variableName(d) && !llvm::is_contained(call.getInputs(), v);
      // A layer's call names that layer's own variables: it keeps its name.
      own = own && !isa<CallOp>(d);
      if (name && own && call.getNumResults() == 1 && d->getNumResults() == 1)
        d->setLoc(NameLoc::get(name.getName(), withoutName(d->getLoc())));
    }
    return learned;
  }

  llvm::StringMap<Operation *> variables;
  SmallVector<CallOp> work;
};
} // namespace
