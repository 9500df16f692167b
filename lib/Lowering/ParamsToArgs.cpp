//===- ParamsToArgs.cpp - variables become arguments ----------------------===//
//
// In: models of functions without calls, requests or layers, all dimensions
// known. Out: one func.func a function, in the module itself, its leading
// arguments the variables that it reads or updates (`graph.variable`), its
// trailing results the next values of those that it updates (`graph.next`).
// The module keeps a list of all variables (`graph.variables`).
//
// A dimension that has only a bound keeps its name beside it
// (RuntimeLengths.h); what would need its size is refused.
//
// Functions with packs, and those that only library code needs, are templates:
// they are dropped.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/Dims.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SetVector.h"

namespace gradus {
#define GEN_PASS_DEF_PARAMSTOARGS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;
namespace func = mlir::func;

/// A function that only makes sense in a call.
static bool isTemplate(FuncOp f) {
  if (isLayer(f))
    return true;
  return llvm::any_of(f.getArgumentTypes(),
                      [](Type t) { return Shape(t).hasPack(); });
}

using Bounds = llvm::StringMap<int64_t>;

/// The first shape of `f` with neither size nor bound, or none.
static std::optional<std::pair<Location, std::string>>
unsized(FuncOp f, const Bounds &bounds) {
  auto open = [&](Type t) -> std::string {
    for (const Dim &d : Shape(t).dims)
      if (!d.known() && !(d.name && bounds.contains(d.name.getValue())))
        return d.str();
    return "";
  };
  for (BlockArgument a : f.getBody().getArguments())
    if (std::string d = open(a.getType()); !d.empty())
      return {{a.getLoc(), d}};
  std::optional<std::pair<Location, std::string>> found;
  f.walk([&](Operation *op) {
    for (Value r : op->getResults())
      if (std::string d = open(r.getType()); !d.empty() && !found)
        found = {{r.getLoc(), d}};
  });
  return found;
}

//===----------------------------------------------------------------------===//
// Bounds
//===----------------------------------------------------------------------===//

/// The product of the sizes before axis `axis`, and behind it.
static std::pair<int64_t, int64_t> around(const Shape &s, int64_t axis) {
  int64_t before = 1, behind = 1;
  for (int64_t i = 0; i < axis; ++i)
    before *= s[i].size;
  for (int64_t i = axis + 1; i < s.rank(); ++i)
    behind *= s[i].size;
  return {before, behind};
}
/// Is each named dimension where it was?
static bool keepsNames(const Shape &from, const Shape &to) {
  for (int64_t i = 0; i < from.rank(); ++i) {
    if (!from[i].name)
      continue;
    const auto *at = llvm::find(to.dims, from[i]);
    if (at == to.dims.end() ||
        around(from, i) != around(to, at - to.dims.begin()))
      return false;
  }
  return true;
}
/// The dimension of which the op needs the size, or null.
static StringAttr needsSizeOf(Operation *op) {
  auto along = [](const Shape &s, int64_t axis) { return s[axis].name; };
  if (auto o = dyn_cast<ReverseOp>(op)) {
    for (int64_t axis : o.getAxes())
      if (StringAttr name = along(Shape(o.getX()), axis))
        return name;
  } else if (auto o = dyn_cast<SliceOp>(op)) {
    return along(Shape(o.getX()), o.getAxis());
  } else if (auto o = dyn_cast<PadOp>(op)) {
    return along(Shape(o.getX()), o.getAxis());
  } else if (auto o = dyn_cast<ConcatOp>(op)) {
    return along(Shape(o.getOut()), o.getAxis());
  } else if (auto o = dyn_cast<GatherOp>(op)) {
    return along(Shape(o.getX()), o.getAxis());
  } else if (auto o = dyn_cast<ScatterAddOp>(op)) {
    return along(Shape(o.getOut()), o.getAxis());
  } else if (auto o = dyn_cast<ReshapeOp>(op)) {
    Shape from(o.getX()), to(o.getOut());
    if (!keepsNames(from, to))
      for (const Dim &d : from.dims)
        if (d.name)
          return d.name;
  }
  return {};
}

static InFlightDiagnostic wantsSize(Location loc, StringAttr dim) {
  return mlir::emitError(loc)
         << "'" << dim.getValue() << "' has a bound, but no size: ";
}
static std::string howToGive(StringAttr dim) {
  return "give it one with --dims " + dim.str() + "=N";
}

/// Is everything in `f` possible whose size a call says? Its types have names
/// beside bounds.
static LogicalResult checkBounded(mlir::func::FuncOp f) {
  auto checkBoundary = [&](Type t, Location loc, StringRef what) {
    Shape s(t);
    for (int64_t i = 1; i < s.rank(); ++i)
      if (s[i].name)
        return LogicalResult(wantsSize(loc, s[i].name)
                             << "such a dimension is the first of " << what
                             << ", not axis " << i << ": "
                             << howToGive(s[i].name) << ", or transpose it");
    return success();
  };
  bool ok = true;
  for (BlockArgument a : f.getArguments())
    ok &= succeeded(checkBoundary(a.getType(), a.getLoc(), "an argument"));
  for (Value v : f.getBody().front().getTerminator()->getOperands())
    ok &= succeeded(checkBoundary(v.getType(), v.getLoc(), "a result"));
  f.walk([&](Operation *op) {
    if (StringAttr dim = needsSizeOf(op)) {
      wantsSize(op->getLoc(), dim)
          << op->getName().stripDialect() << " needs it; " << howToGive(dim);
      ok = false;
    }
  });
  return success(ok);
}

namespace {
struct ParamsToArgs : impl::ParamsToArgsBase<ParamsToArgs> {
  using ParamsToArgsBase::ParamsToArgsBase;

