//===- LowerKernels.cpp - linalg on buffers -> loops over vectors ---------===//
//
// In: bufferised kernels. Out: no linalg. Each op becomes loops where it
// stands (EmitContraction.cpp, EmitLoops.cpp); the ops of a group become one
// nest over its rows, or blocks of them, with the members' loops for one
// inside. Temporaries of a group that only its members touch shrink to one row
// or block.
//
// A fill with zero that a contraction starts from is dropped: its accumulators
// start there; so are others that sums in registers start from (Fills.cpp).
// Large work is cut into parts along a parallel loop, or along the rows of a
// group.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "EmitLoops.h"
#include "Fills.h"
#include "SplitLoops.h"
#include "Winograd.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "lib/Lowering/RowGroup.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace gradus {
#define GEN_PASS_DEF_LOWERKERNELS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
using mlir::OpOperand;

static bool touches(Operation *op, Value buffer) {
  return llvm::is_contained(op->getOperands(), buffer);
}

namespace {
struct LowerKernels : impl::LowerKernelsBase<LowerKernels> {
  using LowerKernelsBase::LowerKernelsBase;

  void runOnOperation() override {
    machine = {vectorBits, registers, DotInstructions::of(dots), streams};
    SmallVector<linalg::LinalgOp> work;
    getOperation().walk([&](linalg::LinalgOp op) { work.push_back(op); });
    fills.findPaddings(work);
    fills.findWindows(work, vectorBits, [&](linalg::LinalgOp op) {
      return contraction(op, RowPlace()).has_value();
    });
    auto group = RowGroup::find(work);
    fills.findStarts(work, [&](linalg::LinalgOp op) {
      bool isMember = group && group->contains(op);
      return contraction(op, isMember ? placeOf(*group, op) : RowPlace())
          .has_value();
    });
    if (group) {
      lower(*group);
      llvm::erase_if(work,
                     [&](linalg::LinalgOp op) { return group->contains(op); });
      for (linalg::LinalgOp op : llvm::reverse(group->ops))
        op->erase();
    }
    for (unsigned i = 0; i < work.size(); ++i) {
      linalg::LinalgOp op = work[i];
      auto before = ArrayRef(work).take_front(i),
           later = ArrayRef(work).drop_front(i + 1);
      if (fills.isSuperfluous(op) || startsContraction(op, later))
        continue;
      bool fromZero = startedBy(op, before);
      if (auto follower = followerOf(op, later)) {
        lower(op, *follower, fromZero);
        ++i;
        continue;
      }
      ImplicitLocOpBuilder b(op.getLoc(), op);
      lower(b, op, fromZero);
    }
    for (linalg::LinalgOp op : llvm::reverse(work))
      op->erase();
    // Temporaries that became smaller ones.
    getOperation().walk([](memref::AllocOp alloc) {
      if (alloc->use_empty())
        alloc.erase();
    });
  }

private:
  //===-- Fills that other ops make superfluous ---------------------------===//

  std::optional<Contraction> contraction(linalg::LinalgOp op,
                                         const RowPlace &row) {
    auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
    std::optional<Contraction> c;
    if (generic)
      c = Contraction::match(generic, machine, row);
    return c && c->depth() > 0 ? c : std::nullopt;
  }
  /// Does a contraction among the ops that follow overwrite what this fill
  /// writes, before anything reads it?
  bool startsContraction(linalg::LinalgOp op, ArrayRef<linalg::LinalgOp> later,
                         const RowGroup *group = nullptr) {
    auto fill = dyn_cast<linalg::FillOp>(op.getOperation());
    if (!fill || !lowering::isZero(fill.getInputs()[0]))
      return false;
    Value buffer = op.getDpsInits()[0];
    for (linalg::LinalgOp next : later)
      if (touches(next, buffer))
        return next.getDpsInits()[0] == buffer && !sumsToRuntimeLength(next) &&
               next->getBlock() == op->getBlock() &&
               !llvm::is_contained(next.getDpsInputs(), buffer) &&
               contraction(next, group ? placeOf(*group, next) : RowPlace());
    return false;
  }
  /// Adds up blocks of a number that a call says: each adds to what is there.
  static bool sumsToRuntimeLength(linalg::LinalgOp op) {
    for (auto [length, kind] :
         llvm::zip(loopLengths(op), op.getIteratorTypesArray()))
      if (length && kind == mlir::utils::IteratorType::reduction)
        return true;
    return false;
  }
  /// The fill with zero that the op starts from?
  bool startedBy(linalg::LinalgOp op, ArrayRef<linalg::LinalgOp> before,
                 const RowGroup *group = nullptr) {
    SmallVector<linalg::LinalgOp> later{op};
    for (linalg::LinalgOp last : llvm::reverse(before)) {
      if (touches(last, op.getDpsInits()[0]))
        return startsContraction(last, later, group);
      later.insert(later.begin(), last);
    }
    return false;
  }

