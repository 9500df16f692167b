//===- FuseEpilogues.cpp - what follows a product, in its kernel ----------===//
//
// In: linalg.generic on tensors, elementwise chains fused, row groups marked.
// Out: a product and the elementwise op that reads its result become a group of
// two; the op is marked `graph.epilogue`. Their kernel computes a block of the
// result, then the op on that block while it is in the cache: bias and
// activation of a layer, the activation's gradient, the optimiser's update of a
// weight. A result that nothing else reads needs no memory but a block's.
//
// The op must be the first that reads the result, each element once and at its
// own place. It moves up to the product, with the scalars that it needs: an
// update of a weight as early as its gradient is there, which also frees the
// gradient's operands. Row groups come first: they keep more in the cache.
//
// `sums`, for a GPU: so does what follows any other sum, and what fills the
// op's results, of any size, moves with it. A launch costs more than the
// memory.
//
//===----------------------------------------------------------------------===//

#include "RowGroup.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

namespace gradus {
#define GEN_PASS_DEF_FUSEEPILOGUES
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

static bool inGroup(Operation *op) { return op->hasAttr(lowering::groupAttr); }

/// Does the op read every element of the operand once, without reductions, and
/// no other operand that the same product makes?
static bool readsElementwise(linalg::GenericOp op, OpOperand &operand) {
  return op.getNumParallelLoops() == op.getNumLoops() &&
         op.getMatchingIndexingMap(&operand).isPermutation() &&
         llvm::count(op->getOperands(), operand.get()) == 1;
}

namespace {
/// Where the ops of a block stand. The block's own numbers are made anew
/// whenever some ops move to one place, all of them. What row groups make is
/// there, and what they read has been read, where their last op stands.
class BlockOrder {
public:
  explicit BlockOrder(Block &block) {
    constexpr int64_t room = 1 << 20; // for ops that move there
    for (auto [i, op] : llvm::enumerate(block)) {
      place[&op] = int64_t(i) * room;
      if (Attribute group = op.getAttr(lowering::groupAttr))
        rowGroupEnds[group] = &op;
    }
  }
  /// The op that stands where this one runs.
  Operation *lastOfGroup(Operation *op) const {
    Operation *end = rowGroupEnds.lookup(op->getAttr(lowering::groupAttr));
    return end ? end : op;
  }
  bool isBefore(Operation *a, Operation *b) const {
    return place.lookup(a) < place.lookup(b);
  }
  /// The ops stand behind `last`, to which none has moved before.
  void moveAfter(Operation *last, ArrayRef<Operation *> ops) {
    for (Operation *op : ops) {
      op->moveAfter(last);
      place[op] = place.lookup(last) + 1;
      last = op;
    }
  }
  void sort(SmallVectorImpl<Operation *> &ops) const {
    llvm::sort(ops, [&](Operation *a, Operation *b) { return isBefore(a, b); });
  }

private:
  llvm::DenseMap<Operation *, int64_t> place;
  llvm::DenseMap<Attribute, Operation *> rowGroupEnds;
};
} // namespace

/// Does any other user of the value stand before `op`?
static bool readBefore(const BlockOrder &order, Value v, Operation *op) {
  return llvm::any_of(v.getUsers(), [&](Operation *user) {
    Operation *top = op->getBlock()->findAncestorOpInBlock(*user);
    return top != op && (!top || order.isBefore(top, op));
  });
}
/// Does any user of the value but `op` run between the two?
static bool readBetween(const BlockOrder &order, Value v, Operation *first,
                        Operation *op) {
  return llvm::any_of(v.getUsers(), [&](Operation *user) {
    Operation *top = op->getBlock()->findAncestorOpInBlock(*user);
    if (!top || top == op)
      return false;
    top = order.lastOfGroup(top);
    return order.isBefore(first, top) && order.isBefore(top, op);
  });
}

/// Costs nothing to run earlier: a place to write to, a number, a reshape, an
/// op on scalars; what fills a tensor, if that may be one of any size.
static bool isSmall(Operation *op, bool anyFills) {
  if (anyFills && isa<linalg::FillOp>(op))
    return true;
  if (op->hasTrait<mlir::OpTrait::ConstantLike>() ||
      isa<mlir::tensor::EmptyOp, mlir::tensor::ExpandShapeOp,
          mlir::tensor::CollapseShapeOp>(op))
    return true;
  return isa<linalg::GenericOp, linalg::FillOp>(op) &&
         llvm::all_of(op->getResultTypes(), [](Type t) {
           return cast<RankedTensorType>(t).getNumElements() == 1;
         });
}

/// What must move for `op` to stand right after `product`, in order; none if
/// that would change what something reads.
static std::optional<SmallVector<Operation *>>
opsToMove(const BlockOrder &order, linalg::GenericOp product,
          linalg::GenericOp op, bool anyFills) {
  llvm::SetVector<Operation *> moving;
  SmallVector<Operation *> work{op};
  while (!work.empty()) {
    Operation *next = work.pop_back_val();
    if (!moving.insert(next))
      continue;
    llvm::SetVector<Value> read(next->operand_begin(), next->operand_end());
    mlir::getUsedValuesDefinedAbove(next->getRegions(), read);
    for (Value v : read) {
      Operation *def = v.getDefiningOp();
      // An update in place must not overtake those that read the old value.
      if (!def && next == op && readBetween(order, v, product, op))
        return std::nullopt;
      if (!def || def == product ||
          order.isBefore(order.lastOfGroup(def), product))
        continue;
      if (inGroup(def) || !isSmall(def, anyFills))
        return std::nullopt;
      work.push_back(def);
    }
  }
  SmallVector<Operation *> ordered = moving.takeVector();
  order.sort(ordered);
  return ordered;
}

namespace {
struct FuseEpilogues : impl::FuseEpiloguesBase<FuseEpilogues> {
  using FuseEpiloguesBase::FuseEpiloguesBase;

