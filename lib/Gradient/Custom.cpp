//===- Custom.cpp - functions with a gradient of their own ----------------===//
//
// `func @f(%x) gradient @g { ... }`: the cotangents of the float arguments are
// what @g returns, given the arguments and the cotangents of the float results.
// @g is linear in those, so that forward mode is its transpose.
//
//===----------------------------------------------------------------------===//

#include "Custom.h"
#include "Sweep.h"
#include "gradus/Expand.h"
#include "mlir/IR/IRMapping.h"

using namespace gradus;
using namespace gradus::graph;

/// A call of such a function as one op; none for another function.
static std::optional<SmallVector<Value>>
customCall(OpBuilder &b, FuncOp f, ValueRange args, Location call) {
  auto rule = f->getAttrOfType<mlir::FlatSymbolRefAttr>(gradientAttr);
  if (!rule)
    return std::nullopt;
  auto types = callResults(Signature(f), args, {}, Report(call));
  assert(succeeded(types) && "the call was checked when it was read");
  auto op = CustomOp::create(b, call, *types, rule, args);
  OpBuilder::InsertionGuard guard(b);
  Block *body = b.createBlock(&op.getBody(), {}, args.getTypes(),
                              SmallVector<Location>(args.size(), call));
  auto results =
      inlineBody(b, f, body->getArguments(), call, [](Operation *) {});
  b.setInsertionPointToEnd(body);
  YieldOp::create(b, call, results);
  return SmallVector<Value>(op.getResults());
}

SmallVector<Value> gradus::inlineForDerivative(ImplicitLocOpBuilder &b,
                                               FuncOp f, ValueRange args) {
  if (auto results = customCall(b, f, args, b.getLoc()))
    return *results;
  return inlineBody(b, f, args, b.getLoc(), [](Operation *) {}, customCall);
}

void gradus::inlineCustomOps(Operation *root) {
  SmallVector<CustomOp> ops; // inner ones first
  root->walk([&](CustomOp op) { ops.push_back(op); });
  for (CustomOp op : ops) {
    OpBuilder b(op);
    mlir::IRMapping map;
    map.map(op.getBody().getArguments(), op.getInputs());
    op.replaceAllUsesWith(cloneBody(b, op.getBody(), map).carried);
    op.erase();
  }
}

/// The cotangents of the op's float operands; none if the rule cannot be had.
std::optional<SmallVector<Value>> Sweep::applyRule(CustomOp op,
                                                   ArrayRef<Value> cotangents) {
  auto refuse = [&](const Twine &what) -> std::optional<SmallVector<Value>> {
    complete = false;
    auto d = mlir::emitError(withoutName(op.getLoc())) << what;
    d.attachNote(request) << "its gradient is asked for here";
    return std::nullopt;
  };
  FuncOp rule = lookupCallee(op, op.getRule());
  if (!rule)
    return refuse("there is no function @" + op.getRule() +
                  ", which is to be the gradient");
  SmallVector<Value> args(op.getInputs()), floats;
  args.append(cotangents.begin(), cotangents.end());
  for (Value v : op.getInputs())
    if (isFloat(v))
      floats.push_back(v);
  auto types = callResults(Signature(rule), args, {}, Report(rule.getLoc()));
  if (failed(types))
    return refuse("@" + op.getRule() +
                  " is to be the gradient: it takes the function's arguments, "
                  "then a cotangent for each float result");
  if (!llvm::equal(*types, ValueRange(floats).getTypes()))
    return refuse("@" + op.getRule() +
                  " is to be the gradient: it returns a cotangent for each "
                  "float argument, of its shape");
  return inlineForDerivative(b, rule, args);
}

void Sweep::reverseCustom(CustomOp op, const llvm::SmallBitVector &needed,
                          ValueMap &cotangents) {
  SmallVector<Value> cts;
  for (Value r : op.getResults())
    if (isFloat(r))
      cts.push_back(orZeros(cotangents.lookup(r), r));
  auto gradients = applyRule(op, cts);
  if (!gradients)
    return;
  auto next = gradients->begin();
  for (auto [i, v] : llvm::enumerate(op.getInputs())) {
    if (!isFloat(v))
      continue;
    if (needed[i])
      accumulate(cotangents, v, *next);
    ++next;
  }
}

void Sweep::forwardCustom(CustomOp op, ArrayRef<Value> ts, ValueMap &tangents) {
  SmallVector<Value> cts;
  for (Value r : op.getResults())
    if (isFloat(r))
      cts.push_back(filled(b, r, 0));
  std::optional<SmallVector<Value>> gradients;
  Tape tape = recorded(b, [&] { gradients = applyRule(op, cts); });
  if (!gradients)
    return;
  ValueMap inner;
  auto next = gradients->begin();
  for (auto [v, t] : llvm::zip(op.getInputs(), ts)) {
    if (!isFloat(v))
      continue;
    if (t)
      accumulate(inner, *next, t);
    ++next;
  }
  reverse(tape, reached(cts, tape), inner);
  auto ct = cts.begin();
  for (Value r : op.getResults())
    if (isFloat(r))
      tangents[r] = inner.lookup(*ct++);
}
