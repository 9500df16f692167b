//===- Cost.cpp - how long a product takes, estimated ---------------------===//
//
// A multiprocessor has some blocks at a time, as many as registers and shared
// memory allow. For all that it gets, one group after the other:
//
//   tiles of depth x max(arithmetic, cache, latency) + what blocks store
//
// Arithmetic is that of data sheets. The second-level cache hands a
// multiprocessor about 32 bytes a cycle; blocks of a cluster get an operand's
// tiles once for both. A tile takes its latency to arrive, divided by how many
// are under way: that is what stages are for.
//
// No product ends before the memory has given what the cache does not hold.
// How much that is depends on the order in which tiles are taken: of some rows
// at a time, column by column.
//
//===----------------------------------------------------------------------===//

#include "Cost.h"
#include "gradus/Lowering.h"

using namespace gradus;
using namespace gradus::gpu;

/// What a block may have on consumers' GPUs.
static constexpr int64_t kib = 1024, mib = 1024 * kib,
                         mostOfConsumers = 99 * kib;

Chip Chip::of(StringRef name) {
  Chip chip{80, name == "sm_90a", 108, mostOfConsumers, 6 * mib};
  name.consume_front("sm_");
  (void)name.take_while(llvm::isDigit).getAsInteger(10, chip.architecture);
  if (chip.architecture >= 90)
    chip.multiprocessors = chip.architecture < 100 ? 132 : 148;
  switch (chip.architecture) {
  case 80:
  case 87:
    chip.sharedBytes = 163 * kib;
    chip.cacheBytes = 40 * mib;
    break;
  case 90:
  case 100:
  case 103:
    chip.sharedBytes = 227 * kib;
    chip.cacheBytes = 50 * mib;
    break;
  default:
    break;
  }
  return chip;
}
bool Chip::isConsumers() const { return sharedBytes == mostOfConsumers; }

/// A block's start, and what it stores, besides its tiles.
static constexpr double blockCycles = 1500, cacheBytesACycle = 32,
                        storedBytesACycle = 16;
/// From asking for a tile to its arrival, part of it from memory.
static constexpr double latencyCycles = 700;
/// Another kernel, that adds the parts of sums or packs an operand, and what a
/// multiprocessor's share of the memory gives it.
static constexpr double launchCycles = 4000, memoryBytesACycle = 12;

bool CostModel::isHalves() const {
  return !p.lhs.element.isF32() || precision == Precision::F16 ||
         precision == Precision::Bf16;
}
bool CostModel::splitsF32() const {
  return p.lhs.element.isF32() && precision == Precision::F32;
}

/// What part of its rate a warp's square leaves: it reads (rows + columns)
/// from shared memory for rows x columns products.
static double ofShared(const Tiles &t) {
  int64_t sums = t.warpRows * t.warpColumns;
  return sums >= 4096 ? 1.0 : sums >= 2048 ? 0.9 : 0.75;
}

/// Multiplications and additions of a multiprocessor in a cycle.
double CostModel::rate(const Plan &plan) const {
  double width = isHalves() ? 1 : 0.5;
  switch (plan.engine) {
  case Engine::Warpgroups:
    return 2048 * width;
  case Engine::Warps: {
    double all = chip.architecture == 90 ? 1300
                 : chip.isConsumers()    ? 512
                                         : 1024;
    // Three products, and about as many instructions again to split f32.
    return all * width / (splitsF32() ? 4 : 1) * ofShared(plan.tiles) *
           (plan.stages ? 1.0 : 0.5);
  }
  case Engine::Doubles:
    return chip.architecture == 80 ? 64 : 128;
  case Engine::Registers: {
    bool isF64 = p.lhs.element.isF64() && p.rhs.element.isF64();
    // Of small squares, what is loaded weighs more.
    return (!isF64                    ? 128.0
            : chip.architecture == 80 ? 32.0
                                      : 64.0) *
           (plan.tiles.side >= 8 ? 0.9 : 0.6);
  }
  }
  llvm_unreachable("no other engine");
}

/// Of blocks that the memory accelerator serves there is one: it goes on by
/// itself.
int64_t CostModel::residentBlocks(const Plan &plan) const {
  if (plan.isBulk)
    return 1;
  // Beside its sums a thread has what it multiplies, and places.
  constexpr int64_t allRegisters = 64 * 1024, otherRegisters = 72,
                    mostThreads = 1536;
  const Tiles &t = plan.tiles;
  int64_t words = p.lhs.element.isF64() ? 2 : 1,
          sums = t.rows * t.columns / t.threads * words;
  int64_t blocks =
      std::min(allRegisters / (t.threads * (sums + otherRegisters * words)),
               mostThreads / t.threads);
  if (plan.stages)
    blocks = std::min(blocks, chip.sharedBytes /
                                  (plan.stages->count * plan.stages->bytes));
  return std::max<int64_t>(blocks, 1);
}

