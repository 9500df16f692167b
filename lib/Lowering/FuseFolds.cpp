//===- FuseFolds.cpp - windows that do not overlap, put back --------------===//
//
// In: linalg.generic on tensors, elementwise chains fused. An op that puts
// windows back where they do not overlap and nothing is left out - a pool's
// gradient - makes each element of the image once, in an order of its own
// (LowerToLinalg.cpp). Out: such an op
//   - computes for itself what it reads of a few operations on each element,
//     such as which element of a window is the largest, that others read too;
//   - computes what follows with each element, such as the gradient of relu.
//
// Both save a tensor as large as the image.
//
//===----------------------------------------------------------------------===//

#include "LinalgBuilder.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

namespace gradus {
#define GEN_PASS_DEF_FUSEFOLDS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
namespace tensor = mlir::tensor;
using mlir::AffineMap;
using mlir::OpOperand;

/// Operations on an element that cost less than to store and load it.
static constexpr int64_t mostRepeated = 4;

/// Of one result and of sizes that are known: what is fused here.
static bool isOneParallelResult(linalg::GenericOp op) {
  return op.getNumParallelLoops() == op.getNumLoops() &&
         op->getNumResults() == 1 && !op->hasAttr(lowering::lengthsAttr);
}
/// Does the body use nothing but the elements of the inputs?
static bool isElementwise(linalg::GenericOp op) {
  if (!isOneParallelResult(op) ||
      !op.getMatchingBlockArgument(op.getDpsInitOperand(0)).use_empty())
    return false;
  return llvm::all_of(op.getBody()->without_terminator(), [](Operation &inner) {
    return inner.getNumRegions() == 0 &&
           !isa<tensor::ExtractOp, linalg::IndexOp>(inner);
  });
}
/// Makes each element of its result once, but not in the order of its loops.
static bool isFold(linalg::GenericOp op) {
  if (!isElementwise(op))
    return false;
  AffineMap out = op.getIndexingMapsArray().back();
  return !out.isProjectedPermutation(/*allowZeroInResults=*/true);
}

namespace {
/// A generic under construction that has the loops of one that is there.
class Rebuilt {
public:
  Rebuilt(linalg::GenericOp loops, Operation *at) : loops(loops), b(at) {
    kinds = loops.getIteratorTypesArray();
  }

  void add(Value input, AffineMap map) {
    inputs.push_back(input);
    maps.push_back(map);
  }
  /// `body` gets the elements of the inputs and what the result was, and
  /// returns what it is.
  linalg::GenericOp finish(Value init, AffineMap out, Location loc,
                           function_ref<Value(OpBuilder &, ValueRange)> body) {
    size_t count = inputs.size();
    addSizes(out);
    maps.push_back(out);
    auto op = linalg::GenericOp::create(
        b, loc, init.getType(), inputs, init, maps, kinds,
        [&](OpBuilder &inner, Location at, ValueRange args) {
          SmallVector<Value> elements(args.take_front(count));
          elements.push_back(args.back());
          linalg::YieldOp::create(inner, at, body(inner, elements));
        });
    mergeInputs(op);
    return op;
  }

private:
  /// Loops that only sums of indices tell of, such as those over a window, get
  /// a tensor of their sizes.
  void addSizes(AffineMap out) {
    auto ranges = loops.getStaticLoopRanges();
    SmallVector<mlir::AffineExpr> missing;
    SmallVector<int64_t> sizes;
    for (unsigned d = 0; d < loops.getNumLoops(); ++d) {
      mlir::AffineExpr loop = b.getAffineDimExpr(d);
      bool isKnown = llvm::is_contained(out.getResults(), loop) ||
                     llvm::any_of(maps, [&](AffineMap map) {
                       return llvm::is_contained(map.getResults(), loop);
                     });
      if (isKnown)
        continue;
      missing.push_back(loop);
      sizes.push_back(ranges[d]);
    }
    if (missing.empty())
      return;
    add(tensor::EmptyOp::create(b, loops.getLoc(), sizes, b.getF32Type()),
        AffineMap::get(loops.getNumLoops(), 0, missing, b.getContext()));
  }

