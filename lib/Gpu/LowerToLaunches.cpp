//===- LowerToLaunches.cpp - kernels -> GPU kernels and their launches ----===//
//
// In: bufferised kernels, their buffers in device memory. Out: a gpu.module,
// and in each kernel's function calls of launches (`graph.launch`) in place of
// linalg and loops.
//
// The ops of a row group are one launch, a block for each row; what they hand
// each other stays in shared memory where it fits. A product is one launch with
// the op that follows it (EmitProduct.cpp). Each other op is one launch: a
// thread has a result, or threads share a sum that is long; so are loops that
// add at looked-up places (EmitScatter.cpp), and other loops (EmitNest.cpp).
//
//===----------------------------------------------------------------------===//

#include "EmitNest.h"
#include "EmitOp.h"
#include "EmitScatter.h"
#include "Plan.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "lib/Lowering/RowGroup.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gradus {
#define GEN_PASS_DEF_LOWERTOLAUNCHES
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::gpu;
namespace func = mlir::func;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
using mlir::OpOperand;

/// Shared memory that every GPU since sm_80 gives a block without asking.
static constexpr int64_t mostRowMemory = 32 * 1024;
/// Threads that a large GPU runs at a time, about.
static constexpr int64_t wantedThreads = 1 << 16;

namespace {
/// The ops of a kernel's function, in order, and which of them need no launch.
class KernelLowering {
public:
  KernelLowering(ArrayRef<Operation *> work, mlir::gpu::GPUModuleOp kernels,
                 const ProductOptions &options, const Chip &chip)
      : kernels(kernels), options(options), chip(chip), work(work) {}

  void run() {
    SmallVector<linalg::LinalgOp> linalgOps;
    for (Operation *op : work)
      if (auto l = dyn_cast<linalg::LinalgOp>(op))
        linalgOps.push_back(l);
    auto group = linalgOps.size() == work.size() ? RowGroup::find(linalgOps)
                                                 : std::nullopt;
    findFills();
    if (group) {
      emitGroup(*group);
    } else {
      for (Operation *op : work)
        if (!done.contains(op))
          emit(op);
    }
    for (Operation *op : llvm::reverse(work))
      op->erase();
  }

private:
  /// Fills that the next op to touch the buffer starts its sums from.
  void findFills() {
    for (auto [i, op] : llvm::enumerate(work)) {
      auto fill = dyn_cast<linalg::FillOp>(op);
      if (!fill)
        continue;
      Value buffer = fill.getOutputs()[0];
      for (Operation *next : ArrayRef(work).drop_front(i + 1)) {
        if (!lowering::usesBuffer(next, buffer))
          continue;
        if (startsFrom(next, buffer)) {
          filled[buffer] = fill.getInputs()[0];
          done.insert(op);
        }
        break;
      }
    }
  }
  /// Does the op add to every element of the buffer, and read it in no other
  /// way?
  bool startsFrom(Operation *op, Value buffer) {
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (!generic || llvm::count_if(op->getOperands(), [&](Value v) {
                      return lowering::viewedBuffer(v) ==
                             lowering::viewedBuffer(buffer);
                    }) != 1)
      return false;
    for (OpOperand &init : generic.getDpsInitsMutable())
      if (init.get() == buffer) {
        auto map = generic.getMatchingIndexingMap(&init);
        return (map.isProjectedPermutation() &&
                map.getNumResults() == generic.getNumParallelLoops()) ||
               OpEmitter(cast<linalg::LinalgOp>(op)).addsWindows();
      }
    return false;
  }

  void emit(Operation *op) {
    OpBuilder host(op);
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (!linalgOp) {
      if (auto scatter = Scatter::match(op))
        return emitScatter(host, kernels, *scatter);
      return emitNest(host, kernels, op);
    }
    if (auto product = Product::match(linalgOp))
      return emitProduct(*product);
    emitAlone(linalgOp);
  }

  //===-- A product and what follows it -----------------------------------===//

  void emitProduct(Product product) {
    Epilogue epilogue = Epilogue::find(product.op, work, done);
    Value out = product.op.getDpsInits()[0];
    Value start = filled.lookup(out);
    epilogue.startsAtZero = start && lowering::isZero(start);
    if (start && !epilogue.startsAtZero) {
      // Added to what is there: so it must be there.
      OpBuilder before(product.op);
      emitAlone(fillOf(out));
    }
    OpBuilder host(takeFollower(product.op, epilogue));
    gpu::emitProduct(host, kernels, product, epilogue, options, chip);
  }
  /// The follower has no launch of its own. Where that of both stands: all that
  /// they read is there.
  Operation *takeFollower(Operation *op, const Epilogue &epilogue) {
    if (!epilogue.follower)
      return op;
    done.insert(epilogue.follower);
    return epilogue.follower;
  }
  linalg::LinalgOp fillOf(Value buffer) {
    for (Operation *op : work)
      if (auto fill = dyn_cast<linalg::FillOp>(op))
        if (fill.getOutputs()[0] == buffer)
          return fill;
    return {};
  }
  //===-- One op ----------------------------------------------------------===//

