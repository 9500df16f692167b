//===- MergeLoops.cpp - loops that go together are one --------------------===//
//
// In: kernels, and their calls. Out: axes of tensors that follow each other in
// all that a kernel's ops read and write are one axis, and their loops one
// loop; callers reshape what they pass.
//
// The pixels of images are then rows like any others: of 7 x 7 of them a tile
// of a 1 x 1 convolution takes as many as registers hold. This stands behind
// everything that fuses: between ops a reshape would be in its way.
//
//===----------------------------------------------------------------------===//

#include "RowGroup.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SmallBitVector.h"

namespace gradus {
#define GEN_PASS_DEF_MERGELOOPS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace func = mlir::func;
namespace linalg = mlir::linalg;
namespace tensor = mlir::tensor;
using llvm::SmallBitVector;
using mlir::AffineMap;
using mlir::OpOperand;
using mlir::ReassociationIndices;

/// Says of each axis, or loop, but the last whether it is one with the next.
using Joins = SmallBitVector;

/// Axes, or loops, in groups that become one each.
static SmallVector<ReassociationIndices> groupsOf(const Joins &joins,
                                                  int64_t count) {
  SmallVector<ReassociationIndices> groups;
  for (int64_t i = 0; i < count; ++i)
    if (i > 0 && joins[i - 1])
      groups.back().push_back(i);
    else
      groups.push_back({i});
  return groups;
}

static RankedTensorType mergedType(RankedTensorType type, const Joins &joins) {
  SmallVector<int64_t> sizes;
  for (const auto &axes : groupsOf(joins, type.getRank())) {
    sizes.push_back(1);
    for (int64_t a : axes)
      sizes.back() *= type.getDimSize(a);
  }
  return RankedTensorType::get(sizes, type.getElementType());
}

/// Loop `d` by itself, or from a fixed place on: that place, none otherwise.
static std::optional<int64_t> startOf(mlir::AffineExpr e, unsigned d) {
  auto isLoop = [&](mlir::AffineExpr e) {
    auto dim = dyn_cast<mlir::AffineDimExpr>(e);
    return dim && dim.getPosition() == d;
  };
  if (isLoop(e))
    return 0;
  auto sum = dyn_cast<mlir::AffineBinaryOpExpr>(e);
  if (!sum || sum.getKind() != mlir::AffineExprKind::Add ||
      !isLoop(sum.getLHS()))
    return std::nullopt;
  auto start = dyn_cast<mlir::AffineConstantExpr>(sum.getRHS());
  return start ? std::optional(start.getValue()) : std::nullopt;
}
/// Where the map has loop `d` and, right behind it, all of the next.
static std::optional<unsigned> placeOfPair(AffineMap map, unsigned d) {
  for (unsigned a = 0; a + 1 < map.getNumResults(); ++a)
    if (startOf(map.getResult(a), d) &&
        startOf(map.getResult(a + 1), d + 1) == 0)
      return a;
  return std::nullopt;
}
/// How many of the map's results loop `d` is in.
static int64_t uses(AffineMap map, unsigned d) {
  return llvm::count_if(map.getResults(), [&](mlir::AffineExpr e) {
    return e.isFunctionOfDim(d);
  });
}

namespace {
/// Which axes and loops of a kernel go together: all at first, then fewer,
/// until no op is against it.
class KernelJoins {
public:
  explicit KernelJoins(func::FuncOp kernel) : kernel(kernel) {
    for (Operation &op : kernel.getBody().front())
      if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
        ops.push_back(linalgOp);
    bool changed = true;
    while (changed) {
      changed = false;
      for (linalg::LinalgOp op : ops)
        changed |= refine(op);
    }
  }

  bool any() const {
    return llvm::any_of(axes, [](auto &known) { return known.second.any(); });
  }
  Joins &of(Value tensor) {
    auto [it, fresh] = axes.try_emplace(tensor);
    if (fresh)
      it->second = all(cast<RankedTensorType>(tensor.getType()).getRank());
    return it->second;
  }

