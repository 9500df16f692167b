//===- GroupRows.cpp - ops that work on the same rows, kept together ------===//
//
// In: linalg.generic on tensors, elementwise chains fused. Out: the same ops,
// some marked as members of a group: `graph.group`, and `graph.row_loops`, the
// parallel loops of each member that run over the group's rows. A kernel made
// of a group computes all its members for one row, then for the next, so that
// what they hand to each other stays in the cache.
//
// A row is a fixed index of the leading one to three axes of every tensor that
// goes from one member to another: one image, one head of one sequence. Groups
// grow from producers to consumers, in the order of the program. A consumer
// joins the groups of its producers if
//   - it reads every tensor of theirs at its own row,
//   - what one row's members hand on fits the cache,
//   - products keep enough work a row, and re-read only small operands in each,
//   - no op outside that reads a member's result stands before the consumer,
//     which is where the kernel will stand.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/SetVector.h"

namespace gradus {
#define GEN_PASS_DEF_GROUPROWS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::AffineMap;
using mlir::OpOperand;

/// Bytes of an operand that each row of a product reads anew.
static constexpr int64_t mostSharedBytes = 160 * 1024;
/// Results of a product a row, so that its tiles stay large.
static constexpr int64_t leastResults = 1024;
static constexpr unsigned mostRowAxes = 3;

static int64_t bytesOf(Value v) {
  return lowering::byteCount(cast<ShapedType>(v.getType()));
}

namespace {
/// Loops of an op by the axis of the row that they run over.
using RowLoops = SmallVector<unsigned, mostRowAxes>;

struct Group {
  llvm::SetVector<Operation *> members;
  llvm::DenseMap<Operation *, RowLoops> loops;
  SmallVector<int64_t> sizes; ///< of the row axes that all members share

  int64_t rows(unsigned axes) const {
    int64_t n = 1;
    for (int64_t s : ArrayRef(sizes).take_front(axes))
      n *= s;
    return n;
  }
};

struct GroupRows : impl::GroupRowsBase<GroupRows> {
  using GroupRowsBase::GroupRowsBase;

  void runOnOperation() override {
    lengths = LengthAnalysis();
    groups.clear();
    groupOf.clear();
    Block &body = getOperation().getBody().front();
    for (auto op : body.getOps<linalg::GenericOp>())
      join(op);
    Builder b(&getContext());
    int64_t number = 0;
    for (auto &group : groups) {
      auto axes = group ? fittingAxes(*group) : std::nullopt;
      if (!axes)
        continue;
      for (Operation *op : group->members) {
        auto loops =
            llvm::map_to_vector(ArrayRef(group->loops[op]).take_front(*axes),
                                [](unsigned d) { return int64_t(d); });
        op->setAttr(lowering::groupAttr, b.getI64IntegerAttr(number));
        op->setAttr(lowering::rowLoopsAttr, b.getDenseI64ArrayAttr(loops));
      }
      ++number;
    }
  }

private:
  /// The loops that the leading results of a map are, as long as they are plain
  /// and parallel.
  static RowLoops leadingLoops(linalg::GenericOp op, AffineMap map) {
    RowLoops loops;
    auto kinds = op.getIteratorTypesArray();
    for (mlir::AffineExpr e : map.getResults().take_front(mostRowAxes)) {
      auto d = dyn_cast<mlir::AffineDimExpr>(e);
      if (!d || kinds[d.getPosition()] != mlir::utils::IteratorType::parallel ||
          llvm::is_contained(loops, d.getPosition()))
        break;
      loops.push_back(d.getPosition());
    }
    return loops;
  }
  static void commonPrefix(RowLoops &a, const RowLoops &b) {
    unsigned n = 0;
    while (n < a.size() && n < b.size() && a[n] == b[n])
      ++n;
    a.truncate(n);
  }

  /// The op joins the groups of as many of its producers as it can, the nearest
  /// first; they become one.
  void join(linalg::GenericOp op) {
    llvm::SetVector<Operation *> producers;
    for (Value v : op.getDpsInputs())
      if (auto producer = v.getDefiningOp<linalg::GenericOp>())
        producers.insert(producer);
    SmallVector<Operation *> nearest = producers.takeVector();
    llvm::sort(nearest, [](Operation *a, Operation *b) {
      return b->isBeforeInBlock(a);
    });
    SmallVector<Operation *> accepted;
    std::optional<Group> best;
    for (Operation *producer : nearest) {
      accepted.push_back(producer);
      if (auto group = merged(op, accepted))
        best = std::move(group);
      else
        accepted.pop_back();
    }
    if (!best)
      return;
    for (Operation *member : best->members) {
      if (auto it = groupOf.find(member); it != groupOf.end())
        groups[it->second].reset();
      groupOf[member] = groups.size();
    }
    groups.push_back(std::move(best));
  }