  void runOnOperation() override {
    if (failed(readBounds()))
      return signalPassFailure();
    bool ok = true;
    for (auto model :
         llvm::make_early_inc_range(getOperation().getOps<ModelOp>())) {
      SmallVector<Attribute> variables;
      Builder b(&getContext());
      for (Operation &op : model.getBody().front())
        if (StringAttr name = variableName(&op))
          variables.push_back(b.getDictionaryAttr(
              {b.getNamedAttr("name", name),
               b.getNamedAttr("state", b.getBoolAttr(isa<StateOp>(op))),
               b.getNamedAttr("type",
                              TypeAttr::get(op.getResult(0).getType()))}));
      for (auto f :
           llvm::make_early_inc_range(model.getBody().getOps<FuncOp>())) {
        if (isTemplate(f))
          continue;
        if (auto open = unsized(f, largest)) {
          std::string name = open->second;
          mlir::emitError(open->first)
              << "dimension '" << name << "' of @" << f.getSymName()
              << " has no size: "
              << (name == "?"
                      ? "give the dimensions it follows from a size with --dims"
                      : "give it one with --dims " + name + "=N");
          ok = false;
          continue;
        }
        ok &= succeeded(bound(convert(model, f)));
      }
      getOperation().setSymName(model.getSymName());
      getOperation()->setAttr(lowering::variablesAttr,
                              b.getArrayAttr(variables));
      SmallVector<NamedAttribute> limits;
      for (auto &[name, size] : largest)
        limits.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(size)));
      if (!limits.empty())
        getOperation()->setAttr(lowering::boundsAttr,
                                b.getDictionaryAttr(limits));
      model.erase();
    }
    if (!ok)
      signalPassFailure();
  }

private:
  LogicalResult readBounds() {
    for (const std::string &text : bounds) {
      auto [name, size] = StringRef(text).split('=');
      constexpr int64_t most = int64_t(1) << 31;
      int64_t n = 0;
      if (name.empty() || size.getAsInteger(10, n) || n < 1 || n > most)
        return mlir::emitError(getOperation().getLoc())
               << "'" << name << "<=" << size
               << "' is no bound; write it as batch<=64";
      largest[name] = n;
    }
    return success();
  }
  /// Gives the named dimensions that are left their bounds as sizes.
  LogicalResult bound(func::FuncOp f) {
    replaceDims(f, [&](const Dim &d) {
      return Dim{largest.lookup(d.name.getValue()), d.name};
    });
    return checkBounded(f);
  }

  func::FuncOp convert(ModelOp model, FuncOp f) {
    OpBuilder b(model);
    llvm::SetVector<Operation *> used;
    SmallVector<UpdateOp> updates;
    // The last of several updates of one variable counts.
    llvm::MapVector<Value, Value> next;
    f.walk([&](Operation *op) {
      for (Value v : op->getOperands())
        if (Operation *d = v.getDefiningOp(); d && variableName(d))
          used.insert(d);
      if (auto u = dyn_cast<UpdateOp>(op)) {
        updates.push_back(u);
        next[u.getVariable()] = u.getValue();
      }
    });
    SmallVector<Operation *> variables = used.takeVector();
    llvm::sort(variables, [](Operation *a, Operation *b) {
      return a->isBeforeInBlock(b);
    });

    SmallVector<Type> inputs, results(f.getResultTypes());
    for (Operation *v : variables)
      inputs.push_back(v->getResult(0).getType());
    llvm::append_range(inputs, f.getArgumentTypes());
    for (auto &[variable, value] : next)
      results.push_back(value.getType());
    auto out = func::FuncOp::create(b, f.getLoc(), f.getSymName(),
                                    b.getFunctionType(inputs, results));
    if (Attribute special = f->getAttr(lowering::specialAttr))
      out->setAttr(lowering::specialAttr, special);
    auto only = [&](StringRef attr, StringAttr name) {
      return b.getDictionaryAttr(b.getNamedAttr(attr, name));
    };
    SmallVector<DictionaryAttr> argAttrs, resultAttrs;
    for (Operation *v : variables)
      argAttrs.push_back(only(lowering::variableAttr, variableName(v)));
    for (unsigned i = 0; i < f.getNumArguments(); ++i)
      argAttrs.push_back(
          only(lowering::nameAttr, b.getStringAttr(f.argumentName(i))));
    for (unsigned i = 0; i < f.getNumResults(); ++i)
      resultAttrs.push_back(
          only(lowering::nameAttr, b.getStringAttr(f.resultName(i))));
    for (auto &[variable, value] : next)
      resultAttrs.push_back(
          only(lowering::nextAttr, variableName(variable.getDefiningOp())));
    out.setAllArgAttrs(argAttrs);
    out.setAllResultAttrs(resultAttrs);

    out.getBody().takeBody(f.getBody());
    for (auto [i, v] : llvm::enumerate(variables)) {
      BlockArgument a = out.getBody().insertArgument(
          i, v->getResult(0).getType(), v->getLoc());
      v->getResult(0).replaceUsesWithIf(a, [&](mlir::OpOperand &use) {
        return out->isProperAncestor(use.getOwner());
      });
    }
    Operation *ret = out.getBody().front().getTerminator();
    SmallVector<Value> values(ret->getOperands());
    for (auto &[variable, value] : next)
      values.push_back(value);
    // An update by a variable's own old value names the argument by now.
    for (Value &v : values)
      if (Operation *d = v.getDefiningOp(); d && variableName(d))
        v = out.getArgument(llvm::find(variables, d) - variables.begin());
    b.setInsertionPoint(ret);
    func::ReturnOp::create(b, ret->getLoc(), values);
    ret->erase();
    for (UpdateOp u : updates)
      u.erase();
    f.erase();
    return out;
  }

  Bounds largest;
};
} // namespace