  /// Has the kernel's ops run over the merged loops.
  void apply() {
    for (linalg::LinalgOp op : ops)
      if (auto generic = dyn_cast<linalg::GenericOp>(op.getOperation()))
        runMerged(generic);
    for (auto &[tensor, joins] : axes)
      Value(tensor).setType(
          mergedType(cast<RankedTensorType>(tensor.getType()), joins));
    kernel.setFunctionType(FunctionType::get(
        kernel.getContext(), kernel.getBody().getArgumentTypes(),
        kernel.getBody().front().getTerminator()->getOperandTypes()));
  }

private:
  static Joins all(int64_t count) {
    return Joins(std::max<int64_t>(count - 1, 0), true);
  }

  /// The loops over a group's rows are known by their numbers.
  static void keepApart(Joins &joins, ArrayRef<int64_t> rows) {
    for (int64_t d : rows)
      for (int64_t pair : {d - 1, d})
        if (pair >= 0 && pair < int64_t(joins.size()))
          joins.reset(pair);
  }

  /// Takes apart what cannot go together in `op`; has anything changed?
  bool refine(linalg::LinalgOp op) {
    auto kinds = op.getIteratorTypesArray();
    auto [it, fresh] = loops.try_emplace(op);
    Joins &joins = it->second;
    if (fresh) {
      joins = all(op.getNumLoops());
      keepApart(joins, rowLoopsOf(op));
    }
    for (int d : joins.set_bits())
      if (kinds[d] != kinds[d + 1] ||
          !llvm::all_of(op->getOpOperands(),
                        [&](OpOperand &o) { return goesTogether(op, o, d); }))
        joins.reset(d);
    bool changed = false;
    for (OpOperand &o : op->getOpOperands()) {
      if (!isa<RankedTensorType>(o.get().getType()))
        continue;
      Joins kept = joinsOf(op.getMatchingIndexingMap(&o), joins);
      changed |= limit(o.get(), kept);
      if (!op.isDpsInit(&o))
        continue;
      Value result = op.getTiedOpResult(&o);
      changed |= limit(result, of(o.get()));
      changed |= limit(o.get(), of(result));
    }
    return changed;
  }
  bool goesTogether(linalg::LinalgOp op, OpOperand &operand, unsigned d) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    int64_t first = uses(map, d), second = uses(map, d + 1);
    if (first == 0 && second == 0)
      return true;
    auto place = placeOfPair(map, d);
    return first == 1 && second == 1 && place && of(operand.get())[*place];
  }
  /// Of the axes of what the map reads, those that joined loops run over.
  static Joins joinsOf(AffineMap map, const Joins &loops) {
    Joins joins(std::max<int64_t>(int64_t(map.getNumResults()) - 1, 0));
    for (int d : loops.set_bits())
      if (auto place = placeOfPair(map, d))
        joins.set(*place);
    return joins;
  }
  bool limit(Value tensor, Joins most) {
    Joins &joins = of(tensor);
    Joins before = joins;
    joins &= most;
    return joins != before;
  }

  /// The index along axes that become one: each step of its first is as long as
  /// the others are. `loops`: what stands for each loop.
  static mlir::AffineExpr mergedIndex(AffineMap map, ArrayRef<int64_t> axes,
                                      RankedTensorType type,
                                      ArrayRef<mlir::AffineExpr> loops) {
    mlir::AffineExpr first = map.getResult(axes.front());
    if (axes.size() == 1)
      return first.replaceDims(loops);
    int64_t step = 1;
    for (int64_t a : axes.drop_front())
      step *= type.getDimSize(a);
    auto second = cast<mlir::AffineDimExpr>(map.getResult(axes[1]));
    unsigned d = second.getPosition() - 1;
    return loops[d] + *startOf(first, d) * step;
  }

