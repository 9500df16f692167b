//===- EmitNest.cpp - a nest of loops as a kernel -------------------------===//

#include "EmitNest.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace gradus;
using namespace gradus::gpu;
namespace memref = mlir::memref;
namespace scf = mlir::scf;

/// The axis at which an index stands by itself.
static std::optional<unsigned> axisOf(ValueRange indices, Value index) {
  for (auto [axis, i] : llvm::enumerate(indices))
    if (i == index)
      return axis;
  return std::nullopt;
}

/// Do different iterations touch different elements of all that is written?
static bool isParallel(scf::ForOp outermost, scf::ForOp loop) {
  llvm::DenseMap<Value, std::optional<unsigned>> axes;
  bool ok = true;
  outermost.walk([&](memref::StoreOp store) {
    auto axis = axisOf(store.getIndices(), loop.getInductionVar());
    auto [it, fresh] = axes.try_emplace(store.getMemRef(), axis);
    ok &= axis.has_value() && it->second == axis;
  });
  outermost.walk([&](memref::LoadOp load) {
    auto written = axes.find(load.getMemRef());
    if (written != axes.end())
      ok &=
          axisOf(load.getIndices(), loop.getInductionVar()) == written->second;
  });
  return ok;
}

Value StepCloner::here(Value v) {
  if (Value there = known.lookupOrNull(v))
    return there;
  return k->inside(v);
}
SmallVector<Value> StepCloner::indices(ValueRange host) {
  return llvm::map_to_vector(host, [&](Value v) { return here(v); });
}
void StepCloner::clone(Operation *op) {
  if (auto load = dyn_cast<memref::LoadOp>(op)) {
    known.map(load.getResult(), k->load(*Access::of(load.getMemRef()),
                                        indices(load.getIndices())));
    return;
  }
  if (auto store = dyn_cast<memref::StoreOp>(op)) {
    k->store(*Access::of(store.getMemRef()), indices(store.getIndices()),
             here(store.getValue()));
    return;
  }
  for (Value v : op->getOperands())
    known.map(v, here(v));
  k->b.clone(*op, known);
}

namespace {
class NestEmitter {
public:
  NestEmitter(OpBuilder &host, mlir::gpu::GPUModuleOp kernels, Operation *op)
      : host(host), kernels(kernels), op(op) {}

  void emit() {
    findParallel();
    int64_t count = 1;
    for (int64_t s : sizes)
      count *= s;
    int64_t threads = std::min<int64_t>(llvm::alignTo(count, warpSize), 256);
    Kernel k(kernels, "loops", op->getLoc(), threads);
    StepCloner step(k);
    Value iteration = k.at.add(
        k.at.mul(k.block(mlir::gpu::Dimension::x), threads), k.thread());
    auto inside = scf::IfOp::create(k.b, k.at.below(iteration, count),
                                    /*withElseRegion=*/false);
    {
      OpBuilder::InsertionGuard guard(k.b);
      k.b.setInsertionPointToStart(inside.thenBlock());
      for (auto [loop, i] :
           llvm::zip(parallel, k.at.takenApart(iteration, sizes)))
        step.map(loop.getInductionVar(), i);
      clone(k, step, op);
    }
    k.launch(host, {llvm::divideCeilSigned(count, threads)});
  }

private:
  void findParallel() {
    auto outermost = dyn_cast<scf::ForOp>(op);
    for (auto loop = outermost; loop;) {
      auto low = mlir::getConstantIntValue(loop.getLowerBound()),
           high = mlir::getConstantIntValue(loop.getUpperBound()),
           step = mlir::getConstantIntValue(loop.getStep());
      if (low == 0 && step == 1 && high && isParallel(outermost, loop)) {
        parallel.push_back(loop);
        sizes.push_back(*high);
      }
      Operation &first = loop.getBody()->front();
      loop = dyn_cast<scf::ForOp>(first);
    }
  }

  void clone(Kernel &k, StepCloner &step, Operation *op) {
    auto loop = dyn_cast<scf::ForOp>(op);
    if (!loop)
      return step.clone(op);
    if (llvm::is_contained(parallel, loop))
      return cloneBody(k, step, loop);
    auto inner = scf::ForOp::create(k.b, step.here(loop.getLowerBound()),
                                    step.here(loop.getUpperBound()),
                                    step.here(loop.getStep()));
    step.map(loop.getInductionVar(), inner.getInductionVar());
    OpBuilder::InsertionGuard guard(k.b);
    k.b.setInsertionPointToStart(inner.getBody());
    cloneBody(k, step, loop);
  }
  void cloneBody(Kernel &k, StepCloner &step, scf::ForOp loop) {
    for (Operation &inner : loop.getBody()->without_terminator())
      clone(k, step, &inner);
  }

  OpBuilder &host;
  mlir::gpu::GPUModuleOp kernels;
  Operation *op;
  SmallVector<scf::ForOp> parallel;
  SmallVector<int64_t> sizes;
};
} // namespace

void gpu::emitNest(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
                   Operation *op) {
  NestEmitter(host, kernels, op).emit();
}
