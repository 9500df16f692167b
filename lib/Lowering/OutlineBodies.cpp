//===- OutlineBodies.cpp - a function for each body of a loop or branch ---===//
//
// In: func.func with graph loops and branches. Out: their bodies are private
// functions on tensors (`graph.body`), called by call_for, call_while,
// call_if and call_body: every later stage meets straight lists of ops only,
// and a body has a frame of its own in the plan of memory. Inner bodies come
// before the outer ones that call them, these before the function.
//
// A body's function takes what the op gives it (counter, carries, slices), then
// what the body reads from outside; numbers, and tensors filled with one, are
// made anew inside. It returns what the body yields.
//
//===----------------------------------------------------------------------===//

#include "gradus/Graph.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"

namespace gradus {
#define GEN_PASS_DEF_OUTLINEBODIES
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;
namespace func = mlir::func;

/// Costs nothing to make anew: a number, or a tensor of one number.
static bool isMadeAnew(Value v) {
  Operation *op = v.getDefiningOp();
  if (isa_and_nonnull<ConstantOp, IotaOp>(op))
    return true;
  return isa_and_nonnull<BroadcastOp, ReshapeOp>(op) &&
         isMadeAnew(op->getOperand(0));
}

static Value makeAnew(OpBuilder &b, Value v, mlir::IRMapping &map) {
  if (Value made = map.lookupOrNull(v))
    return made;
  Operation *op = v.getDefiningOp();
  for (Value operand : op->getOperands())
    makeAnew(b, operand, map);
  return b.clone(*op, map)->getResult(0);
}

namespace {
struct OutlineBodies : impl::OutlineBodiesBase<OutlineBodies> {
  void runOnOperation() override {
    for (auto f : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      SmallVector<Operation *> work; // inner ones first
      f.walk([&](Operation *op) {
        if (isa<HasBodies>(op))
          work.push_back(op);
      });
      for (auto [number, op] : llvm::enumerate(work))
        outline(f, op, number);
    }
  }

private:
  void outline(func::FuncOp f, Operation *op, size_t number) {
    OpBuilder b(op);
    SmallVector<Value> captures = capturesOf(op);
    auto bodyName = [&](StringRef part) {
      return (f.getSymName() + "." + op->getName().stripDialect() +
              Twine(number) + (part.empty() ? "" : ".") + part)
          .str();
    };
    auto body = [&](mlir::Region &region, StringRef part) {
      return mlir::FlatSymbolRefAttr::get(
          moveBody(f, region, captures, bodyName(part)));
    };
    Operation *call;
    if (auto loop = dyn_cast<ForOp>(op)) {
      int64_t steps = loop.getSteps().size;
      if (steps == 0)
        return replaceByNothing(b, loop);
      auto f = body(loop.getBody(), "");
      call =
          CallForOp::create(b, op->getLoc(), op->getResultTypes(), f,
                            b.getI64IntegerAttr(steps), loop.getReverseAttr(),
                            loop.getInitial(), loop.getSources(), captures);
      if (StringAttr dim = loop.getSteps().name)
        call->setAttr(lowering::sizeAttr, dim);
    } else if (auto loop = dyn_cast<WhileOp>(op)) {
      auto goOn = body(loop.getCondition(), "condition"),
           step = body(loop.getBody(), "body");
      call =
          CallWhileOp::create(b, op->getLoc(), op->getResultTypes(), goOn, step,
                              loop.getLimitAttr(), loop.getInitial(), captures);
    } else if (auto checkpoint = dyn_cast<CheckpointOp>(op)) {
      call = CallBodyOp::create(b, op->getLoc(), op->getResultTypes(),
                                body(checkpoint.getBody(), ""), captures);
    } else {
      auto branch = cast<IfOp>(op);
      auto yes = body(branch.getYes(), "yes"), no = body(branch.getNo(), "no");
      call = CallIfOp::create(b, op->getLoc(), op->getResultTypes(),
                              branch.getPredicate(), yes, no, captures);
    }
    op->replaceAllUsesWith(call);
    op->erase();
  }

  /// A loop without steps: its carries as they start, and empty tensors.
  static void replaceByNothing(OpBuilder &b, ForOp loop) {
    for (auto [from, to] : llvm::zip(loop.getFinals(), loop.getInitial()))
      from.replaceAllUsesWith(to);
    for (Value stack : loop.getStacks()) {
      auto type = cast<RankedTensorType>(stack.getType());
      auto empty = DenseElementsAttr::get(type, ArrayRef<Attribute>());
      stack.replaceAllUsesWith(ConstantOp::create(
          b, loop.getLoc(), type, cast<mlir::ElementsAttr>(empty)));
    }
    loop.erase();
  }

  static SmallVector<Value> capturesOf(Operation *op) {
    llvm::SetVector<Value> used;
    mlir::getUsedValuesDefinedAbove(op->getRegions(), used);
    return llvm::to_vector(
        llvm::make_filter_range(used, [](Value v) { return !isMadeAnew(v); }));
  }

  static func::FuncOp moveBody(func::FuncOp f, mlir::Region &body,
                               ArrayRef<Value> captures,
                               const std::string &name) {
    Block &block = body.front();
    OpBuilder b(f);
    llvm::SetVector<Value> used;
    mlir::getUsedValuesDefinedAbove(body, used);
    SmallVector<Type> inputs(block.getArgumentTypes());
    llvm::append_range(inputs, ValueRange(captures).getTypes());
    Operation *yield = block.getTerminator();
    auto loop = dyn_cast<ForOp>(body.getParentOp());
    auto out = func::FuncOp::create(
        b, body.getParentOp()->getLoc(), name,
        b.getFunctionType(inputs, SmallVector<Type>(yield->getOperandTypes())));
    out.setPrivate();
    out->setAttr(lowering::bodyAttr,
                 b.getI64IntegerAttr(loop ? loop.getInitial().size() : 0));
    out.getBody().takeBody(body);

    auto replaceInside = [&](Value from, Value to) {
      from.replaceUsesWithIf(to, [&](mlir::OpOperand &use) {
        return out->isProperAncestor(use.getOwner());
      });
    };
    for (Value v : captures)
      replaceInside(v, block.addArgument(v.getType(), v.getLoc()));
    b.setInsertionPointToStart(&block);
    mlir::IRMapping made;
    for (Value v : used)
      if (isMadeAnew(v))
        replaceInside(v, makeAnew(b, v, made));
    b.setInsertionPoint(yield);
    func::ReturnOp::create(b, yield->getLoc(), yield->getOperands());
    yield->erase();
    return out;
  }
};
} // namespace
