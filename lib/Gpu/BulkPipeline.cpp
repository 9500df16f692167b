//===- BulkPipeline.cpp - tiles brought by the memory accelerator ---------===//
//
//   producer:  for each tile of depth     consumers:  for each tile of depth
//                wait until its stage                   wait until its stage
//                  has been read                          is there
//                expect the bytes of                    begin its products
//                  both tiles                           wait for those of the
//                copy both                                tile before; its
//                                                         stage has been read
//
// A wait is for the phase of an mbarrier whose parity is given. Stages are used
// in turn, and the parity changes each time around; before the first, a stage
// counts as read.
//
//===----------------------------------------------------------------------===//

#include "BulkPipeline.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace LLVM = mlir::LLVM;
namespace NVVM = mlir::NVVM;
namespace scf = mlir::scf;

/// Of a piece of a tile's line, which a box is wide.
static constexpr int64_t lineBytes = 128;
static constexpr size_t mostDimensions = 5;

/// The step from one index to the next where axes are one behind the other in
/// memory.
static std::optional<int64_t> flatStep(ArrayRef<Axis> axes, Factor operand) {
  if (axes.empty())
    return std::nullopt;
  int64_t step = axes.back().steps[operand], next = step;
  for (const Axis &a : llvm::reverse(axes)) {
    if (a.steps[operand] != next)
      return std::nullopt;
    next *= a.size;
  }
  return step;
}

bool gpu::isBoxes(const Side &side) {
  size_t batches = llvm::count_if(
      side.p.batch, [&](const Axis &a) { return a.steps[side.operand] != 0; });
  return !side.access.start && batches + 2 <= mostDimensions &&
         flatStep(side.p.depth, side.operand) &&
         flatStep(side.across, side.operand);
}

BulkPipeline::BulkPipeline(Kernel &k, const Product &p, const Plan &plan,
                           Multiplier &multiplier, ArrayRef<Value> rows,
                           const AxisIndex &batch)
    : k(k), p(p), plan(plan), multiplier(multiplier) {
  producer = arith::CmpIOp::create(k.b, arith::CmpIPredicate::uge, k.thread(),
                                   k.at.number(plan.tiles.threads));
  for (Factor f : {Lhs, Rhs})
    operands[f] = operand(Side(p, f, plan.tiles), rows[f], batch);
  makeBarriers();
}

BulkPipeline::Operand BulkPipeline::operand(const Side &side, Value firstRow,
                                            const AxisIndex &batch) {
  Factor f = side.operand;
  const ChunkedTile &tile = plan.stages->tiles[f];
  Operand o;
  int64_t inLine = tile.depthInLine ? side.tileDepth : side.tileRows;
  int64_t width = lineBytes * 8 / side.access.element.getIntOrFloatBitWidth();
  o.pieces = inLine / width;
  o.pieceWidth = width;
  o.pieceBytes = tile.lines * lineBytes;

  TensorBoxes boxes{
      side.access.root, side.access.element, side.access.offset, {}, {}, {}};
  auto add = [&](int64_t size, int64_t step, int64_t box, Value coordinate) {
    boxes.sizes.push_back(size);
    boxes.steps.push_back(step);
    boxes.box.push_back(box);
    o.coordinates.push_back(coordinate);
  };
  int64_t depthStep = *flatStep(side.p.depth, f),
          rowStep = *flatStep(side.across, f);
  auto addDepth = [&](int64_t box) {
    add(side.p.k(), depthStep, box, nullptr);
  };
  auto addRows = [&](int64_t box) {
    add(Product::sizeOf(side.across), rowStep, box, asWord(firstRow));
  };
  if (tile.depthInLine) {
    addDepth(width);
    addRows(side.tileRows);
  } else {
    addRows(width);
    addDepth(side.tileDepth);
  }
  for (auto [i, a] : llvm::enumerate(side.p.batch))
    if (a.steps[f] != 0)
      add(a.size, a.steps[f], 1, asWord(batch[i]));
  o.map = k.tensorMap(boxes);
  return o;
}

Value BulkPipeline::word(int64_t n) {
  return arith::ConstantIntOp::create(k.b, k.b.getI32Type(), n);
}
Value BulkPipeline::asWord(Value index) {
  return arith::IndexCastUIOp::create(k.b, k.b.getI32Type(), index);
}
Value BulkPipeline::isFirstLane() {
  return arith::CmpIOp::create(k.b, arith::CmpIPredicate::eq,
                               k.at.rem(k.thread(), warpSize), k.at.number(0));
}

