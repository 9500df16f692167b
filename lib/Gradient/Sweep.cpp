//===- Sweep.cpp - derivatives of straight lists of ops -------------------===//

#include "Sweep.h"
#include "dialects/graph/Build.h"
#include "gradus/Expand.h"
#include "mlir/IR/IRMapping.h"

using namespace gradus;
using namespace gradus::graph;
using mlir::CallSiteLoc;

Value gradus::filled(ImplicitLocOpBuilder &b, Value like, double n) {
  return constant(V(&b, like), Shape(like), n).value();
}

Tape gradus::recorded(ImplicitLocOpBuilder &b, function_ref<void()> build) {
  Block *block = b.getInsertionBlock();
  auto end = b.getInsertionPoint();
  Operation *before = end == block->begin() ? nullptr : &*std::prev(end);
  build();
  Tape tape;
  for (auto i = before ? std::next(before->getIterator()) : block->begin();
       i != end; ++i)
    if (!isa<UpdateOp>(*i))
      tape.push_back(&*i);
  return tape;
}

Location Sweep::derivedFrom(Operation *op) {
  return CallSiteLoc::get(withoutName(op->getLoc()), request);
}

void Sweep::replaceLoops(SmallVectorImpl<Value> &results) {
  for (auto &[old, values] : replaced) {
    for (Value &v : results)
      if (auto r = dyn_cast<mlir::OpResult>(v); r && r.getOwner() == old)
        v = values[r.getResultNumber()];
    old->replaceAllUsesWith(values);
    old->erase();
  }
  replaced.clear();
}

SmallVector<Value> Sweep::inBody(function_ref<SmallVector<Value>()> sweep) {
  auto outer = std::exchange(replaced, {});
  SmallVector<Value> values = sweep();
  replaceLoops(values);
  replaced = std::move(outer);
  return values;
}

ClonedBody gradus::cloneStep(OpBuilder &b, ForOp loop, Value counter,
                             ValueRange carries, ValueRange slices,
                             mlir::IRMapping &map) {
  map.map(loop.getCounter(), counter);
  map.map(llvm::to_vector_of<Value>(loop.getCarries()), carries);
  map.map(llvm::to_vector_of<Value>(loop.getSlices()), slices);
  return cloneBody(b, loop.getBody(), map);
}

//===----------------------------------------------------------------------===//
// The two modes
//===----------------------------------------------------------------------===//

void Sweep::reverse(const Tape &tape, const ValueSet &active,
                    ValueMap &cotangents) {
  llvm::SmallPtrSet<Operation *, 32> onTape(tape.begin(), tape.end());
  for (Operation *op : llvm::reverse(tape)) {
    if (llvm::none_of(op->getResults(), [&](Value r) {
          return active.contains(r) && cotangents.lookup(r);
        }))
      continue;
    b.setLoc(derivedFrom(op));
    if (isa<HasBodies>(op)) {
      reverseBodies(op, active, cotangents);
      continue;
    }
    llvm::SmallBitVector needed(op->getNumOperands());
    for (auto [i, v] : llvm::enumerate(op->getOperands()))
      needed[i] = active.contains(v) && isFloat(v);
    if (needed.none())
      continue;
    if (auto custom = dyn_cast<CustomOp>(op)) {
      reverseCustom(custom, needed, cotangents);
      continue;
    }
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

void Sweep::forward(const Tape &tape, ValueMap &tangents) {
  for (Operation *op : tape) {
    if (isa<HasBodies>(op)) {
      forwardBodies(op, tangents);
      continue;
    }
    SmallVector<Value> ts;
    for (Value v : op->getOperands())
      ts.push_back(tangents.lookup(v));
    if (llvm::none_of(ts, [](Value t) { return !!t; }))
      continue;
    b.setLoc(derivedFrom(op));
    b.setInsertionPointAfter(op);
    forwardOne(op, ts, tape, tangents);
  }
}

void Sweep::accumulate(ValueMap &sums, Value key, Value term) {
  Value &sum = sums[key];
  sum = sum ? Value(AddOp::create(b, sum, term)) : term;
}

/// A cotangent is called `d.` and the value's name, unless it has a name.
void Sweep::nameAfter(Value cotangent, Value v,
                      const llvm::SmallPtrSetImpl<Operation *> &onTape) {
  Operation *d = cotangent.getDefiningOp();
  StringRef name = nameOf(v);
  if (d && d->getNumResults() == 1 && !name.empty() && !onTape.contains(d) &&
      !d->getLoc()->findInstanceOf<NameLoc>())
    d->setLoc(NameLoc::get(b.getStringAttr("d." + name), d->getLoc()));
}

void Sweep::reverseParts(Operation *op, Composite composite,
                         const llvm::SmallBitVector &needed,
                         ValueMap &cotangents) {
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

void Sweep::forwardOne(Operation *op, ArrayRef<Value> ts, const Tape &tape,
                       ValueMap &tangents) {
  auto copyWith = [&](ValueRange operands) {
    Operation *copy = b.clone(*op);
    copy->setOperands(operands);
    copy->setLoc(b.getLoc());
    return copy;
  };
  if (auto custom = dyn_cast<CustomOp>(op)) {
    forwardCustom(custom, ts, tangents);
  } else if (auto rule = dyn_cast<ForwardDifferentiable>(op)) {
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
void Sweep::forwardByTranspose(Operation *op, Differentiable rule,
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
void Sweep::missing(Operation *op, const Tape &tape) {
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
