//===- DropEmpty.cpp - tensors without elements ---------------------------===//
//
// In: func.func of graph ops, the bodies of loops and branches outlined. Out:
// no op makes or reads a tensor without elements, but for arguments, results
// and the constants that stand for the latter. Loops over nothing need no
// lowering then, and no buffer has a stride of 0, which a memref descriptor
// cannot have.
//
// What does have elements though an operand has none, as the sum over an empty
// axis, does not depend on the numbers of its other operands: the reference
// says what it is.
//
//===----------------------------------------------------------------------===//

#include "gradus/Graph.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

namespace gradus {
#define GEN_PASS_DEF_DROPEMPTY
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;
namespace func = mlir::func;

static bool isEmpty(Type t) {
  auto tensor = dyn_cast<RankedTensorType>(t);
  return tensor && tensor.hasStaticShape() && tensor.getNumElements() == 0;
}
static bool isEmptyValue(Value v) { return isEmpty(v.getType()); }
static bool hasElements(Value v) { return !isEmptyValue(v); }

/// The positions of the empty ones.
template <typename Types> static llvm::BitVector emptyOnes(const Types &types) {
  llvm::BitVector which(types.size());
  for (auto [i, t] : llvm::enumerate(types))
    which[i] = isEmpty(t);
  return which;
}

static Value emptyTensor(OpBuilder &b, Location loc, Type type) {
  auto none = DenseElementsAttr::get(cast<RankedTensorType>(type),
                                     ArrayRef<Attribute>());
  return ConstantOp::create(b, loc, type, cast<mlir::ElementsAttr>(none));
}
static void replaceByEmpty(OpBuilder &b, Value v) {
  if (!v.use_empty())
    v.replaceAllUsesWith(emptyTensor(b, v.getLoc(), v.getType()));
}

namespace {
struct DropEmpty : impl::DropEmptyBase<DropEmpty> {
  void runOnOperation() override {
    hasConstants = false;
    for (auto f : getOperation().getOps<func::FuncOp>()) {
      if (f->hasAttr(lowering::bodyAttr))
        dropFromBody(f);
      for (Operation &op :
           llvm::make_early_inc_range(f.getBody().front().without_terminator()))
        if (failed(drop(&op)))
          return signalPassFailure();
    }
    if (!hasConstants)
      return;
    // What is computed of such constants folds.
    mlir::OpPassManager fold(ModuleOp::getOperationName());
    fold.addPass(mlir::createCanonicalizerPass());
    if (failed(runPipeline(fold, getOperation())))
      signalPassFailure();
  }

private:
  bool hasConstants = false; ///< made of what is empty

  /// From what a body is given and what it yields. It is called once, by an op
  /// of which `dropFromCall` drops the same.
  static void dropFromBody(func::FuncOp body) {
    auto b = OpBuilder::atBlockBegin(&body.getBody().front());
    llvm::BitVector arguments = emptyOnes(body.getArgumentTypes()),
                    results = emptyOnes(body.getResultTypes());
    auto carries = body->getAttrOfType<IntegerAttr>(lowering::bodyAttr);
    int64_t left = carries.getInt();
    for (unsigned i : arguments.set_bits()) {
      replaceByEmpty(b, body.getArgument(i));
      // The counter of a `for` is before its carries.
      if (i >= 1 && i <= carries.getInt())
        --left;
    }
    body->setAttr(lowering::bodyAttr, b.getI64IntegerAttr(left));
    Operation *ret = body.getBody().front().getTerminator();
    ret->eraseOperands(results);
    (void)body.eraseArguments(arguments);
    (void)body.eraseResults(results);
  }

  static void erase(mlir::MutableOperandRange operands) {
    for (unsigned i = operands.size(); i-- > 0;)
      if (isEmptyValue(operands[i].get()))
        operands.erase(i);
  }
  static void dropFromCall(Operation *call) {
    if (auto loop = dyn_cast<CallForOp>(call)) {
      erase(loop.getInitialMutable());
      erase(loop.getSourcesMutable());
      erase(loop.getCapturesMutable());
    } else if (auto loop = dyn_cast<CallWhileOp>(call)) {
      erase(loop.getInitialMutable());
      erase(loop.getCapturesMutable());
    } else if (auto branch = dyn_cast<CallIfOp>(call)) {
      erase(branch.getCapturesMutable());
    } else {
      erase(cast<CallBodyOp>(call).getCapturesMutable());
    }
    auto results = llvm::make_filter_range(call->getResults(), hasElements);
    if (llvm::range_size(results) == call->getNumResults())
      return;
    OpBuilder b(call);
    SmallVector<Type> types =
        llvm::map_to_vector(results, [](Value v) { return v.getType(); });
    Operation *fewer = Operation::create(
        call->getLoc(), call->getName(), types, call->getOperands(),
        call->getDiscardableAttrDictionary(), call->getPropertiesStorage(),
        /*successors=*/{}, /*numRegions=*/0u);
    b.insert(fewer);
    for (auto [from, to] : llvm::zip(results, fewer->getResults()))
      from.replaceAllUsesWith(to);
    for (Value v : call->getResults())
      replaceByEmpty(b, v);
    call->erase();
  }

  LogicalResult drop(Operation *op) {
    if (isa<CallForOp, CallWhileOp, CallIfOp, CallBodyOp>(op)) {
      dropFromCall(op);
      return success();
    }
    if (!isa<GraphDialect>(op->getDialect()) || isa<ConstantOp>(op))
      return success();
    OpBuilder b(op);
    if (llvm::all_of(op->getResults(), isEmptyValue)) {
      for (Value r : op->getResults())
        replaceByEmpty(b, r);
      op->erase();
      return success();
    }
    if (llvm::none_of(op->getOperands(), isEmptyValue))
      return success();
    if (isa<ConcatOp>(op)) {
      op->setOperands(llvm::to_vector(
          llvm::make_filter_range(op->getOperands(), hasElements)));
      return success();
    }
    hasConstants = true;
    return replaceByValue(b, op);
  }

  /// By its value for any numbers in the operands that have some.
  static LogicalResult replaceByValue(OpBuilder &b, Operation *op) {
    auto evaluable = dyn_cast<Evaluable>(op);
    if (!evaluable)
      return mlir::emitError(op->getLoc())
             << op->getName().stripDialect()
             << " of a tensor without elements cannot be compiled";
    SmallVector<Array> zeros =
        llvm::map_to_vector(op->getOperands(), [](Value v) {
          return Array(cast<RankedTensorType>(v.getType()).getShape());
        });
    for (auto [r, a] : llvm::zip(op->getResults(), evaluable.evaluate(zeros))) {
      auto type = cast<RankedTensorType>(r.getType());
      Type element = type.getElementType();
      assert(llvm::all_equal(a.data) && "depends on its other operands");
      Attribute number = isa<FloatType>(element)
                             ? Attribute(b.getFloatAttr(element, a.data[0]))
                             : b.getIntegerAttr(element, int64_t(a.data[0]));
      auto splat = DenseElementsAttr::get(type, number);
      r.replaceAllUsesWith(ConstantOp::create(b, op->getLoc(), type,
                                              cast<mlir::ElementsAttr>(splat)));
    }
    op->erase();
    return success();
  }
};
} // namespace