/// Sets what moves fewest bytes; these. Where the cache holds all, what blocks
/// read at the same time is to be little.
double CostModel::chooseRaster(Plan &plan) const {
  const Tiles &t = plan.tiles;
  // Windows of a convolution read the same places many times.
  auto bytesOf = [](const Access &a, int64_t lines, int64_t depth) {
    int64_t elements = lines * depth;
    // What is packed first is not there yet.
    auto type = a.root ? cast<mlir::MemRefType>(a.root.getType()) : nullptr;
    if (type && type.hasStaticShape())
      elements = std::min(elements, type.getNumElements());
    return double(elements * lowering::elementBytes(a.element));
  };
  int64_t batches = p.batches(), rows = plan.clusterRows() * t.rows,
          columns = plan.clusterColumns() * t.columns,
          down = llvm::divideCeilSigned(p.m(), rows),
          across = llvm::divideCeilSigned(p.n(), columns);
  double lhs = bytesOf(p.lhs, p.m() * batches, p.k()),
         rhs = bytesOf(p.rhs, p.n() * batches, p.k());
  // What runs at a time, in clusters.
  double running = double(chip.multiprocessors * plan.resident) /
                   double(plan.clusterBlocks());
  // What is to be found again must not fill the cache: the rest passes through.
  auto stays = [&](double bytes) {
    return bytes / double(batches) <= double(chip.cacheBytes) / 2;
  };
  std::optional<std::pair<double, double>> least;
  for (int64_t raster = 1; raster < 2 * down; raster *= 2) {
    int64_t groups = llvm::divideCeilSigned(down, raster);
    double columnsAtATime =
               std::clamp(running / double(raster), 1.0, double(across)),
           rowsAtATime =
               std::min(std::max(running / columnsAtATime, double(raster)),
                        double(down));
    double lhsReads = stays(lhs / double(groups))
                          ? 1
                          : std::ceil(double(across) / columnsAtATime),
           rhsReads = stays(rhs) ? 1 : double(groups);
    std::pair<double, double> moved = {lhs * lhsReads + rhs * rhsReads,
                                       rowsAtATime * double(rows) +
                                           columnsAtATime * double(columns)};
    if (least && *least <= moved)
      continue;
    least = moved;
    plan.rasterRows = raster;
  }
  return least->first + double(p.m() * p.n() * batches *
                               lowering::elementBytes(p.out.element));
}

Plan CostModel::estimated(Plan plan) const {
  const Tiles &t = plan.tiles;
  int64_t rows = plan.clusterRows() * t.rows,
          columns = plan.clusterColumns() * t.columns;
  int64_t blocks = llvm::divideCeilSigned(p.m(), rows) *
                   llvm::divideCeilSigned(p.n(), columns) * p.batches() *
                   plan.clusterBlocks() * plan.parts;
  int64_t bytes = lowering::elementBytes(p.lhs.element);
  double read = double(t.rows) / double(plan.clusterColumns()) +
                double(t.columns) / double(plan.clusterRows());
  double arithmetic = double(t.rows * t.columns * t.depth) / rate(plan),
         cache = read * double(t.depth * bytes) / cacheBytesACycle,
         sums = double(t.rows * t.columns) * 4 / storedBytesACycle,
         hidden = double(plan.lead) * arithmetic;
  // Products of warpgroups go on while the next stage is asked for.
  int64_t ahead = 1;
  if (plan.stages)
    ahead = plan.stages->count - (plan.engine == Engine::Warpgroups ? 2 : 1);
  int64_t steps = plan.partDepth / t.depth;
  auto cyclesOfGroup = [&](int64_t together) {
    auto each = double(together);
    return double(steps) * std::max(each * std::max(arithmetic, cache),
                                    latencyCycles / double(ahead)) +
           std::max(each * sums - hidden, 0.0) + blockCycles;
  };
  plan.resident = residentBlocks(plan);
  int64_t own = llvm::divideCeilSigned(blocks, chip.multiprocessors);
  plan.resident = std::min(plan.resident, own);
  int64_t groups = own / plan.resident, rest = own % plan.resident;
  plan.cycles = double(groups) * cyclesOfGroup(plan.resident);
  if (rest)
    plan.cycles += cyclesOfGroup(rest);

  auto share = double(chip.multiprocessors);
  double moved = chooseRaster(plan);
  plan.cycles = std::max(plan.cycles, moved / memoryBytesACycle / share);
  if (plan.parts > 1)
    plan.cycles +=
        launchCycles + double(p.batches() * p.m() * p.n() * plan.parts) * 8 /
                           storedBytesACycle / share;
  return plan;
}

double gpu::cyclesOf(const PackedOperand &o, const Product &p,
                     const Chip &chip) {
  Type before = (o.operand == Lhs ? p.lhs : p.rhs).element;
  int64_t bits =
      o.lines * (o.segment * int64_t(before.getIntOrFloatBitWidth()) +
                 o.pitch() * int64_t(o.element.getIntOrFloatBitWidth()));
  return launchCycles +
         double(bits) / 8 / memoryBytesACycle / double(chip.multiprocessors);
}