  //===-- One op ----------------------------------------------------------===//

  std::optional<Winograd> winogradOf(linalg::LinalgOp op, const RowPlace &row) {
    // Its tiles of several images at once are cut to sizes that are known, and
    // not to blocks of rows.
    bool whole = loopLengths(op).empty() && row.block == 1;
    auto c = winograd && whole ? contraction(op, row) : std::nullopt;
    return c ? Winograd::match(*c) : std::nullopt;
  }
  void lower(ImplicitLocOpBuilder &b, const Winograd &w, bool startsAtZero) {
    auto split = w.split(threads);
    if (!split) {
      w.emit(b, w.emitFilter(b), startsAtZero, machine);
      return;
    }
    createEvenParts(
        b, split->second, [] {},
        [&](Value first, int64_t size) {
          Winograd part = w;
          part.c.size[split->first] = size;
          part.c.rowLoops.push_back({split->first, first});
          part.emit(b, part.emitFilter(b), startsAtZero, machine);
        });
  }

  void lower(ImplicitLocOpBuilder &b, const Contraction &c, bool startsAtZero,
             const Epilogue *epilogue) {
    auto split = splitContraction(c, machine, threads);
    Contraction part = c;
    if (split)
      part.size[split->first] = split->second.chunk;
    bool follows = epilogue != nullptr;
    Blocking whole = Blocking::choose(c, machine, follows);
    emitContraction(b, c, Blocking::choose(part, machine, follows, &whole),
                    startsAtZero, split, epilogue);
  }

  /// The fill, but for what the padding writes.
  void fillAround(ImplicitLocOpBuilder &b, linalg::LinalgOp fill,
                  const Padding &padding, ArrayRef<LoopRange> ranges,
                  const LocalBuffers &buffers) {
    for (ArrayRef<LoopRange> piece : padding.around(b, ranges))
      emitLoops(b, fill, piece, buffers, vectorBits);
  }
  void lower(ImplicitLocOpBuilder &b, linalg::LinalgOp op, bool startsAtZero) {
    if (auto w = winogradOf(op, RowPlace()))
      return lower(b, *w, startsAtZero);
    if (auto c = contraction(op, RowPlace()))
      return lower(b, *c, startsAtZero, nullptr);
    SmallVector<LoopRange> ranges = wholeRanges(b, op);
    if (const Padding *padding = fills.paddingFrom(op))
      return fillAround(b, op, *padding, ranges, LocalBuffers());
    LocalBuffers buffers;
    buffers.starts = fills.startsOf(op);
    buffers.windows = fills.allWindows();
    auto split = chooseSplit(op, threads);
    if (!split) {
      emitLoops(b, op, ranges, buffers, vectorBits);
      return;
    }
    RuntimeLengths lengths = loopLengths(op);
    lengths.resize(op.getNumLoops());
    createParts(b, split->second, [&](OpBuilder &nested, Value part) {
      ImplicitLocOpBuilder inner(op.getLoc(), nested);
      ranges = wholeRanges(inner, op); // a part reads nothing from outside
      ranges[split->first] =
          countedRangeOfPart(inner, split->second, part, lengths[split->first]);
      emitLoops(inner, op, ranges, buffers, vectorBits);
    });
  }

  //===-- A product and what follows it -----------------------------------===//

