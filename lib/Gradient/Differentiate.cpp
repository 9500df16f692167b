//===- Differentiate.cpp - value_and_grad, jvp and vmap, expanded ---------===//
//
// In: requests `value_and_grad @f(%x) wrt %w` and `jvp @f(%x, %t)`. Out: the
// body of @f in their place (the tape), followed by its derivative (Sweep.h).
// In the place of `vmap @f(%x)` stands the body of @f for all examples
// (lib/Batching). Jacobians and Hessians are written with these (Jacobian.h).
//
// Requests in callees are expanded before their callers', which gives
// derivatives of any order. Updates of states in @f are kept.
//
//===----------------------------------------------------------------------===//

#include "Custom.h"
#include "Jacobian.h"
#include "Loops.h"
#include "Sweep.h"
#include "gradus/Batching.h"
#include "gradus/Expand.h"
#include "gradus/Passes.h"

namespace gradus {
#define GEN_PASS_DEF_DIFFERENTIATE
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;

namespace {
struct Differentiate : impl::DifferentiateBase<Differentiate> {
  void runOnOperation() override {
    done.clear();
    told.clear();
    for (auto f : getOperation().getBody().getOps<FuncOp>())
      if (failed(expand(f)))
        return signalPassFailure();
    inlineCustomOps(getOperation());
    dropHelpers(getOperation());
  }

private:
  LogicalResult expand(FuncOp f) {
    if (!done.insert(f).second)
      return success();
    if (failed(writeOutJacobians(f)))
      return failure();
    SmallVector<Operation *> requests;
    f.walk([&](Operation *op) {
      if (isa<ValueAndGradOp, JvpOp, VmapOp>(op))
        requests.push_back(op);
    });
    bool ok = true;
    for (Operation *op : requests) {
      auto name = op->getAttrOfType<mlir::FlatSymbolRefAttr>("callee");
      FuncOp callee = lookupCallee(op, name.getValue());
      if (failed(expandAll(callee)))
        return failure();
      ImplicitLocOpBuilder b(withoutName(op->getLoc()), op);
      FailureOr<SmallVector<Value>> results =
          isa<VmapOp>(op)  ? vmap(b, cast<VmapOp>(op), callee)
          : isa<JvpOp>(op) ? jvp(b, cast<JvpOp>(op), callee)
                           : gradient(b, cast<ValueAndGradOp>(op), callee);
      if (failed(results)) {
        ok = false;
        continue;
      }
      nameResultsAfter(op, *results);
      op->replaceAllUsesWith(*results);
      op->erase();
    }
    return success(ok);
  }

  /// A callee, and what it calls in turn.
  LogicalResult expandAll(FuncOp f) {
    bool ok = succeeded(expand(f));
    f.walk([&](CallOp c) {
      ok &= succeeded(expandAll(lookupCallee(c, c.getCallee())));
    });
    return success(ok);
  }

  /// The derivative's ops take the names that the request's results have.
  static void nameResultsAfter(Operation *request, ArrayRef<Value> results) {
    for (auto [r, v] : llvm::zip(request->getResults(), results)) {
      auto d = dyn_cast<mlir::OpResult>(v);
      StringRef name = nameOf(r);
      if (d && !variableName(d.getOwner()) && !name.empty())
        rename(d, name);
    }
  }

  /// The callee's body, its loops as the sweeps want them.
  struct Inlined {
    Tape tape;
    SmallVector<Value> results;
  };
  static Inlined inlined(ImplicitLocOpBuilder &b, FuncOp callee,
                         ValueRange inputs) {
    Inlined made;
    made.tape = recorded(b, [&] {
      Tape body = recorded(
          b, [&] { made.results = inlineForDerivative(b, callee, inputs); });
      for (Operation *op : body)
        if (isa<HasBodies>(op))
          walkAlongAxis0(op, [&](Value from, Value to) {
            llvm::replace(made.results, from, to);
          });
    });
    return made;
  }

  /// Says why there is no cotangent, where the path to the loss ends.
  void warnOfZero(Value w, Value loss, const Tape &tape, Location request) {
    ValueSet active = reached({w}, tape);
    auto d = mlir::emitWarning(request)
             << "the gradient with respect to " << display(w) << " is zero: ";
    if (!active.contains(loss)) {
      d << "the loss does not depend on it";
      return;
    }
    d << "on every path to the loss something has no slope";
    for (Operation *op : tape)
      if (hasNoSlope(op, active)) {
        Location where = withoutName(op->getLoc());
        told.insert(where);
        d.attachNote(where) << op->getName().stripDialect() << " here";
        return;
      }
  }

  /// Does a path of values that vary end at the op?
  static bool hasNoSlope(Operation *op, const ValueSet &active) {
    return llvm::any_of(op->getOperands(),
                        [&](Value v) { return active.contains(v); }) &&
           (op->hasTrait<BlocksGradient>() || isa<FloorOp, SignOp>(op) ||
            llvm::none_of(op->getResults(), isFloat));
  }