  void runMerged(linalg::GenericOp op) {
    auto groups = groupsOf(loops[op], op.getNumLoops());
    Builder b(op.getContext());
    SmallVector<mlir::AffineExpr> merged(op.getNumLoops());
    SmallVector<mlir::utils::IteratorType> kinds;
    for (auto [i, group] : llvm::enumerate(groups)) {
      for (int64_t d : group)
        merged[d] = b.getAffineDimExpr(i);
      kinds.push_back(op.getIteratorTypesArray()[group.front()]);
    }
    SmallVector<AffineMap> maps;
    for (OpOperand &o : op->getOpOperands()) {
      AffineMap map = op.getMatchingIndexingMap(&o);
      SmallVector<mlir::AffineExpr> results;
      if (auto type = dyn_cast<RankedTensorType>(o.get().getType()))
        for (const auto &axes : groupsOf(of(o.get()), type.getRank()))
          results.push_back(mergedIndex(map, axes, type, merged));
      maps.push_back(
          AffineMap::get(groups.size(), 0, results, op.getContext()));
    }
    if (ArrayRef<int64_t> rows = rowLoopsOf(op); !rows.empty()) {
      auto moved = llvm::map_to_vector(rows, [&](int64_t d) -> int64_t {
        return cast<mlir::AffineDimExpr>(merged[d]).getPosition();
      });
      op->setAttr(lowering::rowLoopsAttr, b.getDenseI64ArrayAttr(moved));
    }
    op.setIndexingMapsAttr(b.getAffineMapArrayAttr(maps));
    op.setIteratorTypesAttr(
        b.getArrayAttr(llvm::map_to_vector(kinds, [&](auto kind) -> Attribute {
          return linalg::IteratorTypeAttr::get(op.getContext(), kind);
        })));
  }

  func::FuncOp kernel;
  SmallVector<linalg::LinalgOp> ops;
  llvm::MapVector<Value, Joins> axes;
  llvm::DenseMap<Operation *, Joins> loops;
};

struct MergeLoops : impl::MergeLoopsBase<MergeLoops> {
  void runOnOperation() override {
    llvm::DenseMap<StringRef, SmallVector<func::CallOp>> calls;
    getOperation().walk(
        [&](func::CallOp call) { calls[call.getCallee()].push_back(call); });
    for (auto kernel : getOperation().getOps<func::FuncOp>()) {
      if (!kernel->hasAttr(lowering::kernelAttr) || !isPlain(kernel))
        continue;
      KernelJoins joins(kernel);
      if (!joins.any())
        continue;
      for (func::CallOp call : calls[kernel.getName()])
        passMerged(call, kernel, joins);
      joins.apply();
    }
  }

private:
  /// Nothing but ops that ask for no loop's index, on tensors of known sizes,
  /// and know loops by their number only as those over rows.
  static bool isPlain(func::FuncOp kernel) {
    for (unsigned i = 0; i < kernel.getNumArguments(); ++i)
      if (kernel.getArgAttr(i, lowering::lengthsAttr))
        return false;
    return llvm::all_of(kernel.getBody().front(), [](Operation &op) {
      if (auto generic = dyn_cast<linalg::GenericOp>(op))
        return generic.getBody()->getOps<linalg::IndexOp>().empty() &&
               llvm::all_of(op.getDiscardableAttrs(), [](auto attr) {
                 StringRef name = attr.getName();
                 return name == lowering::epilogueAttr ||
                        name == lowering::rowLoopsAttr ||
                        name == lowering::rowBlockAttr;
               });
      auto isScalar = [](Type t) { return !isa<mlir::TensorType>(t); };
      return isa<linalg::FillOp, tensor::EmptyOp, func::ReturnOp>(op)
                 ? op.getDiscardableAttrs().empty()
                 : op.getNumRegions() == 0 &&
                       llvm::all_of(op.getOperandTypes(), isScalar) &&
                       llvm::all_of(op.getResultTypes(), isScalar);
    });
  }

  static void passMerged(func::CallOp call, func::FuncOp kernel,
                         KernelJoins &joins) {
    ImplicitLocOpBuilder b(call.getLoc(), call);
    for (auto [operand, arg] :
         llvm::zip(call->getOpOperands(), kernel.getArguments()))
      if (auto type = dyn_cast<RankedTensorType>(arg.getType());
          type && joins.of(arg).any())
        operand.set(tensor::CollapseShapeOp::create(
            b, mergedType(type, joins.of(arg)), operand.get(),
            groupsOf(joins.of(arg), type.getRank())));
    b.setInsertionPointAfter(call);
    auto returned = kernel.getBody().front().getTerminator()->getOperands();
    for (auto [result, value] : llvm::zip(call.getResults(), returned)) {
      auto type = dyn_cast<RankedTensorType>(value.getType());
      if (!type || !joins.of(value).any())
        continue;
      result.setType(mergedType(type, joins.of(value)));
      auto apart = tensor::ExpandShapeOp::create(
          b, type, result, groupsOf(joins.of(value), type.getRank()));
      result.replaceAllUsesExcept(apart, apart);
    }
  }
};
} // namespace
