//===- GroupRows.cpp - ops that work on the same rows, kept together ------===//
//
// In: linalg.generic on tensors, elementwise chains fused. Out: the same ops,
// some marked as members of a group: `graph.group`, and `graph.row_loops`, the
// parallel loops of each member that run over the group's rows. A kernel made
// of a group computes all its members for one row, then for the next, so that
// what they hand to each other stays in the cache.
//
// A row is a fixed index of the leading one to three axes of every tensor that
// goes from one member to another: one image, one head of one sequence. Where
// one would be too large and one of the next axis too small for products, rows
// are taken in blocks: `graph.row_block` of them along the last axis. Groups
// grow from producers to consumers, in the order of the program. A consumer
// joins the groups of its producers if
//   - it reads every tensor of theirs at its own row,
//   - what one row's members hand on fits the cache,
//   - products keep enough work a row, and re-read only small operands in each,
//   - no op outside that reads a member's result stands before the consumer,
//     which is where the kernel will stand.
//
//===----------------------------------------------------------------------===//

#include "RowFit.h"
#include "Windows.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/MapVector.h"

namespace gradus {
#define GEN_PASS_DEF_GROUPROWS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::AffineMap;
using mlir::OpOperand;

namespace {
/// The groups of a function's ops.
class Grouping {
public:
  /// `splits`: a product whose result is larger than what it reads begins a
  /// group.
  Grouping(Block &body, RowFit fit, bool splits)
      : body(body), fit(std::move(fit)), splits(splits) {
    do {
      formGroups();
      joinSums();
    } while (rejectBlocks());
  }

  /// Bytes of results that no other op than members reads.
  int64_t bytesKept() const {
    int64_t bytes = 0;
    for (auto &group : groups)
      if (group)
        for (Operation *op : group->members)
          for (Value v : op->getResults())
            if (group->keeps(v))
              bytes += lowering::byteCount(v);
    return bytes;
  }

  /// Takes copies out that are read in windows by others than members: they
  /// need not be made (GroupWindows.cpp).
  void leaveWindows() {
    for (auto &group : groups) {
      if (!group)
        continue;
      llvm::SetVector<Operation *> members = group->members;
      for (Operation *op : members)
        if (isReadInWindows(cast<linalg::GenericOp>(op)) &&
            llvm::none_of(op->getUsers(), [&](Operation *user) {
              return members.contains(user);
            })) {
          group->members.remove(op);
          group->loops.erase(op);
        }
      if (group->members.size() < 2)
        group.reset();
    }
  }

  void mark() {
    Builder b(body.getParentOp()->getContext());
    int64_t number = 0;
    for (auto &group : groups) {
      auto rows = group ? fit.of(*group) : std::nullopt;
      if (!rows || isEpilogue(*group))
        continue;
      llvm::SetVector<Operation *> marked = group->members;
      marked.insert(group->sums.begin(), group->sums.end());
      for (Operation *op : marked) {
        auto loops = llvm::map_to_vector(
            ArrayRef(group->loops[op]).take_front(rows->axes),
            [](unsigned d) { return int64_t(d); });
        op->setAttr(lowering::groupAttr, b.getI64IntegerAttr(number));
        op->setAttr(lowering::rowLoopsAttr, b.getDenseI64ArrayAttr(loops));
        if (rows->block > 1)
          op->setAttr(lowering::rowBlockAttr, b.getI64IntegerAttr(rows->block));
      }
      ++number;
    }
  }

private:
  /// Is it a product of matrices and an op that can run on its blocks? They are
  /// not bound to rows then (FuseEpilogues.cpp).
  static bool isEpilogue(const RowCandidates &group) {
    if (group.members.size() != 2 || !group.sums.empty() ||
        !isProductOfMatrices(group.members[0]))
      return false;
    auto op = cast<linalg::GenericOp>(group.members[1]);
    return op.getNumReductionLoops() == 0 &&
           llvm::all_of(op->getOpOperands(), [&](OpOperand &o) {
             return o.get().getDefiningOp() != group.members[0] ||
                    op.getMatchingIndexingMap(&o).isPermutation();
           });
  }

