//===- BindDims.cpp - give named dimensions a size ------------------------===//
//
// In: a model with named dimensions. Out: the same with some of them sizes;
// every shape that depended on them is inferred again, callees first (a call
// stands below its callee). A dimension with no such name is an error.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/Dims.h"
#include "gradus/Expand.h"
#include "gradus/Passes.h"

namespace gradus {
#define GEN_PASS_DEF_BINDDIMS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;

LogicalResult gradus::inferAnew(Operation *op) {
  if (auto bodies = dyn_cast<HasBodies>(op))
    return bodies.inferBodies(inferAnew);
  if (auto ret = dyn_cast<ReturnOp>(op)) {
    auto f = ret->getParentOfType<FuncOp>();
    f.setFunctionType(
        FunctionType::get(op->getContext(), f.getArgumentTypes(),
                          SmallVector<Type>(ret.getOperandTypes())));
    return success();
  }
  auto inferCall = [](auto call) -> LogicalResult {
    FuncOp f = lookupCallee(call, call.getCallee());
    auto types = callResults(Signature(f), call.getInputs(),
                             call.getOptionsAttr(), Report(call.getLoc()));
    if (failed(types))
      return failure();
    for (auto [v, t] : llvm::zip(call.getResults(), *types))
      v.setType(t);
    return success();
  };
  if (auto call = dyn_cast<CallOp>(op))
    return inferCall(call);
  if (auto repeat = dyn_cast<RepeatOp>(op))
    return inferCall(repeat);
  return inferAgain(op);
}

namespace {
struct BindDims : impl::BindDimsBase<BindDims> {
  using BindDimsBase::BindDimsBase;

  void runOnOperation() override {
    llvm::StringMap<int64_t> wanted;
    for (const std::string &s : sizes) {
      auto [name, size] = StringRef(s).split('=');
      int64_t n;
      if (name.empty() || size.getAsInteger(10, n) || n < 0 ||
          n > (int64_t(1) << 31)) {
        mlir::emitError(getOperation().getLoc())
            << "'" << s << "' gives no dimension a size; write it as batch=64";
        return signalPassFailure();
      }
      wanted[name] = n;
    }
    llvm::StringMap<int64_t> named(wanted);
    for (StringRef bound : bounds) {
      auto name = bound.split('=').first;
      if (!named.try_emplace(name).second) {
        mlir::emitError(getOperation().getLoc())
            << "'" << name << "' is given a size and a bound; give it one";
        return signalPassFailure();
      }
    }
    if (failed(checkNames(named)))
      return signalPassFailure();
    replaceDims(getOperation(), [&](const Dim &d) {
      auto it = wanted.find(d.name.getValue());
      return it == wanted.end() ? d : Dim{it->second};
    });
    for (auto f : getOperation().getBody().getOps<FuncOp>())
      for (Operation &op : f.getBody().front())
        if (failed(inferAnew(&op)))
          return signalPassFailure();
  }

private:
  LogicalResult checkNames(const llvm::StringMap<int64_t> &wanted) {
    llvm::StringMap<bool> known;
    getOperation()->walk([&](FuncOp f) {
      auto note = [&](Type t) {
        for (const Dim &d : Shape(t).dims)
          if (d.name && !d.pack())
            known[d.name.getValue()] = true;
      };
      llvm::for_each(f.getArgumentTypes(), note);
      llvm::for_each(f.getResultTypes(), note);
    });
    SmallVector<StringRef> names;
    for (const auto &k : known)
      names.push_back(k.getKey());
    llvm::sort(names);
    for (const auto &w : wanted) {
      if (known.count(w.getKey()))
        continue;
      auto d = mlir::emitError(getOperation().getLoc())
               << "the model has no dimension '" << w.getKey() << "'";
      if (StringRef n = nearest(w.getKey(), names); !n.empty())
        d << "; did you mean '" << n << "'?";
      return d;
    }
    return success();
  }
};
} // namespace