void BulkPipeline::makeBarriers() {
  int64_t stages = plan.stages->count;
  constexpr int64_t barrierBytes = 8;
  barriers = k.largeShared(k.b.getI64Type(), 2 * stages, barrierBytes);
  Value isFirst = arith::CmpIOp::create(k.b, arith::CmpIPredicate::eq,
                                        k.thread(), k.at.number(0));
  k.when(isFirst, [&] {
    // A stage is full when the producer has come, and what it asked for; read
    // when each warp has.
    for (int64_t s = 0; s < stages; ++s) {
      NVVM::MBarrierInitOp::create(k.b, barrier(k.at.number(s), true), word(1),
                                   Value());
      NVVM::MBarrierInitOp::create(k.b, barrier(k.at.number(s), false),
                                   word(plan.tiles.threads / warpSize),
                                   Value());
    }
    NVVM::FenceMbarrierInitOp::create(k.b);
  });
  k.barrier();
}
Value BulkPipeline::barrier(Value stage, bool isFull) {
  return k.address(barriers, k.at.add(stage, isFull ? 0 : plan.stages->count));
}
void BulkPipeline::wait(Value stage, bool isFull, Value parity) {
  // The hint how long to sleep, in ns.
  constexpr int64_t ticks = 10'000'000;
  NVVM::MBarrierTryWaitParityOp::create(k.b, barrier(stage, isFull), parity,
                                        word(ticks));
}
std::pair<Value, Value> BulkPipeline::following(Value stage, Value parity) {
  Value isLast = arith::CmpIOp::create(k.b, arith::CmpIPredicate::eq, stage,
                                       k.at.number(plan.stages->count - 1));
  Value other = arith::XOrIOp::create(k.b, parity, word(1));
  return {
      arith::SelectOp::create(k.b, isLast, k.at.number(0), k.at.add(stage, 1)),
      arith::SelectOp::create(k.b, isLast, other, parity)};
}

void BulkPipeline::copy(const Operand &o, Factor f, Value depth, Value stage) {
  auto cluster = LLVM::LLVMPointerType::get(
      k.b.getContext(), unsigned(NVVM::NVVMMemorySpace::SharedCluster));
  constexpr int64_t wordBytes = 4;
  Value first = k.at.mul(stage, plan.stages->tiles[f].size());
  for (int64_t piece = 0; piece < o.pieces; ++piece) {
    SmallVector<Value> at;
    for (auto [d, coordinate] : llvm::enumerate(o.coordinates)) {
      Value c = coordinate ? coordinate : asWord(depth);
      if (d == 0 && piece > 0)
        c = arith::AddIOp::create(k.b, c, word(piece * o.pieceWidth));
      at.push_back(c);
    }
    Value to = k.address(multiplier.memory(f),
                         k.at.add(first, piece * o.pieceBytes / wordBytes));
    NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
        k.b, LLVM::AddrSpaceCastOp::create(k.b, cluster, to), o.map, at,
        barrier(stage, true), /*im2colOffsets=*/ValueRange(),
        /*multicastMask=*/Value(), /*l2CacheHint=*/Value(),
        NVVM::TMALoadMode::TILE, /*isCTAOnly=*/false,
        /*group=*/NVVM::CTAGroupKindAttr(), /*predicate=*/Value());
  }
}

void BulkPipeline::produce(const DepthRange &range) {
  Value isFirst =
      arith::CmpIOp::create(k.b, arith::CmpIPredicate::eq, k.thread(),
                            k.at.number(plan.tiles.threads));
  int64_t bytes = 0;
  for (const Operand &o : operands)
    bytes += o.pieces * o.pieceBytes;
  k.when(isFirst, [&] {
    Value start[] = {k.at.number(0), word(1)};
    forEachTile(k, range, start, [&](Value depth, ArrayRef<Value> now) {
      Value stage = now[0], parity = now[1];
      wait(stage, /*isFull=*/false, parity);
      NVVM::MBarrierArriveExpectTxOp::create(
          k.b, k.b.getI64Type(), barrier(stage, true), word(bytes),
          NVVM::MemScopeKind::CTA, /*relaxed=*/false, /*predicate=*/Value());
      for (Factor f : {Lhs, Rhs})
        copy(operands[f], f, depth, stage);
      auto [nextStage, nextParity] = following(stage, parity);
      return SmallVector<Value>{nextStage, nextParity};
    });
  });
}

SmallVector<Value> BulkPipeline::consume(const DepthRange &range) {
  SmallVector<Value> carried = multiplier.zeros(k);
  size_t sums = carried.size();
  // The stage, its parity, and the stage before.
  carried.append({k.at.number(0), word(0), k.at.number(0)});
  Value isFirstLane = this->isFirstLane();
  carried =
      forEachTile(k, range, carried, [&](Value depth, ArrayRef<Value> now) {
        Value stage = now[sums], parity = now[sums + 1], before = now[sums + 2];
        wait(stage, /*isFull=*/true, parity);
        SmallVector<Value> results =
            multiplier.multiply(k, now.take_front(sums), stage);
        results = multiplier.settle(k, results, multiplier.stagesInFlight());
        Value isLater = arith::CmpIOp::create(k.b, arith::CmpIPredicate::ne,
                                              depth, range.from);
        k.when(arith::AndIOp::create(k.b, isFirstLane, isLater), [&] {
          NVVM::MBarrierArriveOp::create(
              k.b, k.b.getI64Type(), barrier(before, false), /*count=*/Value(),
              NVVM::MemScopeKind::CTA, /*relaxed=*/false);
        });
        // Lanes must be together where products begin.
        NVVM::SyncWarpOp::create(k.b, word(-1));
        auto [nextStage, nextParity] = following(stage, parity);
        results.append({nextStage, nextParity, stage});
        return results;
      });
  carried.resize(sums);
  return multiplier.settle(k, carried, 0);
}
