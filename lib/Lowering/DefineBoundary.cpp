//===- DefineBoundary.cpp - entry functions read and write buffers --------===//
//
// In: entry functions, and bodies that they call, on tensors. Out: their
// arguments are memrefs; each result is materialised into a new memref argument
// (`graph.output`), the next value of a variable into the variable's own.
//
// The op that makes such a value takes its place as destination. Where it also
// reads the variable elementwise, reading and writing become one operand, so
// that no kernel has two arguments for one buffer. If the old value is still
// read later, bufferisation adds the copy that is needed.
//
//===----------------------------------------------------------------------===//

#include "CallBodies.h"
#include "LinalgBuilder.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h" // the pass's dependent dialect
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

namespace gradus {
#define GEN_PASS_DEF_DEFINEBOUNDARY
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace bufferization = mlir::bufferization;
namespace func = mlir::func;
namespace linalg = mlir::linalg;

/// Gives input `variable` of an elementwise op, read at the index that result
/// `r` is written at, to the result as its initial value.
static void mergeWithResult(linalg::GenericOp op, unsigned r, Value variable) {
  mlir::OpOperand *init = op.getDpsInitOperand(r);
  mlir::AffineMap outMap = op.getMatchingIndexingMap(init);
  for (mlir::OpOperand *in : op.getDpsInputOperands()) {
    if (in->get() != variable || op.getMatchingIndexingMap(in) != outMap)
      continue;
    op.getMatchingBlockArgument(in).replaceAllUsesWith(
        op.getMatchingBlockArgument(init));
    eraseInput(op, in->getOperandNumber());
    return;
  }
}

/// What makes the tensor that the op, or none, reshapes, if it does.
static Operation *behindReshapes(Operation *op) {
  while (isa_and_nonnull<mlir::tensor::CollapseShapeOp,
                         mlir::tensor::ExpandShapeOp>(op))
    op = op->getOperand(0).getDefiningOp();
  return op;
}
/// An empty tensor, perhaps reshaped.
static bool isEmpty(Operation *op) {
  return isa_and_nonnull<mlir::tensor::EmptyOp>(behindReshapes(op));
}

static bool writeInto(Value value, Value destination);

/// What is reshaped is written into the destination in its own shape.
template <typename Reshape, typename Back>
static bool writeReshaped(Reshape reshape, Value destination) {
  Value source = reshape.getSrc();
  if (!source.hasOneUse())
    return false;
  OpBuilder b(destination.getContext());
  b.setInsertionPointAfterValue(destination);
  auto back = Back::create(b, reshape.getLoc(), source.getType(), destination,
                           reshape.getReassociationIndices());
  if (writeInto(source, back))
    return true;
  back.erase();
  return false;
}

/// Makes `destination` the place where `value` is computed, if the op that
/// computes it starts from an empty tensor.
static bool writeInto(Value value, Value destination) {
  if (value.getType() != destination.getType())
    return false;
  if (auto reshape = value.getDefiningOp<mlir::tensor::ExpandShapeOp>())
    return writeReshaped<mlir::tensor::ExpandShapeOp,
                         mlir::tensor::CollapseShapeOp>(reshape, destination);
  if (auto reshape = value.getDefiningOp<mlir::tensor::CollapseShapeOp>())
    return writeReshaped<mlir::tensor::CollapseShapeOp,
                         mlir::tensor::ExpandShapeOp>(reshape, destination);
  if (auto insert = value.getDefiningOp<mlir::tensor::InsertSliceOp>()) {
    Value rest = insert.getDest();
    if (!isEmpty(rest.getDefiningOp()))
      return rest.hasOneUse() && writeInto(rest, destination);
    insert.getDestMutable().assign(destination);
    return true;
  }
  auto op = value.getDefiningOp<mlir::DestinationStyleOpInterface>();
  if (!op)
    return false;
  unsigned r = cast<mlir::OpResult>(value).getResultNumber();
  mlir::OpOperand *init = op.getDpsInitOperand(r);
  if (isEmpty(init->get().getDefiningOp())) {
    // The destination must be there before the op.
    if (auto generic = dyn_cast<linalg::GenericOp>(op.getOperation())) {
      bool parallel = generic.getNumParallelLoops() == generic.getNumLoops();
      if (parallel)
        mergeWithResult(generic, r, destination);
    }
    op.getDpsInitOperand(r)->set(destination);
    return true;
  }
  auto fill = init->get().getDefiningOp<linalg::FillOp>();
  return fill && fill->hasOneUse() && writeInto(fill.getResult(0), destination);
}

/// Makes nothing but a start: an empty tensor, one that is filled, or either
/// reshaped.
static bool isStart(Operation *op) {
  return isa_and_nonnull<mlir::tensor::EmptyOp, linalg::FillOp>(
      behindReshapes(op));
}
static bool isShared(Operation *start) {
  return !start->hasOneUse() ||
         (!isa<mlir::tensor::EmptyOp, linalg::FillOp>(start) &&
          isShared(start->getOperand(0).getDefiningOp()));
}
static Value cloneStart(OpBuilder &b, Operation *start) {
  mlir::IRMapping map;
  if (!isa<mlir::tensor::EmptyOp, linalg::FillOp>(start)) {
    Value source = start->getOperand(0);
    map.map(source, cloneStart(b, source.getDefiningOp()));
  }
  return b.clone(*start, map)->getResult(0);
}

/// Gives every result a start of its own: one that two ops, or two results of
/// an op, start from would be one buffer.
static void separateStarts(Block &body) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body))) {
    auto destination = dyn_cast<mlir::DestinationStyleOpInterface>(&op);
    if (!destination)
      continue;
    for (mlir::OpOperand &init : destination.getDpsInitsMutable()) {
      Operation *start = init.get().getDefiningOp();
      if (OpBuilder b(&op); isStart(start) && isShared(start))
        init.set(cloneStart(b, start));
    }
  }
}

