//===- EmitGroup.cpp - the ops of a group, row by row ---------------------===//

#include "BlockReach.h"
#include "SplitLoops.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
using mlir::OpOperand;

RowPlace gradus::placeOf(const RowGroup &group, Operation *op) {
  RowPlace place;
  place.block = group.block;
  for (unsigned d : group.loops.find(op)->second)
    place.loops.push_back({d, Value()});
  return place;
}

namespace {
class GroupEmitter {
public:
  GroupEmitter(const KernelWork &work, const RowGroup &group)
      : work(work), group(group), machine(work.machine),
        reach(BlockReach::of(work, group)) {}

  void emit(ImplicitLocOpBuilder &b) {
    Operation *last = group.ops.back();
    double operations = 0;
    for (linalg::LinalgOp op : group.ops)
      operations += workOf(op);
    std::optional<LoopSplit> best;
    if (work.threads > 1 && operations > 2 * worthAThread)
      for (auto [axis, size] : llvm::enumerate(group.sizes)) {
        int64_t unit = axis + 1 == group.sizes.size() ? group.block : 1;
        takeEvener(best, axis,
                   Split(llvm::alignTo(size, unit), unit, work.threads),
                   work.threads);
      }
    auto wholeRows = [&](OpBuilder &at) {
      SmallVector<LoopRange> all =
                                 wholeRanges(at, cast<linalg::LinalgOp>(last)),
                             rows;
      for (unsigned d : group.loops.find(last)->second)
        rows.push_back(all[d]);
      return rows;
    };
    if (!best)
      return rowNests(b, wholeRows(b));
    RuntimeLengths lengths = loopLengths(last);
    lengths.resize(cast<linalg::LinalgOp>(last).getNumLoops());
    createParts(b, best->second, [&](OpBuilder &nested, Value part) {
      ImplicitLocOpBuilder inner(b.getLoc(), nested);
      SmallVector<LoopRange> rows = wholeRows(inner);
      unsigned loop = group.loops.find(last)->second[best->first];
      if (group.block > 1 && best->first + 1 == rows.size())
        turn = {part, best->second.parts};
      else
        rows[best->first] =
            rangeOfPart(inner, best->second, part, lengths[loop]);
      rowNests(inner, rows);
    });
  }

private:
  /// Whole blocks, and then one of the rows that are left.
  void rowNests(ImplicitLocOpBuilder &b, SmallVector<LoopRange> rows) {
    int64_t all = group.sizes.back(), block = group.block, rest = all % block;
    if (block > 1)
      rows.back() = blocksOfTurn(b, 0, all - rest);
    group.sizes.back() = all - rest;
    rowNest(b, rows);
    if (rest > 0) {
      rows.back() = blocksOfTurn(b, all / block, all);
      group.sizes.back() = group.block = rest;
      rowNest(b, rows);
    }
    group.sizes.back() = all;
    group.block = block;
  }
  /// The rows from a block on, or those whose turn it is: threads take blocks
  /// in turns, as later ones may reach farther than earlier ones.
  LoopRange blocksOfTurn(ImplicitLocOpBuilder &b, int64_t first, int64_t end) {
    auto index = [&](int64_t n) {
      return arith::ConstantIndexOp::create(b, n).getResult();
    };
    if (!turn.part)
      return {Value(), b.getIndexAttr(first * group.block), b.getIndexAttr(end),
              Value()};
    // The first block from there on that is the part's.
    Value behind = arith::AddIOp::create(
        b, turn.part, index(turn.parts - first % turn.parts));
    Value more = arith::RemUIOp::create(b, behind, index(turn.parts));
    Value block = arith::AddIOp::create(b, more, index(first));
    Value row = arith::MulIOp::create(b, block, index(group.block));
    return {Value(), row, b.getIndexAttr(end), Value()};
  }
  void rowNest(ImplicitLocOpBuilder &b, ArrayRef<LoopRange> rows) {
    LocalBuffers buffers = rowBuffers(b);
    // What is the same for all rows comes first.
    llvm::DenseMap<Operation *, Value> filters;
    for (linalg::LinalgOp op : group.ops)
      if (auto w = work.winogradOf(op, placeOf(group, op)))
        filters[op] = w->emitFilter(b);
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Value> at;
    llvm::DenseMap<Operation *, RhsPanels> packed;
    for (const LoopRange &row : rows) {
      bool isLast = &row == &rows.back();
      if (isLast && group.block > 1)
        packed = packForBlocks(b, at);
      auto bound = [&](mlir::OpFoldResult v) {
        return mlir::getValueOrCreateConstantIndexOp(b, b.getLoc(), v);
      };
      int64_t every = isLast ? group.block * turn.parts : 1;
      Value step = arith::ConstantIndexOp::create(b, every);
      auto loop = scf::ForOp::create(b, bound(row.low), bound(row.high), step);
      at.push_back(loop.getInductionVar());
      b.setInsertionPointToStart(loop.getBody());
    }
    auto emitOps = [&] {
      for (auto [i, op] : llvm::enumerate(group.ops)) {
        ArrayRef<linalg::LinalgOp> all(group.ops);
        if (!work.fills.isSuperfluous(op) &&
            !work.startsContraction(op, all.drop_front(i + 1), &group))
          lowerRow(b, op, at, buffers, filters.lookup(op), packed,
                   work.startedBy(op, all.take_front(i), &group));
      }
    };
    if (reach)
      reach->emit(b, {group, at, buffers}, emitOps);
    else
      emitOps();
  }
  /// The products whose right-hand side all blocks of rows read, and which
  /// would copy it to panels if these were one: it is copied before the first.
  /// `at`: the row's indices along the other axes.
  llvm::DenseMap<Operation *, RhsPanels> packForBlocks(ImplicitLocOpBuilder &b,
                                                       ArrayRef<Value> at) {
    llvm::DenseMap<Operation *, RhsPanels> packed;
    for (linalg::LinalgOp op : group.ops) {
      RowPlace place = placeOf(group, op);
      for (auto [loop, i] : llvm::zip(place.loops, at))
        loop.second = i;
      unsigned blocked = place.loops.back().first;
      place.loops.back().second = arith::ConstantIndexOp::create(b, 0);
      auto c = work.contraction(op, place);
      auto isLong = [&](unsigned d) { return c->size[d] > 1; };
      if (!c || c->rhs.step[blocked] != 0 || c->panel != 0 ||
          llvm::any_of(c->outer, isLong) || group.writes(c->rhs.buffer))
        continue;
      Contraction all = *c;
      all.size[blocked] = group.sizes.back();
      Blocking blocking = Blocking::choose(all, machine);
      if (blocking.pack)
        packed[op] = emitPanels(b, *c, blocking);
    }
    return packed;
  }