  /// The groups of the producers and the op as one, if that works.
  std::optional<Group> merged(linalg::GenericOp op,
                              ArrayRef<Operation *> producers) {
    Group group;
    for (Operation *producer : producers) {
      auto it = groupOf.find(producer);
      if (it == groupOf.end()) {
        group.members.insert(producer);
        continue;
      }
      const Group &g = *groups[it->second];
      group.members.insert(g.members.begin(), g.members.end());
      for (auto &[member, loops] : g.loops)
        group.loops[member] = loops;
    }
    std::optional<RowLoops> own;
    for (OpOperand *in : op.getDpsInputOperands()) {
      auto producer = in->get().getDefiningOp<linalg::GenericOp>();
      if (!producer || !group.members.contains(producer))
        continue;
      unsigned result = cast<mlir::OpResult>(in->get()).getResultNumber();
      RowLoops here = leadingLoops(op, op.getMatchingIndexingMap(in));
      RowLoops there = leadingLoops(
          producer,
          producer.getMatchingIndexingMap(producer.getDpsInitOperand(result)));
      size_t axes = std::min(here.size(), there.size());
      here.truncate(axes);
      there.truncate(axes);
      meet(own, here);
      auto known = group.loops.find(producer);
      if (known == group.loops.end())
        group.loops[producer] = there;
      else
        commonPrefix(known->second, there);
    }
    group.members.insert(op);
    group.loops[op] = *own;
    size_t axes = mostRowAxes;
    for (auto &[member, loops] : group.loops)
      axes = std::min<size_t>(axes, loops.size());
    auto ranges = op.getStaticLoopRanges();
    for (unsigned d : ArrayRef(*own).take_front(axes))
      group.sizes.push_back(ranges[d]);
    if (!fittingAxes(group) || !canStandAt(group, op))
      return std::nullopt;
    return group;
  }
  static void meet(std::optional<RowLoops> &all, const RowLoops &one) {
    if (all)
      commonPrefix(*all, one);
    else
      all = one;
  }

  /// The least number of row axes with which the group works, if there is one.
  std::optional<unsigned> fittingAxes(const Group &group) {
    for (unsigned axes = 1; axes <= group.sizes.size(); ++axes)
      if (group.rows(axes) > 1 && fits(group, axes))
        return axes;
    return std::nullopt;
  }
  bool fits(const Group &group, unsigned axes) {
    int64_t handedOn = 0, rows = group.rows(axes);
    for (Operation *op : group.members) {
      auto generic = cast<linalg::GenericOp>(op);
      for (Value v : op->getResults())
        if (llvm::any_of(v.getUsers(), [&](Operation *user) {
              return group.members.contains(user);
            }))
          handedOn += bytesOf(v) / rows;
      auto loops = ArrayRef(group.loops.find(op)->second).take_front(axes);
      if (!knowsRow(generic, loops) || !writesOwnRow(generic, loops) ||
          takesVectors(generic, loops) ||
          (isProduct(generic) &&
           (!products || !keepsWork(generic, loops, rows))))
        return false;
    }
    return handedOn <= rowBytes;
  }
  /// Does each call have rows of the same length?
  bool knowsRow(linalg::GenericOp op, ArrayRef<unsigned> rowLoops) {
    for (auto [d, length] : llvm::enumerate(lengths.ofLoops(op)))
      if (length && !llvm::is_contained(rowLoops, d))
        return false;
    return true;
  }
  /// Is each row loop by itself an axis of every result?
  static bool writesOwnRow(linalg::GenericOp op, ArrayRef<unsigned> rowLoops) {
    return llvm::all_of(op.getDpsInitsMutable(), [&](OpOperand &out) {
      AffineMap map = op.getMatchingIndexingMap(&out);
      return llvm::all_of(rowLoops, [&](unsigned d) {
        return map
            .getResultPosition(mlir::getAffineDimExpr(d, map.getContext()))
            .has_value();
      });
    });
  }
  /// Do rows take the axis along which the op's largest operands are
  /// contiguous?
  static bool takesVectors(linalg::GenericOp op, ArrayRef<unsigned> rowLoops) {
    auto maps = op.getIndexingMapsArray();
    unsigned rank = 0;
    for (AffineMap map : maps)
      rank = std::max(rank, map.getNumResults());
    return llvm::any_of(maps, [&](AffineMap map) {
      return map.getNumResults() == rank && rank > 0 &&
             llvm::any_of(rowLoops, [&](unsigned d) {
               return map.getResults().back().isFunctionOfDim(d);
             });
    });
  }
  static bool isProduct(linalg::GenericOp op) {
    return op.getNumDpsInputs() == 2 && op.getNumReductionLoops() > 0;
  }
  static bool keepsWork(linalg::GenericOp op, ArrayRef<unsigned> rowLoops,
                        int64_t rows) {
    auto out = cast<RankedTensorType>(op.getResult(0).getType());
    if (out.getNumElements() / rows < leastResults)
      return false;
    return llvm::all_of(op.getDpsInputOperands(), [&](OpOperand *in) {
      AffineMap map = op.getMatchingIndexingMap(in);
      bool moves = llvm::any_of(
          rowLoops, [&](unsigned d) { return map.isFunctionOfDim(d); });
      return moves || bytesOf(in->get()) <= mostSharedBytes;
    });
  }

  /// May all members run where `last` stands, row by row?
  static bool canStandAt(const Group &group, Operation *last) {
    for (Operation *op : group.members)
      for (OpOperand &use : op->getUses()) {
        Operation *user =
            last->getBlock()->findAncestorOpInBlock(*use.getOwner());
        if (!group.members.contains(user)) {
          if (user->isBeforeInBlock(last))
            return false;
          continue;
        }
        // Reads through computed indices may leave the row.
        if (user != use.getOwner() ||
            !cast<linalg::GenericOp>(user).isDpsInput(&use))
          return false;
        // Every axis of the row, or it reads another's.
        auto generic = cast<linalg::GenericOp>(user);
        RowLoops here =
            leadingLoops(generic, generic.getMatchingIndexingMap(&use));
        const RowLoops &loops = group.loops.find(user)->second;
        for (unsigned i = 0; i < group.sizes.size(); ++i)
          if (i >= here.size() || here[i] != loops[i])
            return false;
      }
    return true;
  }

  LengthAnalysis lengths;
  std::vector<std::optional<Group>> groups;
  llvm::DenseMap<Operation *, unsigned> groupOf;
};
} // namespace
