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
// Two warpgroups that multiply do not begin a tile of the result together: the
// first is some stages ahead. So it stores its sums while the second has the
// tensor cores for itself, which then stores while the first goes on.
//
// Where two blocks, a cluster, have an operand's tiles in common, each asks for
// half of the lines of each, for both; so a stage has been read when both
// blocks have read theirs. A block must be there as long as the other may say
// so.
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
                           Multiplier &multiplier)
    : k(k), plan(plan), multiplier(multiplier) {
  producer = arith::CmpIOp::create(k.b, arith::CmpIPredicate::uge, k.thread(),
                                   k.at.number(plan.tiles.threads));
  if (plan.common) {
    k.formClusters(plan.clusterBlocks());
    rank = k.rankInCluster();
  }
  if (plan.lead)
    isFirst = arith::CmpIOp::create(
        k.b, arith::CmpIPredicate::eq,
        k.uniform(k.at.div(k.thread(), warpgroupThreads)), k.at.number(0));
  for (Factor f : {Lhs, Rhs})
    operands[f] = operand(Side(p, f, plan.tiles));
  makeBarriers();
}

BulkPipeline::Operand BulkPipeline::operand(const Side &side) {
  Factor f = side.operand;
  const ChunkedTile &tile = plan.stages->tiles[f];
  Operand o;
  int64_t inLine = tile.depthInLine ? side.tileDepth : side.tileRows;
  int64_t width = lineBytes * 8 / side.access.element.getIntOrFloatBitWidth();
  o.pieces = inLine / width;
  o.pieceWidth = width;
  o.pieceBytes = tile.lines * lineBytes;
  o.isCommon = plan.common == f;
  o.lines = o.isCommon ? tile.lines / plan.clusterBlocks() : tile.lines;

  TensorBoxes boxes{
      side.access.root, side.access.element, side.access.offset, {}, {}, {}};
  auto add = [&](int64_t size, int64_t step, int64_t box, Along along,
                 size_t batchAxis = 0) {
    boxes.sizes.push_back(size);
    boxes.steps.push_back(step);
    boxes.box.push_back(box);
    o.dimensions.push_back({along, batchAxis});
  };
  int64_t depthStep = *flatStep(side.p.depth, f),
          rowStep = *flatStep(side.across, f);
  auto addDepth = [&](int64_t box) {
    add(side.p.k(), depthStep, box, Along::Depth);
  };
  auto addRows = [&](int64_t box) {
    add(Product::sizeOf(side.across), rowStep, box, Along::Rows);
  };
  if (tile.depthInLine) {
    addDepth(width);
    addRows(o.lines);
  } else {
    addRows(width);
    addDepth(o.lines);
  }
  for (auto [i, a] : llvm::enumerate(side.p.batch))
    if (a.steps[f] != 0)
      add(a.size, a.steps[f], 1, Along::Batch, i);
  o.map = k.tensorMap(boxes);
  return o;
}

