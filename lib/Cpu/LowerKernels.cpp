//===- LowerKernels.cpp - linalg on buffers -> loops over vectors ---------===//
//
// In: bufferised kernels. Out: no linalg. Each op becomes loops where it
// stands (EmitContraction.cpp, EmitLoops.cpp); the ops of a group become one
// nest over its rows, or blocks of them, with the members' loops for one
// inside (EmitGroup.cpp). Temporaries of a group that only its members touch
// shrink to one row or block.
//
// A fill with zero that a contraction starts from is dropped: its accumulators
// start there; so are others that sums in registers start from (Fills.cpp).
// Large work is cut into parts along a parallel loop, or along the rows of a
// group.
//
//===----------------------------------------------------------------------===//

#include "KernelWork.h"
#include "SplitLoops.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
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

namespace {
struct LowerKernels : impl::LowerKernelsBase<LowerKernels> {
  using LowerKernelsBase::LowerKernelsBase;

  void runOnOperation() override {
    kernel = {{vectorBits, registers, DotInstructions::of(dots), streams},
              threads,
              winograd,
              Fills()};
    SmallVector<linalg::LinalgOp> work;
    getOperation().walk([&](linalg::LinalgOp op) { work.push_back(op); });
    kernel.fills.findPaddings(work);
    kernel.fills.findWindows(work, vectorBits, [&](linalg::LinalgOp op) {
      return kernel.contraction(op, RowPlace()).has_value();
    });
    auto group = RowGroup::find(work);
    kernel.fills.findStarts(work, [&](linalg::LinalgOp op) {
      bool isMember = group && group->contains(op);
      return kernel.contraction(op, isMember ? placeOf(*group, op) : RowPlace())
          .has_value();
    });
    if (group) {
      ImplicitLocOpBuilder b(group->ops.back()->getLoc(), group->ops.back());
      emitGroup(b, kernel, *group);
      llvm::erase_if(work,
                     [&](linalg::LinalgOp op) { return group->contains(op); });
      for (linalg::LinalgOp op : llvm::reverse(group->ops))
        op->erase();
    }
    for (unsigned i = 0; i < work.size(); ++i) {
      linalg::LinalgOp op = work[i];
      auto before = ArrayRef(work).take_front(i),
           later = ArrayRef(work).drop_front(i + 1);
      if (kernel.fills.isSuperfluous(op) || kernel.startsContraction(op, later))
        continue;
      bool fromZero = kernel.startedBy(op, before);
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
  //===-- One op ----------------------------------------------------------===//

  void lower(ImplicitLocOpBuilder &b, const Winograd &w, bool startsAtZero) {
    auto split = w.split(threads);
    if (!split) {
      w.emit(b, w.emitFilter(b), startsAtZero, kernel.machine);
      return;
    }
    createEvenParts(
        b, split->second, [] {},
        [&](Value first, int64_t size) {
          Winograd part = w;
          part.c.size[split->first] = size;
          part.c.rowLoops.push_back({split->first, first});
          part.emit(b, part.emitFilter(b), startsAtZero, kernel.machine);
        });
  }

  void lower(ImplicitLocOpBuilder &b, Contraction c, bool startsAtZero,
             const Epilogue *epilogue) {
    auto split = splitContraction(c, kernel.machine, threads);
    bool follows = epilogue != nullptr;
    Blocking whole = Blocking::choose(c, kernel.machine, follows);
    if (split && c.rhs.step[split->first] == 0 && sharesPanels(c, whole)) {
      c.readPanels(emitPanels(b, c, whole, threads));
      whole = Blocking::choose(c, kernel.machine, follows);
    }
    Contraction part = c;
    if (split)
      part.size[split->first] = split->second.chunk;
    emitContraction(b, c,
                    Blocking::choose(part, kernel.machine, follows, &whole),
                    startsAtZero, split, epilogue);
  }

  void lower(ImplicitLocOpBuilder &b, linalg::LinalgOp op, bool startsAtZero) {
    if (auto w = kernel.winogradOf(op, RowPlace()))
      return lower(b, *w, startsAtZero);
    if (auto c = kernel.contraction(op, RowPlace()))
      return lower(b, *c, startsAtZero, nullptr);
    SmallVector<LoopRange> ranges = wholeRanges(b, op);
    if (const Padding *padding = kernel.fills.paddingFrom(op))
      return kernel.fillAround(b, op, *padding, ranges, LocalBuffers());
    LocalBuffers buffers;
    buffers.starts = kernel.fills.startsOf(op);
    buffers.windows = kernel.fills.allWindows();
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
    auto c = kernel.contraction(op, RowPlace());
    if (!c || kernel.winogradOf(op, RowPlace()) || !resultOf(op, follower))
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
    auto c = kernel.contraction(op, RowPlace());
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
    Epilogue epilogue{emit, owns, {}};
    for (OpOperand &other : follower->getOpOperands()) {
      auto access = LinearAccess::of(other);
      if (&other == result || !access)
        continue;
      SmallVector<int64_t> step(c->size.size());
      for (unsigned axis = 0; axis < read.getNumResults(); ++axis)
        step[written.getDimPosition(axis)] =
            access->step[read.getDimPosition(axis)];
      access->step = step;
      epilogue.others.push_back(*access);
    }
    lower(b, *c, fromZero, &epilogue);
  }

  KernelWork kernel = {}; ///< that is being lowered
};
} // namespace