  linalg::GenericOp loops;
  OpBuilder b;
  SmallVector<mlir::utils::IteratorType> kinds;
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
};

/// What an op's body makes of these elements.
Value cloneBody(OpBuilder &b, linalg::GenericOp op, ValueRange elements) {
  mlir::IRMapping mapping;
  mapping.map(op.getBody()->getArguments().take_front(elements.size()),
              elements);
  for (Operation &inner : op.getBody()->without_terminator())
    b.clone(inner, mapping);
  return mapping.lookupOrDefault(op.getBody()->getTerminator()->getOperand(0));
}

struct FuseFolds : impl::FuseFoldsBase<FuseFolds> {
  void runOnOperation() override {
    Block &body = getOperation().getBody().front();
    // Each step replaces ops, others of its kind among them.
    auto fuseAny = [&] {
      return llvm::any_of(
          body.getOps<linalg::GenericOp>(),
          [](linalg::GenericOp op) { return isFold(op) && fuse(op); });
    };
    while (fuseAny())
      ;
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
      if (mlir::isOpTriviallyDead(&op))
        op.erase();
  }

private:
  /// Returns whether there was something to fuse.
  static bool fuse(linalg::GenericOp fold) {
    if (takeFollower(fold))
      return true;
    for (OpOperand *in : fold.getDpsInputOperands())
      if (auto producer = in->get().getDefiningOp<linalg::GenericOp>();
          producer && isRepeated(producer)) {
        repeat(producer);
        return true;
      }
    return false;
  }

  /// Makes the fold and the one elementwise op that reads its result one.
  static bool takeFollower(linalg::GenericOp fold) {
    if (!fold->hasOneUse())
      return false;
    OpOperand &use = *fold->getUses().begin();
    auto next = dyn_cast<linalg::GenericOp>(use.getOwner());
    if (!next || !isElementwise(next) || !next.isDpsInput(&use) ||
        !next.getMatchingIndexingMap(&use).isIdentity() ||
        !next.getIndexingMapsArray().back().isIdentity())
      return false;
    AffineMap out = fold.getIndexingMapsArray().back();
    Rebuilt whole(fold, next);
    for (OpOperand *in : fold.getDpsInputOperands())
      whole.add(in->get(), fold.getMatchingIndexingMap(in));
    size_t own = size_t(fold.getNumDpsInputs());
    for (OpOperand *in : next.getDpsInputOperands())
      if (in != &use)
        whole.add(in->get(), next.getMatchingIndexingMap(in).compose(out));
    linalg::GenericOp result = whole.finish(
        next.getDpsInits()[0], out, next.getLoc(),
        [&](OpBuilder &b, ValueRange elements) {
          Value folded = cloneBody(b, fold, elements.take_front(own));
          SmallVector<Value> others(elements.drop_front(own));
          others.insert(others.begin() + use.getOperandNumber(), folded);
          return cloneBody(b, next,
                           ArrayRef(others).take_front(next.getNumDpsInputs()));
        });
    next->replaceAllUsesWith(result);
    next->erase();
    fold->erase();
    return true;
  }

  static bool isRepeated(linalg::GenericOp producer) {
    auto size = llvm::range_size(producer.getBody()->without_terminator());
    return isElementwise(producer) &&
           producer.getIndexingMapsArray().back().isIdentity() &&
           size <= mostRepeated &&
           llvm::all_of(producer->getUses(), [](OpOperand &use) {
             auto user = dyn_cast<linalg::GenericOp>(use.getOwner());
             return user && user.isDpsInput(&use) &&
                    user->getNumResults() == 1 &&
                    !lowering::addsProducts(user) &&
                    !user->hasAttr(lowering::lengthsAttr);
           });
  }
  /// Has every op that reads what the producer makes compute it.
  static void repeat(linalg::GenericOp producer) {
    while (!producer->use_empty()) {
      OpOperand &use = *producer->getUses().begin();
      auto user = cast<linalg::GenericOp>(use.getOwner());
      AffineMap place = user.getMatchingIndexingMap(&use);
      unsigned at = use.getOperandNumber(),
               count = unsigned(producer.getNumDpsInputs());
      Rebuilt again(user, user);
      for (OpOperand *in : user.getDpsInputOperands())
        if (in != &use)
          again.add(in->get(), user.getMatchingIndexingMap(in));
      for (OpOperand *in : producer.getDpsInputOperands())
        again.add(in->get(),
                  producer.getMatchingIndexingMap(in).compose(place));
      unsigned others = unsigned(user.getNumDpsInputs()) - 1;
      linalg::GenericOp result = again.finish(
          user.getDpsInits()[0], user.getIndexingMapsArray().back(),
          user.getLoc(), [&](OpBuilder &b, ValueRange elements) {
            Value made = cloneBody(b, producer, elements.slice(others, count));
            SmallVector<Value> all(elements.take_front(others));
            all.insert(all.begin() + at, made);
            all.push_back(elements.back());
            return cloneBody(b, user, all);
          });
      user->replaceAllUsesWith(result);
      user->erase();
    }
  }
};
} // namespace