/// Is `next` made by an elementwise op that alone reads `carry`, each element
/// at its own place? Then it takes the carry's place.
static bool replacesCarry(Value next, BlockArgument carry) {
  auto op = next.getDefiningOp<linalg::GenericOp>();
  if (!op || !carry.hasOneUse() || *carry.user_begin() != op ||
      op.getNumParallelLoops() != op.getNumLoops())
    return false;
  mlir::OpOperand *out =
      op.getDpsInitOperand(cast<mlir::OpResult>(next).getResultNumber());
  mlir::OpOperand &in = *carry.use_begin();
  return op.isDpsInput(&in) &&
         out->get().getDefiningOp<mlir::tensor::EmptyOp>() &&
         op.getMatchingIndexingMap(&in) == op.getMatchingIndexingMap(out);
}

/// The carries of a loop's body that are updated in place.
static SmallVector<int64_t> carriesInPlace(func::FuncOp body) {
  SmallVector<int64_t> inPlace;
  auto carries = body->getAttrOfType<IntegerAttr>(lowering::bodyAttr);
  auto ret = body.getBody().front().getTerminator();
  for (int64_t i = 0, n = carries ? carries.getInt() : 0; i < n; ++i)
    if (replacesCarry(ret->getOperand(i), body.getArgument(1 + i)))
      inPlace.push_back(i);
  return inPlace;
}

namespace {
struct DefineBoundary : impl::DefineBoundaryBase<DefineBoundary> {
  void runOnOperation() override {
    for (auto f : getOperation().getOps<func::FuncOp>()) {
      convert(f);
      callBodies(f);
    }
  }

private:
  static void convert(func::FuncOp f) {
    Block &body = f.getBody().front();
    LengthAnalysis lengths;
    SmallVector<ArrayAttr> resultLengths;
    for (Value v : body.getTerminator()->getOperands())
      resultLengths.push_back(lengthsAttrOf(f.getContext(), lengths.of(v)));
    separateStarts(body);
    SmallVector<int64_t> inPlace = carriesInPlace(f);
    SmallVector<std::pair<Value, Value>> carries;
    OpBuilder b = OpBuilder::atBlockBegin(&body);
    llvm::DenseMap<StringAttr, std::pair<Value, Value>> variables;
    SmallVector<Type> inputs;
    SmallVector<DictionaryAttr> attrs;
    for (BlockArgument a : body.getArguments()) {
      auto type = cast<RankedTensorType>(a.getType());
      unsigned i = a.getArgNumber();
      auto name = f.getArgAttrOfType<StringAttr>(i, lowering::variableAttr);
      attrs.push_back(f.getArgAttrDict(i));
      a.setType(bufferType(type));
      inputs.push_back(a.getType());
      bool isUpdated = llvm::is_contained(inPlace, int64_t(i) - 1);
      auto tensor = bufferization::ToTensorOp::create(
          b, a.getLoc(), type, a, /*restrict=*/true,
          /*writable=*/name || isUpdated);
      a.replaceAllUsesExcept(tensor, tensor);
      if (isUpdated)
        carries.push_back({a, tensor});
      if (name)
        variables[name] = {a, tensor};
    }
    auto ret = cast<func::ReturnOp>(body.getTerminator());
    llvm::DenseSet<Value> placed;
    for (auto [i, value] : llvm::enumerate(ret.getOperands())) {
      auto next = f.getResultAttrOfType<StringAttr>(i, lowering::nextAttr);
      Value buffer, tensor;
      if (next) {
        std::tie(buffer, tensor) = variables.lookup(next);
      } else if (auto *carry = llvm::find(inPlace, int64_t(i));
                 carry != inPlace.end()) {
        std::tie(buffer, tensor) = carries[carry - inPlace.begin()];
      } else {
        auto type = bufferType(value.getType());
        buffer = body.addArgument(type, value.getLoc());
        inputs.push_back(type);
        NamedAttrList outputAttrs;
        outputAttrs.set(lowering::outputAttr, b.getUnitAttr());
        if (auto name =
                f.getResultAttrOfType<StringAttr>(i, lowering::nameAttr))
          outputAttrs.set(lowering::nameAttr, name);
        if (resultLengths[i])
          outputAttrs.set(lowering::lengthsAttr, resultLengths[i]);
        attrs.push_back(outputAttrs.getDictionary(f.getContext()));
        tensor = bufferization::ToTensorOp::create(
            b, value.getLoc(), value.getType(), buffer,
            /*restrict=*/true, /*writable=*/true);
      }
      if (placed.insert(value).second)
        writeInto(value, tensor);
      OpBuilder atEnd(ret);
      bufferization::MaterializeInDestinationOp::create(
          atEnd, value.getLoc(), mlir::TypeRange{}, value, buffer,
          /*restrict=*/false, /*writable=*/true);
    }
    ret->setOperands({});
    f.setType(b.getFunctionType(inputs, {}));
    f.removeResAttrsAttr();
    if (!inPlace.empty())
      f->setAttr(lowering::inPlaceAttr, b.getDenseI64ArrayAttr(inPlace));
    f.setAllArgAttrs(attrs);
  }
};
} // namespace