  void emitAlone(linalg::LinalgOp op) {
    OpEmitter emitter(op);
    int64_t results = emitter.resultCount(), steps = emitter.reductionCount();
    if (results == 0)
      return;
    int64_t threads = 256;
    Sharing sharing;
    if (steps > 1 && emitter.canSlice()) {
      sharing.slicesFirst = emitter.reducesAlongMemory();
      // Neighbouring threads are to read neighbours.
      int64_t least = sharing.slicesFirst ? warpSize : 1;
      while (
          sharing.slices < threads && steps / sharing.slices > 4 &&
          (sharing.slices < least || results * sharing.slices < wantedThreads))
        sharing.slices *= 2;
      if (results == 1 && steps > 16 * threads)
        threads = sharing.slices = 1024;
    }
    sharing.results = threads / sharing.slices;
    Kernel k(kernels, "map", op.getLoc(), threads);
    BufferFacts facts;
    facts.filled = filled;
    Epilogue epilogue;
    auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
    if (generic)
      for (auto [buffer, start] : Epilogue::startsOf(generic, work))
        facts.filled[buffer] = start;
    if (generic && emitter.isOneSum())
      epilogue = Epilogue::find(generic, work, done);
    emitter.setEpilogue(epilogue);
    Value first = k.at.mul(k.block(mlir::gpu::Dimension::x), sharing.results);
    emitter.emit(k, facts, {}, first, sharing);
    OpBuilder host(takeFollower(op, epilogue));
    k.launch(host, {llvm::divideCeilSigned(results, sharing.results)});
  }

  //===-- A group, a block for each row -----------------------------------===//

  void emitGroup(const RowGroup &group) {
    int64_t rows = 1, most = 1;
    for (int64_t s : group.sizes)
      rows *= s;
    for (linalg::LinalgOp op : group.ops) {
      OpEmitter emitter(op, group.loops.find(op)->second);
      most = std::max(most, emitter.resultCount() * emitter.reductionCount());
    }
    if (rows == 0)
      return;
    int64_t threads =
        std::clamp<int64_t>(llvm::bit_ceil(uint64_t(most) / 4), warpSize, 256);
    Operation *last = group.ops.back();
    Kernel k(kernels, "rows", last->getLoc(), threads);
    BufferFacts facts;
    facts.filled = filled;
    facts.rowAxes = group.sizes.size();
    shareRows(k, group, facts, rows);
    SmallVector<Value> row =
        k.at.takenApart(k.block(mlir::gpu::Dimension::x), group.sizes);
    auto members = [&] {
      bool isFirst = true;
      for (linalg::LinalgOp op : group.ops) {
        if (done.contains(op))
          continue;
        if (!std::exchange(isFirst, false))
          k.barrier();
        emitMember(k, OpEmitter(op, group.loops.find(op)->second), facts, row);
      }
    };
    k.when(reached(k, group, row), members);
    OpBuilder host(last);
    k.launch(host, {rows});
  }
  /// Is the row one of so many as a call says? Null: all are there.
  static Value reached(Kernel &k, const RowGroup &group, ValueRange row) {
    Value all;
    for (size_t axis = 0; axis < row.size(); ++axis)
      for (linalg::LinalgOp op : group.ops) {
        RuntimeLengths lengths = loopLengths(op);
        unsigned loop = group.loops.find(op)->second[axis];
        if (lengths.empty() || !lengths[loop])
          continue;
        all =
            k.at.both(all, k.at.below(row[axis], k.length(op, lengths[loop])));
        break;
      }
    return all;
  }
  void shareRows(Kernel &k, const RowGroup &group, BufferFacts &facts,
                 int64_t rows) {
    int64_t bytes = 0;
    for (linalg::LinalgOp op : group.ops)
      for (Value v : op->getOperands()) {
        if (facts.rows.contains(v) || !group.owns(v))
          continue;
        auto type = cast<mlir::MemRefType>(v.getType());
        int64_t size = lowering::byteCount(type) / rows;
        if (bytes + size > mostRowMemory)
          continue;
        bytes += size;
        facts.rows[v] =
            k.shared(type.getElementType(), type.getNumElements() / rows);
      }
  }
  static void emitMember(Kernel &k, OpEmitter op, const BufferFacts &facts,
                         ValueRange row) {
    int64_t results = op.resultCount(), steps = op.reductionCount();
    Sharing sharing;
    if (steps > 1 && op.canSlice())
      while (sharing.slices < k.threads() && steps / sharing.slices >= 2 &&
             results * sharing.slices < k.threads())
        sharing.slices *= 2;
    sharing.results = k.threads() / sharing.slices;
    sharing.slicesFirst = op.reducesAlongMemory();
    if (results <= sharing.results)
      return op.emit(k, facts, row, k.at.number(0), sharing);
    auto loop = scf::ForOp::create(k.b, k.at.number(0), k.at.number(results),
                                   k.at.number(sharing.results));
    OpBuilder::InsertionGuard guard(k.b);
    k.b.setInsertionPointToStart(loop.getBody());
    op.emit(k, facts, row, loop.getInductionVar(), sharing);
  }

