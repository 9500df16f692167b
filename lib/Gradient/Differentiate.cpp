//===- Differentiate.cpp - value_and_grad and jvp, expanded ---------------===//
//
// In: requests `value_and_grad @f(%x) wrt %w` and `jvp @f(%x, %t)`. Out: the
// body of @f in their place (the tape), followed by its derivative.
//
// Reverse: with the cotangent 1 of the first result, walk the tape backwards;
// each op that an active value reaches, and that has a cotangent, is asked for
// those of its operands. An op without a rule is differentiated through a
// decomposed copy beside it, so the forward keeps its composite.
// Forward: walk the tape forwards; the tangent of each op's result follows from
// its derivative, else from linearity, else from its parts, else as the
// transpose of its vjp, which is linear in the cotangent.
//
// Requests in callees are expanded before their callers', which gives
// derivatives of any order. Updates of states in @f are kept.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/Build.h"
#include "gradus/Expand.h"
#include "gradus/Passes.h"

namespace gradus {
#define GEN_PASS_DEF_DIFFERENTIATE
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;
using mlir::CallSiteLoc;

using Tape = SmallVector<Operation *>;
using ValueMap = llvm::DenseMap<Value, Value>;

static bool isFloat(Value v) { return Shape(v).isFloat(); }

static Value filled(ImplicitLocOpBuilder &b, Value like, double n) {
  return constant(V(&b, like), Shape(like), n).value();
}

/// The ops that `build` puts at the insertion point.
template <typename F> static Tape recorded(ImplicitLocOpBuilder &b, F build) {
  Block *block = b.getInsertionBlock();
  auto end = b.getInsertionPoint();
  Operation *before = end == block->begin() ? nullptr : &*std::prev(end);
  build();
  Tape tape;
  for (auto i = before ? std::next(before->getIterator()) : block->begin();
       i != end; ++i)
    tape.push_back(&*i);
  return tape;
}

/// The values that depend on `from`.
static llvm::DenseSet<Value> reached(ArrayRef<Value> from, const Tape &tape) {
  llvm::DenseSet<Value> active(from.begin(), from.end());
  for (Operation *op : tape)
    if (llvm::any_of(op->getOperands(),
                     [&](Value v) { return active.contains(v); }))
      active.insert(op->result_begin(), op->result_end());
  return active;
}

//===----------------------------------------------------------------------===//
// The sweeps
//===----------------------------------------------------------------------===//

namespace {
class Sweep {
public:
  Sweep(ImplicitLocOpBuilder &b, Location request) : b(b), request(request) {}

  /// From the cotangents of the tape's results to those of its operands.
  void reverse(const Tape &tape, const llvm::DenseSet<Value> &active,
               ValueMap &cotangents) {
    llvm::SmallPtrSet<Operation *, 32> onTape(tape.begin(), tape.end());
    for (Operation *op : llvm::reverse(tape)) {
      if (llvm::none_of(op->getResults(), [&](Value r) {
            return active.contains(r) && cotangents.lookup(r);
          }))
        continue;
      b.setLoc(CallSiteLoc::get(withoutName(op->getLoc()), request));
      llvm::SmallBitVector needed(op->getNumOperands());
      for (auto [i, v] : llvm::enumerate(op->getOperands()))
        needed[i] = active.contains(v) && isFloat(v);
      if (needed.none())
        continue;
      if (auto rule = dyn_cast<Differentiable>(op)) {
        SmallVector<Value> cts;
        for (Value r : op->getResults())
          cts.push_back(cotangents.lookup(r));
        for (auto [v, g] :
             llvm::zip(op->getOperands(), rule.buildVJP(b, cts, needed)))
          if (g) {
            accumulate(cotangents, v, g);
            nameAfter(cotangents[v], v, onTape);
          }
      } else if (auto composite = dyn_cast<Composite>(op)) {
        reverseParts(op, composite, needed, cotangents);
      } else {
        missing(op, tape);
      }
    }
  }