  /// The next op, if it is to run on blocks of this product and may: nothing
  /// happens between them, and it overwrites nothing that the product reads.
  std::optional<linalg::GenericOp>
  followerOf(linalg::LinalgOp op, ArrayRef<linalg::LinalgOp> later) {
    linalg::LinalgOp next = later.empty() ? linalg::LinalgOp() : later.front();
    if (!next || !next->hasAttr(lowering::epilogueAttr) ||
        op->getBlock() != next->getBlock())
      return std::nullopt;
    auto follower = cast<linalg::GenericOp>(next.getOperation());
    for (Operation *o = op->getNextNode(); o != follower; o = o->getNextNode())
      if (!mlir::isMemoryEffectFree(o) && !isa<memref::AllocOp>(o))
        return std::nullopt;
    for (Value out : follower.getDpsInits())
      for (Value in : op.getDpsInputs())
        if (lowering::viewedBuffer(in) == lowering::viewedBuffer(out))
          return std::nullopt;
    auto c = contraction(op, RowPlace());
    if (!c || winogradOf(op, RowPlace()) || !resultOf(op, follower))
      return std::nullopt;
    return follower;
  }
  /// The follower's operand that is the product's result, read at its place.
  static OpOperand *resultOf(linalg::LinalgOp product,
                             linalg::GenericOp follower) {
    OpOperand *result = nullptr;
    for (OpOperand &o : follower->getOpOperands())
      if (o.get() == product.getDpsInits()[0])
        result = result ? nullptr : &o;
    bool ok = result && follower.isDpsInput(result) &&
              follower.getMatchingIndexingMap(result).isPermutation() &&
              product.getIndexingMapsArray().back().isProjectedPermutation();
    return ok ? result : nullptr;
  }

  void lower(linalg::LinalgOp op, linalg::GenericOp follower, bool fromZero) {
    // Where the follower stands, everything that either reads is there.
    ImplicitLocOpBuilder b(op.getLoc(), follower);
    auto c = contraction(op, RowPlace());
    OpOperand *result = resultOf(op, follower);
    mlir::AffineMap written = op.getIndexingMapsArray().back(),
                    read = follower.getMatchingIndexingMap(result);
    auto emit = [&](ArrayRef<LoopRange> ranges, Value tile) {
      SmallVector<LoopRange> own(read.getNumDims());
      for (unsigned axis = 0; axis < read.getNumResults(); ++axis)
        own[read.getDimPosition(axis)] = ranges[written.getDimPosition(axis)];
      LocalBuffers buffers;
      if (tile)
        buffers.tile[result->get()] = tile;
      Location loc = b.getLoc();
      b.setLoc(follower.getLoc());
      emitLoops(b, follower, own, buffers, vectorBits);
      b.setLoc(loc);
    };
    auto alloc = result->get().getDefiningOp<memref::AllocOp>();
    Operation *product = op;
    bool owns = alloc && llvm::all_of(alloc->getUsers(), [&](Operation *user) {
                  return user == product || user == follower ||
                         (fromZero && isa<linalg::FillOp>(user));
                });
    Epilogue epilogue{emit, owns};
    lower(b, *c, fromZero, &epilogue);
  }

  //===-- A group, row by row ---------------------------------------------===//

  /// The op's loops over the rows, at indices that are not known yet.
  static RowPlace placeOf(const RowGroup &group, Operation *op) {
    RowPlace place;
    place.block = group.block;
    for (unsigned d : group.loops.find(op)->second)
      place.loops.push_back({d, Value()});
    return place;
  }