  mlir::gpu::GPUModuleOp kernels;
  ProductOptions options;
  Chip chip;
  SmallVector<Operation *> work;
  llvm::SmallPtrSet<Operation *, 8> done;
  llvm::DenseMap<Value, Value> filled; ///< buffer -> scalar
};

struct LowerToLaunches : impl::LowerToLaunchesBase<LowerToLaunches> {
  using LowerToLaunchesBase::LowerToLaunchesBase;

  void runOnOperation() override {
    OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
    auto kernels = mlir::gpu::GPUModuleOp::create(b, getOperation().getLoc(),
                                                  lowering::kernelsSymbol);
    auto chosen = ProductOptions::parse(precision, packing);
    if (!chosen) {
      getOperation().emitError("there is no precision '" + precision +
                               "', or no packing '" + packing + "'");
      return signalPassFailure();
    }
    for (auto f : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      if (f.isExternal())
        continue;
      if (failed(refuseLarge(f)))
        return signalPassFailure();
      auto lower = [&](ArrayRef<Operation *> work) {
        KernelLowering(work, kernels, *chosen, Chip::of(chip)).run();
      };
      if (f->hasAttr(lowering::kernelAttr)) {
        lower(kernelOps(f));
      } else {
        for (Operation *copy : copies(f))
          lower(copy);
        moveScalars(f, kernels);
      }
      // Temporaries that became shared memory, or nothing.
      f.walk([](memref::AllocOp alloc) {
        if (alloc->use_empty())
          alloc.erase();
      });
    }
  }

private:
  static SmallVector<Operation *> kernelOps(func::FuncOp f) {
    SmallVector<Operation *> ops;
    for (Operation &op : f.getBody().front())
      if (isa<linalg::LinalgOp, scf::ForOp, memref::StoreOp>(op))
        ops.push_back(&op);
    return ops;
  }
  /// Of views that a bare pointer does not describe, which an entry function
  /// makes itself (LowerCopies.cpp).
  static SmallVector<Operation *> copies(func::FuncOp f) {
    SmallVector<Operation *> ops;
    f.walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    return ops;
  }
  /// Kernels count elements in 32 bits.
  static LogicalResult refuseLarge(func::FuncOp f) {
    auto check = [](Location loc, Type type) -> LogicalResult {
      auto buffer = dyn_cast<mlir::MemRefType>(type);
      if (!buffer || buffer.getNumElements() <= INT32_MAX)
        return success();
      return mlir::emitError(loc, "a tensor of ")
             << buffer.getNumElements()
             << " elements is too large for GPU code, which counts to 2^31 - "
                "1; "
                "compile it for a CPU";
    };
    for (BlockArgument a : f.getArguments())
      if (failed(check(a.getLoc(), a.getType())))
        return failure();
    auto result = f.walk([&](memref::AllocOp alloc) {
      return mlir::WalkResult(check(alloc.getLoc(), alloc.getType()));
    });
    return failure(result.wasInterrupted());
  }

  /// Numbers that the host's code computes and stores: on the device, too.
  static void moveScalars(func::FuncOp f, mlir::gpu::GPUModuleOp kernels) {
    SmallVector<memref::StoreOp> stores;
    f.walk([&](memref::StoreOp store) { stores.push_back(store); });
    for (memref::StoreOp store : stores) {
      OpBuilder host(store);
      emitNest(host, kernels, store);
      store.erase();
    }
    // Loads that only they wanted.
    SmallVector<Operation *> all;
    f.walk([&](Operation *op) { all.push_back(op); });
    for (Operation *op : llvm::reverse(all))
      if (mlir::isOpTriviallyDead(op))
        op->erase();
  }
};
} // namespace

std::optional<ProductOptions> ProductOptions::parse(StringRef precision,
                                                    StringRef packing) {
  auto how = llvm::StringSwitch<std::optional<Precision>>(precision)
                 .Case("strict", Precision::Strict)
                 .Case("f32", Precision::F32)
                 .Case("tf32", Precision::Tf32)
                 .Case("f16", Precision::F16)
                 .Case("bf16", Precision::Bf16)
                 .Default(std::nullopt);
  auto packs = llvm::StringSwitch<std::optional<Packing>>(packing)
                   .Case("auto", Auto)
                   .Case("always", Always)
                   .Case("never", Never)
                   .Default(std::nullopt);
  if (!how || !packs)
    return std::nullopt;
  return ProductOptions{*how, *packs};
}