  /// From the tangents of the tape's inputs to those of its values; no entry
  /// is zero.
  void forward(const Tape &tape, ValueMap &tangents) {
    for (Operation *op : tape) {
      SmallVector<Value> ts;
      for (Value v : op->getOperands())
        ts.push_back(tangents.lookup(v));
      if (llvm::none_of(ts, [](Value t) { return !!t; }))
        continue;
      b.setLoc(CallSiteLoc::get(withoutName(op->getLoc()), request));
      b.setInsertionPointAfter(op);
      forwardOne(op, ts, tape, tangents);
    }
  }

  bool complete = true; ///< did every op have a rule?

private:
  void accumulate(ValueMap &sums, Value key, Value term) {
    Value &sum = sums[key];
    sum = sum ? Value(AddOp::create(b, sum, term)) : term;
  }

  /// A cotangent is called `d.` and the value's name, unless it has a name.
  void nameAfter(Value cotangent, Value v,
                 const llvm::SmallPtrSetImpl<Operation *> &onTape) {
    Operation *d = cotangent.getDefiningOp();
    StringRef name = nameOf(v);
    if (d && d->getNumResults() == 1 && !name.empty() && !onTape.contains(d) &&
        !d->getLoc()->findInstanceOf<NameLoc>())
      d->setLoc(NameLoc::get(b.getStringAttr("d." + name), d->getLoc()));
  }

  void reverseParts(Operation *op, Composite composite,
                    const llvm::SmallBitVector &needed, ValueMap &cotangents) {
    SmallVector<Value> parts, from;
    Tape inner = recorded(b, [&] { parts = composite.decompose(b); });
    for (auto [r, part] : llvm::zip(op->getResults(), parts))
      if (Value ct = cotangents.lookup(r))
        accumulate(cotangents, part, ct);
    for (auto [i, v] : llvm::enumerate(op->getOperands()))
      if (needed[i])
        from.push_back(v);
    reverse(inner, reached(from, inner), cotangents);
  }

  void forwardOne(Operation *op, ArrayRef<Value> ts, const Tape &tape,
                  ValueMap &tangents) {
    auto copyWith = [&](ValueRange operands) {
      Operation *copy = b.clone(*op);
      copy->setOperands(operands);
      copy->setLoc(b.getLoc());
      return copy;
    };
    if (auto rule = dyn_cast<ForwardDifferentiable>(op)) {
      tangents[op->getResult(0)] = rule.buildJVP(b, ts);
    } else if (op->hasTrait<graph::Linear>()) {
      SmallVector<Value> operands;
      for (auto [v, t] : llvm::zip(op->getOperands(), ts))
        operands.push_back(!isFloat(v) ? v : t ? t : filled(b, v, 0));
      for (auto [r, t] :
           llvm::zip(op->getResults(), copyWith(operands)->getResults()))
        tangents[r] = t;
    } else if (op->hasTrait<graph::Multilinear>()) {
      for (auto [i, t] : llvm::enumerate(ts))
        if (t) {
          SmallVector<Value> operands(op->getOperands());
          operands[i] = t;
          accumulate(tangents, op->getResult(0),
                     copyWith(operands)->getResult(0));
        }
    } else if (auto composite = dyn_cast<Composite>(op)) {
      SmallVector<Value> parts;
      Tape inner = recorded(b, [&] { parts = composite.decompose(b); });
      auto end = b.saveInsertionPoint();
      forward(inner, tangents);
      b.restoreInsertionPoint(end);
      for (auto [r, part] : llvm::zip(op->getResults(), parts))
        tangents[r] = tangents.lookup(part);
    } else if (auto rule = dyn_cast<Differentiable>(op)) {
      forwardByTranspose(op, rule, ts, tangents);
    } else {
      missing(op, tape);
    }
  }

