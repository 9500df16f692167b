//===- EmitGroup.cpp - the ops of a group, row by row ---------------------===//

#include "BlockReach.h"
#include "RowSums.h"
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
        reach(BlockReach::of(work, group)), sums(work, this->group) {}

  void emit(ImplicitLocOpBuilder &b) {
    Operation *last = group.ops.back();
    double operations = 0;
    for (linalg::LinalgOp op : group.ops)
      operations += workOf(op);
    std::optional<LoopSplit> best;
    if (work.threads > 1 && operations > 2 * worthAThread)
      for (auto [axis, size] : llvm::enumerate(group.sizes)) {
        bool isLast = axis + 1 == group.sizes.size();
        // Blocks are added up one after the other.
        if (isLast && !sums.empty())
          continue;
        int64_t unit = isLast ? group.block : 1;
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
  using Panels = llvm::DenseMap<Operation *, RhsPanels>;
  using Filters = llvm::DenseMap<Operation *, Value>;

  void rowNests(ImplicitLocOpBuilder &b, ArrayRef<LoopRange> rows) {
    // What is the same for all rows comes first.
    Filters filters;
    for (linalg::LinalgOp op : group.ops)
      if (auto w = work.winogradOf(op, placeOf(group, op)))
        filters[op] = w->emitFilter(b);
    if (group.block > 1)
      return blockNests(b, rows.drop_back());
    LocalBuffers buffers = rowBuffers(b);
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Value> at = openLoops(b, rows);
    emitRow(b, {group, at, buffers}, filters, Panels());
  }
  /// Loops from range to range, the insertion point in the innermost; their
  /// indices.
  static SmallVector<Value> openLoops(ImplicitLocOpBuilder &b,
                                      ArrayRef<LoopRange> ranges,
                                      int64_t every = 1) {
    SmallVector<Value> at;
    for (const LoopRange &range : ranges) {
      auto bound = [&](mlir::OpFoldResult v) {
        return mlir::getValueOrCreateConstantIndexOp(b, b.getLoc(), v);
      };
      Value step = arith::ConstantIndexOp::create(b, every);
      auto loop =
          scf::ForOp::create(b, bound(range.low), bound(range.high), step);
      at.push_back(loop.getInductionVar());
      b.setInsertionPointToStart(loop.getBody());
    }
    return at;
  }
  /// For each index of the other axes whole blocks of rows, and then one of the
  /// rows that are left.
  void blockNests(ImplicitLocOpBuilder &b, ArrayRef<LoopRange> others) {
    int64_t all = group.sizes.back(), block = group.block, rest = all % block;
    LocalBuffers buffers = rowBuffers(b), restBuffers;
    sums.allocate(b, buffers);
    if (rest > 0) {
      group.block = rest;
      restBuffers = rowBuffers(b);
      for (auto &[large, small] : buffers.local)
        restBuffers.local.try_emplace(large, small);
      group.block = block;
    }
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Value> at = openLoops(b, others);
    Panels packed = packForBlocks(b, at);
    sums.start(b, at);
    emitBlocks(b, at, blocksOfTurn(b, 0, all - rest), buffers, packed);
    if (rest > 0) {
      LoopRange last = blocksOfTurn(b, all / block, all);
      group.block = rest;
      emitBlocks(b, at, last, restBuffers, packed);
      group.block = block;
    }
    sums.finish(b, at);
  }
  void emitBlocks(ImplicitLocOpBuilder &b, ArrayRef<Value> others,
                  const LoopRange &blocks, const LocalBuffers &buffers,
                  const Panels &packed) {
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Value> at(others);
    llvm::append_range(at, openLoops(b, blocks, group.block * turn.parts));
    emitRow(b, {group, at, buffers}, Filters(), packed);
  }
  void emitRow(ImplicitLocOpBuilder &b, const RowBlock &row,
               const Filters &filters, const Panels &packed) {
    auto emitOps = [&] {
      for (auto [i, op] : llvm::enumerate(group.ops)) {
        ArrayRef<linalg::LinalgOp> all(group.ops);
        if (!sums.handles(op) && !work.fills.isSuperfluous(op) &&
            !work.startsContraction(op, all.drop_front(i + 1), &group))
          lowerRow(b, op, row, filters.lookup(op), packed,
                   work.startedBy(op, all.take_front(i), &group));
      }
    };
    if (reach)
      reach->emit(b, row, emitOps);
    else
      emitOps();
    for (linalg::LinalgOp op : sums.members())
      lowerRow(b, op, row, Value(), packed, /*startsAtZero=*/false);
  }
  /// The products whose right-hand side all blocks of rows read, and which
  /// would copy it to panels if these were one: it is copied before the first.
  /// `at`: the row's indices along the other axes.
  Panels packForBlocks(ImplicitLocOpBuilder &b, ArrayRef<Value> at) {
    Panels packed;
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
  /// large. One that is made elementwise of another that no one reads from then
  /// on takes its place.
  LocalBuffers rowBuffers(ImplicitLocOpBuilder &b) {
    LocalBuffers buffers;
    size_t axes = group.sizes.size();
    buffers.rows = group.block > 1 ? axes - 1 : axes;
    buffers.windows = work.fills.allWindows();
    for (auto [i, op] : llvm::enumerate(group.ops))
      for (OpOperand &o : op->getOpOperands()) {
        auto alloc = o.get().getDefiningOp<memref::AllocOp>();
        if (!alloc || buffers.local.contains(alloc) ||
            buffers.windows.contains(alloc) || !group.owns(alloc))
          continue;
        if (OpOperand *in = replacedBy(o, i, buffers)) {
          buffers.local[alloc] = buffers.local[in->get()];
          continue;
        }
        auto type = alloc.getType();
        SmallVector<int64_t> shape(type.getShape());
        std::fill_n(shape.begin(), axes, 1);
        shape[axes - 1] = group.block;
        buffers.local[alloc] = memref::AllocOp::create(
            b, mlir::MemRefType::get(shape, type.getElementType()));
      }
    return buffers;
  }
  /// The input of the `number`th op whose place the output can take: read at
  /// the same index, by no later op, and not taken yet.
  OpOperand *replacedBy(OpOperand &out, size_t number,
                        const LocalBuffers &buffers) {
    auto op = dyn_cast<linalg::GenericOp>(out.getOwner());
    if (!op || !op.isDpsInit(&out) ||
        !op.getMatchingIndexingMap(&out).isPermutation())
      return nullptr;
    auto isTaken = [&](Value place) {
      return llvm::any_of(op.getDpsInits(), [&](Value other) {
        return buffers.local.lookup(other) == place;
      });
    };
    auto isReadLater = [&](Value place) {
      auto reads = [&](linalg::LinalgOp o) {
        return llvm::any_of(o->getOperands(), [&](Value v) {
          return buffers.local.lookup(v) == place;
        });
      };
      ArrayRef<linalg::LinalgOp> all(group.ops);
      return llvm::any_of(all.drop_front(number + 1), reads) ||
             llvm::any_of(sums.members(), reads);
    };
    for (OpOperand *in : op.getDpsInputOperands()) {
      Value place = buffers.local.lookup(in->get());
      if (place && in->get().getType() == out.get().getType() &&
          op.getMatchingIndexingMap(in) == op.getMatchingIndexingMap(&out) &&
          llvm::count(op->getOperands(), in->get()) == 1 && !isTaken(place) &&
          !isReadLater(place))
        return in;
    }
    return nullptr;
  }
  void lowerRow(ImplicitLocOpBuilder &b, linalg::LinalgOp op,
                const RowBlock &row, Value filter, const Panels &packed,
                bool startsAtZero) {
    RowPlace place = placeOf(group, op);
    place.buffers = row.buffers;
    bool addsBlocks = group.sumsRows(op);
    if (!addsBlocks)
      place.buffers.starts = work.fills.startsOf(op);
    SmallVector<LoopRange> ranges = wholeRanges(b, op);
    for (auto [loop, i] : llvm::zip(place.loops, row.at))
      ranges[loop.first].at = loop.second = i;
    if (place.block > 1)
      ranges[place.loops.back().first] = {Value(), b.getIndexAttr(0),
                                          b.getIndexAttr(place.block),
                                          row.at.back()};
    auto extent = reach ? reach->extentOf(op) : std::nullopt;
    if (extent)
      ranges[extent->loop] = rangeOf(*extent, op);
    if (auto w = work.winogradOf(op, place))
      w->emit(b, filter, startsAtZero, machine);
    else if (auto c = work.contraction(op, place)) {
      // The rows that are left may be too few for such words.
      if (auto it = packed.find(op);
          it != packed.end() && it->second.words == c->words)
        c->readPanels(it->second);
      c->extent = extent;
      if (auto slant = reach ? reach->slantOf(op) : std::nullopt)
        c->addClip(*slant);
      emitContraction(b, *c, blockingOf(*c), startsAtZero, {});
    } else if (const Padding *padding = work.fills.paddingFrom(op)) {
      work.fillAround(b, op, *padding, ranges, row.buffers);
    } else {
      emitLoops(b, op, ranges, place.buffers, machine.vectorBits);
    }
    if (reach && !addsBlocks)
      reach->finish(b, op, row, ranges, machine.vectorBits);
  }
  /// Rows that end somewhere do so at a unit's end.
  Blocking blockingOf(const Contraction &c) const {
    Contraction unit = c;
    if (c.extent && c.row && c.extent->loop == *c.row)
      unit.size[*c.row] = std::min(c.rows(), c.extent->unit);
    return Blocking::choose(unit, machine);
  }
  static LoopRange rangeOf(const Extent &e, linalg::LinalgOp op) {
    bool divides = op.getStaticLoopRanges()[e.loop] % e.unit == 0;
    return {Value(), e.low, e.high, Value(), divides ? e.unit : 1};
  }

  const KernelWork &work;
  RowGroup group; ///< of the block's size that is being emitted
  const RegisterFile &machine;
  std::optional<BlockReach> reach; ///< of its members, if they have any
  RowSums sums;
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