Value BulkPipeline::word(int64_t n) {
  return arith::ConstantIntOp::create(k.b, k.b.getI32Type(), n);
}
Value BulkPipeline::asWord(Value index) {
  return arith::IndexCastUIOp::create(k.b, k.b.getI32Type(), index);
}
void BulkPipeline::makeBarriers() {
  int64_t stages = plan.stages->count;
  constexpr int64_t barrierBytes = 8;
  barriers = k.largeShared(k.b.getI64Type(), 2 * stages + (plan.lead ? 1 : 0),
                           barrierBytes);
  Value isFirst = arith::CmpIOp::create(k.b, arith::CmpIPredicate::eq,
                                        k.thread(), k.at.number(0));
  k.when(isFirst, [&] {
    // A stage is full when the producer has come, and what it asked for; read
    // when each warp of the cluster has.
    for (int64_t s = 0; s < stages; ++s) {
      NVVM::MBarrierInitOp::create(k.b, barrier(k.at.number(s), true), word(1),
                                   Value());
      NVVM::MBarrierInitOp::create(
          k.b, barrier(k.at.number(s), false),
          word(plan.clusterBlocks() * plan.tiles.threads / warpSize), Value());
    }
    if (plan.lead)
      NVVM::MBarrierInitOp::create(k.b, leadBarrier(), word(warpgroupThreads),
                                   Value());
    NVVM::FenceMbarrierInitOp::create(k.b);
  });
  if (!plan.common)
    return k.barrier();
  k.arriveAtCluster();
  k.waitForCluster();
}
Value BulkPipeline::barrier(Value stage, bool isFull) {
  return k.address(barriers, k.at.add(stage, isFull ? 0 : plan.stages->count));
}
Value BulkPipeline::leadBarrier() {
  return k.address(barriers, k.at.number(2 * plan.stages->count));
}
void BulkPipeline::wait(Value barrier, Value parity) {
  // The hint how long to sleep, in ns.
  constexpr int64_t ticks = 10'000'000;
  NVVM::MBarrierTryWaitParityOp::create(k.b, barrier, parity, word(ticks));
}
void BulkPipeline::awaitLead(Value parity) {
  // The first waits for the phase before, which is over: behind a branch,
  // ptxas would not have what the loop does for all lanes in uniform registers.
  Value other = arith::ExtUIOp::create(k.b, k.b.getI32Type(), isFirst);
  wait(leadBarrier(), arith::XOrIOp::create(k.b, parity, other));
}
void BulkPipeline::sayLead(const DepthRange &depth, Value at) {
  Value last = k.at.add(depth.from, (plan.lead - 1) * plan.tiles.depth);
  Value says = arith::AndIOp::create(
      k.b, isFirst,
      arith::CmpIOp::create(k.b, arith::CmpIPredicate::eq, at, last));
  // All its threads, for one of them the branch would not be uniform.
  k.when(says, [&] {
    NVVM::MBarrierArriveOp::create(k.b, k.b.getI64Type(), leadBarrier(),
                                   /*count=*/Value(), NVVM::MemScopeKind::CTA,
                                   /*relaxed=*/false);
  });
}
void BulkPipeline::inOneThread(function_ref<void()> body) {
  Value isFirstWarp = arith::CmpIOp::create(
      k.b, arith::CmpIPredicate::eq, k.at.div(k.thread(), warpSize),
      k.at.number(plan.tiles.threads / warpSize));
  // What it asks for lies in uniform registers, if ptxas knows that it is one.
  k.when(isFirstWarp, [&] {
    k.when(
        NVVM::ElectSyncOp::create(k.b, k.b.getI1Type(), /*membermask=*/Value()),
        body);
  });
}
BulkPipeline::Turn BulkPipeline::firstTurn(bool ofProducer) {
  Turn first = {k.at.number(0), word(ofProducer ? 1 : 0)};
  if (!ofProducer)
    first.push_back(word(0));
  return first;
}
BulkPipeline::Turn BulkPipeline::following(ArrayRef<Value> turn) {
  Value stage = turn[0], parity = turn[1];
  Value isLast = arith::CmpIOp::create(k.b, arith::CmpIPredicate::eq, stage,
                                       k.at.number(plan.stages->count - 1));
  Value other = arith::XOrIOp::create(k.b, parity, word(1));
  return {
      arith::SelectOp::create(k.b, isLast, k.at.number(0), k.at.add(stage, 1)),
      arith::SelectOp::create(k.b, isLast, other, parity)};
}

void BulkPipeline::copy(Factor f, const Factors &factors, Value depth,
                        Value stage) {
  const Operand &o = operands[f];
  auto cluster = LLVM::LLVMPointerType::get(
      k.b.getContext(), unsigned(NVVM::NVVMMemorySpace::SharedCluster));
  constexpr int64_t wordBytes = 4;
  Value first = k.at.mul(stage, plan.stages->tiles[f].size());
  Value firstLine, mask;
  if (o.isCommon) {
    firstLine = k.at.mul(rank, o.lines);
    first = k.at.add(first, k.at.mul(firstLine, lineBytes / wordBytes));
    mask = arith::ConstantIntOp::create(k.b, k.b.getI16Type(),
                                        (1 << plan.clusterBlocks()) - 1);
  }
  for (int64_t piece = 0; piece < o.pieces; ++piece) {
    SmallVector<Value> at;
    for (auto [d, dimension] : llvm::enumerate(o.dimensions)) {
      Value c = asWord(dimension.along == Along::Depth ? depth
                       : dimension.along == Along::Rows
                           ? factors.rows[f]
                           : factors.batch[dimension.batchAxis]);
      if (d == 0 && piece > 0)
        c = arith::AddIOp::create(k.b, c, word(piece * o.pieceWidth));
      if (d == 1 && o.isCommon)
        c = arith::AddIOp::create(k.b, c, asWord(firstLine));
      at.push_back(c);
    }
    Value to = k.address(multiplier.memory(f),
                         k.at.add(first, piece * o.pieceBytes / wordBytes));
    NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
        k.b, LLVM::AddrSpaceCastOp::create(k.b, cluster, to), o.map, at,
        barrier(stage, true), /*im2colOffsets=*/ValueRange(), mask,
        /*l2CacheHint=*/Value(), NVVM::TMALoadMode::TILE, /*isCTAOnly=*/false,
        /*group=*/NVVM::CTAGroupKindAttr(), /*predicate=*/Value());
  }
}