  /// vjp is linear in the cotangent u: <vjp(u), t> = <u, jvp(t)>, so jvp(t) is
  /// the gradient of <vjp(u), t> with respect to u.
  void forwardByTranspose(Operation *op, Differentiable rule,
                          ArrayRef<Value> ts, ValueMap &tangents) {
    SmallVector<Value> us, gradients, from;
    llvm::SmallBitVector needed(op->getNumOperands());
    for (auto [i, t] : llvm::enumerate(ts))
      needed[i] = !!t;
    for (Value r : op->getResults()) {
      us.push_back(isFloat(r) ? filled(b, r, 0) : Value());
      if (us.back())
        from.push_back(us.back());
    }
    if (from.empty())
      return;
    Tape inner = recorded(b, [&] { gradients = rule.buildVJP(b, us, needed); });
    ValueMap cotangents;
    for (auto [g, t] : llvm::zip(gradients, ts))
      if (g && t)
        accumulate(cotangents, g, t);
    reverse(inner, reached(from, inner), cotangents);
    for (auto [r, u] : llvm::zip(op->getResults(), us))
      if (u)
        tangents[r] = cotangents.lookup(u);
  }

  /// Reports an op without a rule, and the values on the way from it to the
  /// result that was asked for.
  void missing(Operation *op, const Tape &tape) {
    complete = false;
    auto d = mlir::emitError(withoutName(op->getLoc()))
             << op->getName().stripDialect() << " has no derivative";
    std::string path = display(op->getResult(0));
    for (Operation *at = op; at;) {
      Operation *next = nullptr;
      for (Operation *user : at->getUsers())
        if (llvm::is_contained(tape, user) &&
            (!next || next->isBeforeInBlock(user)))
          next = user;
      if (next && next->getNumResults())
        path += " -> " + display(next->getResult(0));
      at = next;
    }
    d.attachNote(request) << "asked for here, on the path " << path;
  }

  ImplicitLocOpBuilder &b;
  Location request;
};

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

struct Differentiate : impl::DifferentiateBase<Differentiate> {
  void runOnOperation() override {
    done.clear();
    for (auto f : getOperation().getBody().getOps<FuncOp>())
      if (failed(expand(f)))
        return signalPassFailure();
  }

private:
  LogicalResult expand(FuncOp f) {
    if (!done.insert(f).second)
      return success();
    SmallVector<Operation *> requests;
    f.walk([&](Operation *op) {
      if (isa<ValueAndGradOp, JvpOp>(op))
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
          isa<JvpOp>(op) ? jvp(b, cast<JvpOp>(op), callee)
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
      Operation *d = v.getDefiningOp();
      StringRef name = nameOf(r);
      if (d && !variableName(d) && d->getNumResults() == 1 && !name.empty())
        d->setLoc(NameLoc::get(StringAttr::get(d->getContext(), name),
                               withoutName(d->getLoc())));
    }
  }

  static FailureOr<SmallVector<Value>>
  gradient(ImplicitLocOpBuilder &b, ValueAndGradOp op, FuncOp callee) {
    Location request = withoutName(op.getLoc());
    Tape tape;
    SmallVector<Value> results =
        inlineBody(b, callee, op.getInputs(), request,
                   [&](Operation *o) { tape.push_back(o); });
    SmallVector<Value> wrt(op.getWrt());
    ValueMap cotangents;
    cotangents[results[0]] = filled(b, results[0], 1);
    Sweep sweep(b, request);
    sweep.reverse(tape, reached(wrt, tape), cotangents);
    if (!sweep.complete)
      return failure();
    b.setLoc(request);
    for (Value w : wrt) {
      Value d = cotangents.lookup(w);
      results.push_back(d ? d : filled(b, w, 0));
    }
    return results;
  }

  static FailureOr<SmallVector<Value>> jvp(ImplicitLocOpBuilder &b, JvpOp op,
                                           FuncOp callee) {
    Location request = withoutName(op.getLoc());
    unsigned n = op.getInputs().size() / 2;
    Tape tape;
    SmallVector<Value> results =
        inlineBody(b, callee, op.getInputs().take_front(n), request,
                   [&](Operation *o) { tape.push_back(o); });
    // A value given twice has the sum of its tangents.
    ValueMap tangents;
    for (unsigned i = 0; i < n; ++i) {
      if (!isFloat(op.getInputs()[i]))
        continue;
      Value &t = tangents[op.getInputs()[i]];
      Value given = op.getInputs()[n + i];
      t = t ? Value(AddOp::create(b, t, given)) : given;
    }
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
    return results;
  }

  llvm::DenseSet<Operation *> done;
};
} // namespace