  void runOnOperation() override {
    lengths = LengthAnalysis();
    Block &body = getOperation().getBody().front();
    int64_t number = nextGroup(body);
    Builder b(&getContext());
    BlockOrder order(body);
    for (auto op :
         llvm::make_early_inc_range(body.getOps<linalg::GenericOp>())) {
      linalg::GenericOp product = sumBefore(order, op, lowering::addsProducts);
      if (!product && sums)
        product = sumBefore(order, op, isSum);
      auto moving = product ? opsToMove(order, product, op, /*anyFills=*/sums)
                            : std::nullopt;
      if (!moving)
        continue;
      order.moveAfter(product, *moving);
      for (Operation *member : {product.getOperation(), op.getOperation()})
        member->setAttr(lowering::groupAttr, b.getI64IntegerAttr(number));
      op->setAttr(lowering::epilogueAttr, b.getUnitAttr());
      ++number;
    }
  }

private:
  /// Which step of such a sum is the last one is known to no block.
  bool sumsToRuntimeLength(linalg::GenericOp product) {
    return lengths.any(product, mlir::utils::IteratorType::reduction);
  }

  static bool isSum(linalg::GenericOp op) {
    return op.getNumReductionLoops() > 0 && op.getNumDpsInits() == 1 &&
           op.getIndexingMapsArray().back().isProjectedPermutation();
  }

  /// The last sum of its kind that `op` can be the epilogue of.
  linalg::GenericOp sumBefore(const BlockOrder &order, linalg::GenericOp op,
                              function_ref<bool(linalg::GenericOp)> isKind) {
    linalg::GenericOp last;
    if (inGroup(op))
      return last;
    for (OpOperand *in : op.getDpsInputOperands()) {
      auto product = in->get().getDefiningOp<linalg::GenericOp>();
      if (product && isKind(product) && !inGroup(product) &&
          readsElementwise(op, *in) && !readBefore(order, in->get(), op) &&
          !sumsToRuntimeLength(product) &&
          (!last || order.isBefore(last, product)))
        last = product;
    }
    return last;
  }

  LengthAnalysis lengths;
};
} // namespace