  void formGroups() {
    groups.clear();
    groupOf.clear();
    for (auto op : body.getOps<linalg::GenericOp>())
      if (!splits || !isProductOfTiles(op) || !isLargerThanOperands(op))
        join(op);
  }
  /// Products by themselves join the groups whose rows they add up.
  void joinSums() {
    for (auto op : body.getOps<linalg::GenericOp>()) {
      if (groupOf.contains(op) || !isProductOfTiles(op))
        continue;
      for (unsigned number : groupsReading(op))
        if (addSum(*groups[number], op)) {
          groupOf[op] = number;
          break;
        }
    }
  }
  /// The groups that make or read what the op reads.
  llvm::SetVector<unsigned> groupsReading(linalg::GenericOp op) const {
    llvm::SetVector<unsigned> found;
    auto add = [&](Operation *other) {
      if (auto it = groupOf.find(other); it != groupOf.end())
        found.insert(it->second);
    };
    for (Value v : op.getDpsInputs()) {
      if (v.getDefiningOp())
        add(v.getDefiningOp());
      for (Operation *user : v.getUsers())
        add(user);
    }
    return found;
  }
  bool addSum(RowCandidates &group, linalg::GenericOp sum) {
    auto rows = fit.of(group);
    if (!rows || rows->block == 1)
      return false;
    std::optional<RowLoops> own;
    for (OpOperand *in : sum.getDpsInputOperands())
      if (isRowOf(group, in->get(), rows->axes))
        meet(own, leadingLoops(sum, sum.getMatchingIndexingMap(in),
                               /*parallel=*/false));
      else if (group.members.contains(in->get().getDefiningOp()))
        return false;
    if (!own || own->size() < rows->axes)
      return false;
    own->truncate(rows->axes);
    if (!startsFromZero(sum) || !fit.canSum(group, sum, *own) ||
        !canFollow(group, sum))
      return false;
    group.sums.insert(sum);
    group.loops[sum] = *own;
    return true;
  }
  /// Are the tensor's leading axes the row's, where a member makes or reads it?
  static bool isRowOf(const RowCandidates &group, Value v, unsigned axes) {
    auto isRow = [&](linalg::GenericOp op, OpOperand &o) {
      auto loops = group.loops.find(op);
      RowLoops here = leadingLoops(op, op.getMatchingIndexingMap(&o));
      return here.size() >= axes &&
             ArrayRef(here).take_front(axes) ==
                 ArrayRef(loops->second).take_front(axes);
    };
    if (group.members.contains(v.getDefiningOp())) {
      auto result = cast<mlir::OpResult>(v);
      auto op = cast<linalg::GenericOp>(result.getOwner());
      return isRow(op, *op.getDpsInitOperand(result.getResultNumber()));
    }
    return llvm::any_of(v.getUses(), [&](OpOperand &use) {
      return group.members.contains(use.getOwner()) &&
             isRow(cast<linalg::GenericOp>(use.getOwner()), use);
    });
  }
  static bool startsFromZero(linalg::GenericOp op) {
    auto fill = op.getDpsInits()[0].getDefiningOp<linalg::FillOp>();
    return fill && lowering::isZero(fill.getInputs()[0]);
  }
  /// May the group run where its last member or the sum stands, the sum after
  /// all members?
  static bool canFollow(const RowCandidates &group, Operation *sum) {
    SmallVector<Operation *> all(group.members.begin(), group.members.end());
    llvm::append_range(all, group.sums);
    all.push_back(sum);
    Operation *last = *llvm::max_element(
        all, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    return llvm::all_of(all, [&](Operation *op) {
      bool isMember = group.members.contains(op);
      return llvm::all_of(op->getUsers(), [&](Operation *user) {
        user = last->getBlock()->findAncestorOpInBlock(*user);
        return llvm::is_contained(all, user) ? isMember
                                             : last->isBeforeInBlock(user);
      });
    });
  }
  /// Whether some group is none after all, so that all are to be formed anew.
  bool rejectBlocks() {
    bool any = false;
    for (auto &group : groups)
      any |= group && fit.reject(*group);
    return any;
  }

  /// The loops that the leading results of a map are, as long as they are plain
  /// and parallel, if that is asked.
  static RowLoops leadingLoops(linalg::GenericOp op, AffineMap map,
                               bool parallel = true) {
    RowLoops loops;
    auto kinds = op.getIteratorTypesArray();
    for (mlir::AffineExpr e : map.getResults().take_front(mostRowAxes)) {
      auto d = dyn_cast<mlir::AffineDimExpr>(e);
      bool fits = d && (!parallel || kinds[d.getPosition()] ==
                                         mlir::utils::IteratorType::parallel);
      if (!fits || llvm::is_contained(loops, d.getPosition()))
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

  /// The op joins the groups of as many of its producers as it can, those that
  /// hand it most first, of equals the nearest; they become one.
  void join(linalg::GenericOp op) {
    llvm::MapVector<Operation *, int64_t> producers;
    for (Value v : op.getDpsInputs())
      if (auto producer = v.getDefiningOp<linalg::GenericOp>())
        producers[producer] += lowering::byteCount(v);
    auto ordered = producers.takeVector();
    llvm::sort(ordered, [](auto &a, auto &b) {
      return a.second != b.second ? a.second > b.second
                                  : b.first->isBeforeInBlock(a.first);
    });
    SmallVector<Operation *> accepted;
    std::optional<RowCandidates> best;
    for (Operation *producer : llvm::make_first_range(ordered)) {
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
  std::optional<RowCandidates> merged(linalg::GenericOp op,
                                      ArrayRef<Operation *> producers) {
    RowCandidates group;
    for (Operation *producer : producers) {
      auto it = groupOf.find(producer);
      if (it == groupOf.end()) {
        group.members.insert(producer);
        continue;
      }
      const RowCandidates &g = *groups[it->second];
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
    if (!fit.of(group) || !canStandAt(group, op))
      return std::nullopt;
    return group;
  }
  static void meet(std::optional<RowLoops> &all, const RowLoops &one) {
    if (all)
      commonPrefix(*all, one);
    else
      all = one;
  }

  static bool isLargerThanOperands(linalg::GenericOp op) {
    int64_t operands = 0;
    for (Value v : op.getDpsInputs())
      operands += lowering::byteCount(v);
    return lowering::byteCount(op.getResult(0)) > operands;
  }

  /// May all members run where `last` stands, row by row?
  static bool canStandAt(const RowCandidates &group, Operation *last) {
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

  Block &body;
  RowFit fit;
  bool splits;
  std::vector<std::optional<RowCandidates>> groups;
  llvm::DenseMap<Operation *, unsigned> groupOf;
};

struct GroupRows : impl::GroupRowsBase<GroupRows> {
  using GroupRowsBase::GroupRowsBase;

  void runOnOperation() override {
    // Ops join the first group that they can. A product such as one that makes
    // scores may so keep from its consumers what it hands them.
    Block &body = getOperation().getBody().front();
    RowFit fit(rowBytes, products, manyRows);
    Grouping whole(body, fit, /*splits=*/false),
        split(body, fit, /*splits=*/true);
    Grouping &best = split.bytesKept() > whole.bytesKept() ? split : whole;
    if (windows)
      best.leaveWindows();
    best.mark();
  }
};
} // namespace