  void lower(const RowGroup &group) {
    Operation *last = group.ops.back();
    ImplicitLocOpBuilder b(last->getLoc(), last);
    double work = 0;
    for (linalg::LinalgOp op : group.ops)
      work += workOf(op);
    std::optional<LoopSplit> best;
    if (threads > 1 && work > 2 * worthAThread)
      for (auto [axis, size] : llvm::enumerate(group.sizes)) {
        int64_t unit = axis + 1 == group.sizes.size() ? group.block : 1;
        if (size % unit == 0) // a part has whole blocks
          takeEvener(best, axis, Split(size, unit, threads), threads);
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
      return rowNests(b, group, wholeRows(b));
    RuntimeLengths lengths = loopLengths(last);
    lengths.resize(cast<linalg::LinalgOp>(last).getNumLoops());
    createParts(b, best->second, [&](OpBuilder &nested, Value part) {
      ImplicitLocOpBuilder inner(b.getLoc(), nested);
      SmallVector<LoopRange> rows = wholeRows(inner);
      unsigned loop = group.loops.find(last)->second[best->first];
      rows[best->first] = rangeOfPart(inner, best->second, part, lengths[loop]);
      rowNests(inner, group, rows);
    });
  }

  /// Whole blocks, and then one of the rows that are left.
  void rowNests(ImplicitLocOpBuilder &b, const RowGroup &group,
                SmallVector<LoopRange> rows) {
    int64_t all = group.sizes.back(), rest = all % group.block;
    if (rest == 0)
      return rowNest(b, group, rows);
    RowGroup part = group;
    part.sizes.back() = all - rest;
    rows.back().high = b.getIndexAttr(all - rest);
    rowNest(b, part, rows);
    part.sizes.back() = part.block = rest;
    rows.back().low = b.getIndexAttr(all - rest);
    rows.back().high = b.getIndexAttr(all);
    rowNest(b, part, rows);
  }
  void rowNest(ImplicitLocOpBuilder &b, const RowGroup &group,
               ArrayRef<LoopRange> rows) {
    LocalBuffers buffers = rowBuffers(b, group);
    // What is the same for all rows comes first.
    llvm::DenseMap<Operation *, Value> filters;
    for (linalg::LinalgOp op : group.ops)
      if (auto w = winogradOf(op, placeOf(group, op)))
        filters[op] = w->emitFilter(b);
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Value> at;
    llvm::DenseMap<Operation *, RhsPanels> packed;
    for (const LoopRange &row : rows) {
      bool isLast = &row == &rows.back();
      if (isLast && group.block > 1)
        packed = packForBlocks(b, group, at);
      auto bound = [&](mlir::OpFoldResult v) {
        return mlir::getValueOrCreateConstantIndexOp(b, b.getLoc(), v);
      };
      Value step = arith::ConstantIndexOp::create(b, isLast ? group.block : 1);
      auto loop = scf::ForOp::create(b, bound(row.low), bound(row.high), step);
      at.push_back(loop.getInductionVar());
      b.setInsertionPointToStart(loop.getBody());
    }
    for (auto [i, op] : llvm::enumerate(group.ops)) {
      ArrayRef<linalg::LinalgOp> all(group.ops);
      if (!fills.isSuperfluous(op) &&
          !startsContraction(op, all.drop_front(i + 1), &group))
        lowerRow(b, op, placeOf(group, op), at, buffers, filters.lookup(op),
                 packed, startedBy(op, all.take_front(i), &group));
    }
  }
  /// The products whose right-hand side all blocks of rows read, and which
  /// would copy it to panels if these were one: it is copied before the first.
  /// `at`: the row's indices along the other axes.
  llvm::DenseMap<Operation *, RhsPanels> packForBlocks(ImplicitLocOpBuilder &b,
                                                       const RowGroup &group,
                                                       ArrayRef<Value> at) {
    llvm::DenseMap<Operation *, RhsPanels> packed;
    for (linalg::LinalgOp op : group.ops) {
      RowPlace place = placeOf(group, op);
      for (auto [loop, i] : llvm::zip(place.loops, at))
        loop.second = i;
      unsigned blocked = place.loops.back().first;
      place.loops.back().second = arith::ConstantIndexOp::create(b, 0);
      auto c = contraction(op, place);
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
  LocalBuffers rowBuffers(ImplicitLocOpBuilder &b, const RowGroup &group) {
    LocalBuffers buffers;
    size_t axes = group.sizes.size();
    buffers.rows = group.block > 1 ? axes - 1 : axes;
    buffers.windows = fills.allWindows();
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
  void lowerRow(ImplicitLocOpBuilder &b, linalg::LinalgOp op, RowPlace place,
                ArrayRef<Value> at, const LocalBuffers &buffers, Value filter,
                const llvm::DenseMap<Operation *, RhsPanels> &packed,
                bool startsAtZero) {
    place.buffers = buffers;
    place.buffers.starts = fills.startsOf(op);
    SmallVector<LoopRange> ranges = wholeRanges(b, op);
    for (auto [loop, i] : llvm::zip(place.loops, at))
      ranges[loop.first].at = loop.second = i;
    if (place.block > 1)
      ranges[place.loops.back().first] = {
          Value(), b.getIndexAttr(0), b.getIndexAttr(place.block), at.back()};
    if (auto w = winogradOf(op, place))
      w->emit(b, filter, startsAtZero, machine);
    else if (auto c = contraction(op, place)) {
      if (auto it = packed.find(op); it != packed.end())
        c->readPanels(it->second);
      emitContraction(b, *c, Blocking::choose(*c, machine), startsAtZero, {});
    } else if (const Padding *padding = fills.paddingFrom(op)) {
      fillAround(b, op, *padding, ranges, buffers);
    } else {
      emitLoops(b, op, ranges, place.buffers, vectorBits);
    }
  }

  RegisterFile machine;
  Fills fills;
};
} // namespace