BulkPipeline::Turn BulkPipeline::produce(const Factors &factors,
                                         ArrayRef<Value> turn) {
  int64_t bytes = 0;
  for (const Operand &o : operands)
    bytes += o.pieces * o.pieceBytes;
  return forEachTile(
      k, factors.depth, turn, [&](Value depth, ArrayRef<Value> now) {
        Value stage = now[0], parity = now[1];
        wait(barrier(stage, /*isFull=*/false), parity);
        NVVM::MBarrierArriveExpectTxOp::create(
            k.b, k.b.getI64Type(), barrier(stage, true), word(bytes),
            NVVM::MemScopeKind::CTA, /*relaxed=*/false, /*predicate=*/Value());
        for (Factor f : {Lhs, Rhs})
          copy(f, factors, depth, stage);
        return following(now);
      });
}

BulkPipeline::Consumed BulkPipeline::consume(const DepthRange &depth,
                                             ArrayRef<Value> turn) {
  SmallVector<Value> carried = multiplier.zeros(k);
  size_t sums = carried.size();
  // The stage, its parity, and the stage before.
  llvm::append_range(carried, turn.take_front(2));
  carried.push_back(k.at.number(0));
  if (plan.lead)
    awaitLead(turn[2]);
  joinLanes();
  carried = forEachTile(k, depth, carried, [&](Value at, ArrayRef<Value> now) {
    ArrayRef<Value> turn = now.slice(sums, 2);
    Value stage = turn[0], parity = turn[1], before = now.back();
    wait(barrier(stage, /*isFull=*/true), parity);
    SmallVector<Value> results =
        multiplier.multiply(k, now.take_front(sums), stage);
    if (plan.lead)
      sayLead(depth, at);
    results = multiplier.settle(k, results, multiplier.stagesInFlight());
    saysRead(before, arith::CmpIOp::create(k.b, arith::CmpIPredicate::ne, at,
                                           depth.from));
    joinLanes();
    llvm::append_range(results, following(turn));
    results.push_back(stage);
    return results;
  });
  Consumed done;
  done.turn = {carried[sums], carried[sums + 1],
               arith::XOrIOp::create(k.b, turn[2], word(1))};
  Value last = carried.back();
  carried.resize(sums);
  done.sums = multiplier.settle(k, carried, 0);
  saysRead(last, /*when=*/Value());
  return done;
}

/// Lanes must be together where products begin.
void BulkPipeline::joinLanes() { NVVM::SyncWarpOp::create(k.b, word(-1)); }

/// Each warp tells its own block, or each block of the cluster, that it has
/// read a stage.
void BulkPipeline::saysRead(Value stage, Value when) {
  Value lane = k.at.rem(k.thread(), warpSize);
  Value speaks = k.at.below(lane, plan.clusterBlocks());
  if (when)
    speaks = arith::AndIOp::create(k.b, speaks, when);
  k.when(speaks, [&] {
    Value at = barrier(stage, /*isFull=*/false);
    if (plan.common) {
      auto cluster = LLVM::LLVMPointerType::get(
          k.b.getContext(), unsigned(NVVM::NVVMMemorySpace::SharedCluster));
      at = NVVM::MapaOp::create(k.b, cluster, at, asWord(lane));
    }
    // What was read needs no order but that of the wait for products.
    NVVM::MBarrierArriveOp::create(
        k.b, plan.common ? Type() : Type(k.b.getI64Type()), at,
        /*count=*/Value(), NVVM::MemScopeKind::CTA, /*relaxed=*/false);
  });
}

void BulkPipeline::leave() {
  if (plan.common)
    k.arriveAtCluster();
}
void BulkPipeline::end() {
  if (plan.common)
    k.waitForCluster();
}