  /// The temporaries that only the group's members touch, one row or block
  /// large.
  LocalBuffers rowBuffers(ImplicitLocOpBuilder &b) {
    LocalBuffers buffers;
    size_t axes = group.sizes.size();
    buffers.rows = group.block > 1 ? axes - 1 : axes;
    buffers.windows = work.fills.allWindows();
    for (linalg::LinalgOp op : group.ops)
      for (OpOperand &o : op->getOpOperands()) {
        auto alloc = o.get().getDefiningOp<memref::AllocOp>();
        if (!alloc || buffers.local.contains(alloc) ||
            buffers.windows.contains(alloc) || !group.owns(alloc))
          continue;
        auto type = alloc.getType();
        SmallVector<int64_t> shape(type.getShape());
        std::fill_n(shape.begin(), axes, 1);
        shape[axes - 1] = group.block;
        buffers.local[alloc] = memref::AllocOp::create(
            b, mlir::MemRefType::get(shape, type.getElementType()));
      }
    return buffers;
  }
  void lowerRow(ImplicitLocOpBuilder &b, linalg::LinalgOp op,
                ArrayRef<Value> at, const LocalBuffers &buffers, Value filter,
                const llvm::DenseMap<Operation *, RhsPanels> &packed,
                bool startsAtZero) {
    RowPlace place = placeOf(group, op);
    place.buffers = buffers;
    place.buffers.starts = work.fills.startsOf(op);
    SmallVector<LoopRange> ranges = wholeRanges(b, op);
    for (auto [loop, i] : llvm::zip(place.loops, at))
      ranges[loop.first].at = loop.second = i;
    if (place.block > 1)
      ranges[place.loops.back().first] = {
          Value(), b.getIndexAttr(0), b.getIndexAttr(place.block), at.back()};
    auto extent = reach ? reach->extentOf(op) : std::nullopt;
    if (extent)
      ranges[extent->loop] = rangeOf(*extent, op);
    if (auto w = work.winogradOf(op, place))
      w->emit(b, filter, startsAtZero, machine);
    else if (auto c = work.contraction(op, place)) {
      if (auto it = packed.find(op); it != packed.end())
        c->readPanels(it->second);
      c->extent = extent;
      emitContraction(b, *c, Blocking::choose(*c, machine), startsAtZero, {});
    } else if (const Padding *padding = work.fills.paddingFrom(op)) {
      work.fillAround(b, op, *padding, ranges, buffers);
    } else {
      emitLoops(b, op, ranges, place.buffers, machine.vectorBits);
    }
    if (extent)
      reach->finish(b, op, {group, at, buffers}, ranges, machine.vectorBits);
  }
  static LoopRange rangeOf(const Extent &e, linalg::LinalgOp op) {
    bool divides = op.getStaticLoopRanges()[e.loop] % e.unit == 0;
    return {Value(), e.low, e.high, Value(), divides ? e.unit : 1};
  }

  const KernelWork &work;
  RowGroup group; ///< the rows of the nest that is being emitted
  const RegisterFile &machine;
  std::optional<BlockReach> reach; ///< of its members, if they have any
  /// Whose blocks of rows are being emitted, and of how many threads; null if
  /// all of them are.
  struct {
    Value part;
    int64_t parts = 1;
  } turn;
};
} // namespace

void gradus::emitGroup(ImplicitLocOpBuilder &b, const KernelWork &work,
                       const RowGroup &group) {
  GroupEmitter(work, group).emit(b);
}