  /// Where a path to the results ends, and what to say of it.
  using Ends = llvm::MapVector<Location, std::string>;

  /// Where values that the results depend on have no slope: an error of the
  /// model's, perhaps, if other paths go on. `stop_gradient` and rules of its
  /// own say that it is meant so, and a loop goes on or not; what derivatives
  /// are made of has no names.
  static Ends endsOfPaths(ArrayRef<Value> sources, ArrayRef<Value> results,
                          const Tape &tape) {
    Ends ends;
    ValueSet active = reached(sources, tape);
    auto visit = [&](Operation *op) {
      auto loop = dyn_cast<WhileOp>(op->getParentOp());
      bool decides = loop && op->getParentRegion() == &loop.getCondition();
      if (isa<CustomOp>(op) || decides)
        return mlir::WalkResult::skip();
      if (isa<HasBodies>(op) || op->getNumResults() == 0 ||
          op->hasTrait<BlocksGradient>() || !hasNoSlope(op, active) ||
          nameOf(op->getResult(0)).empty())
        return mlir::WalkResult::advance();
      SmallVector<Value> made(op->getResults());
      ValueSet depends = reached(made, tape, Through::Control);
      if (llvm::any_of(results, [&](Value r) { return depends.contains(r); }))
        ends[withoutName(op->getLoc())] =
            (op->getName().stripDialect() + " has no slope: derivatives take " +
             display(made[0]) +
             " for a constant, though what is asked for depends on it")
                .str();
      return mlir::WalkResult::advance();
    };
    for (Operation *op : tape)
      op->walk<mlir::WalkOrder::PreOrder>(visit);
    return ends;
  }
  void remark(const Ends &ends) {
    for (const auto &[where, what] : ends)
      if (told.insert(where).second)
        mlir::emitRemark(where) << what;
  }

  FailureOr<SmallVector<Value>> gradient(ImplicitLocOpBuilder &b,
                                         ValueAndGradOp op, FuncOp callee) {
    Location request = withoutName(op.getLoc());
    b.setLoc(request);
    SmallVector<Value> wrt(op.getWrt());
    auto [tape, results] = inlined(b, callee, op.getInputs());
    Ends ends = endsOfPaths(wrt, results[0], tape);
    if (failed(boundLoops(b, tape, reached(wrt, tape), results, request)) ||
        failed(splitCheckpoints(b, tape, reached(wrt, tape), results)))
      return failure();
    b.setLoc(request);
    ValueMap cotangents;
    cotangents[results[0]] = filled(b, results[0], 1);
    Sweep sweep(b, request);
    sweep.reverse(tape, reached(wrt, tape), cotangents);
    if (!sweep.complete)
      return failure();
    b.setLoc(request);
    for (Value w : wrt) {
      Value d = cotangents.lookup(w);
      if (!d)
        warnOfZero(w, results[0], tape, request);
      results.push_back(d ? d : filled(b, w, 0));
    }
    remark(ends);
    sweep.replaceLoops(results);
    return results;
  }

  FailureOr<SmallVector<Value>> jvp(ImplicitLocOpBuilder &b, JvpOp op,
                                    FuncOp callee) {
    Location request = withoutName(op.getLoc());
    b.setLoc(request);
    unsigned n = op.getInputs().size() / 2;
    auto [tape, results] = inlined(b, callee, op.getInputs().take_front(n));
    // A value given twice has the sum of its tangents; what does not move has
    // none.
    ValueMap tangents;
    for (unsigned i = 0; i < n; ++i) {
      if (!isFloat(op.getInputs()[i]) || isZero(op.getInputs()[n + i]))
        continue;
      Value &t = tangents[op.getInputs()[i]];
      Value given = op.getInputs()[n + i];
      t = t ? Value(AddOp::create(b, t, given)) : given;
    }
    remark(endsOfPaths(llvm::to_vector(llvm::make_first_range(tangents)),
                       results, tape));
    Sweep sweep(b, request);
    sweep.forward(tape, tangents);
    if (!sweep.complete)
      return failure();
    b.setInsertionPoint(op);
    b.setLoc(request);
    for (Value v : SmallVector<Value>(results)) {
      Value t = tangents.lookup(v);
      results.push_back(t ? t : filled(b, v, 0));
    }
    sweep.replaceLoops(results);
    return results;
  }

  static FailureOr<SmallVector<Value>> vmap(ImplicitLocOpBuilder &b, VmapOp op,
                                            FuncOp callee) {
    Dim count = Shape(op.getInputs()[op.getOver()[0]])[0];
    return batchFunction(b, callee, op.getInputs(), op.getOver(), count,
                         inlineForDerivative);
  }

  llvm::DenseSet<Operation *> done;
  llvm::DenseSet<Location> told; ///< where paths end
};
} // namespace
