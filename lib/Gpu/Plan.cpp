//===- Plan.cpp - which tiles a product is computed in --------------------===//
//
// Every engine that can multiply the operands has a few sizes of tiles. Which
// of them, how many stages of tiles are on their way, whether blocks are
// clusters, in how many parts a deep sum is split and in which order tiles are
// taken: the candidate that is estimated to take least (Cost.cpp).
//
// Operands that an engine does not take as they are - f32 to be rounded to 16
// bits, lines that begin anywhere, f32 across the depth - may be packed before,
// if what that costs is won back.
//
//===----------------------------------------------------------------------===//

#include "BulkPipeline.h"
#include "Cost.h"
#include "gradus/Lowering.h"

using namespace gradus;
using namespace gradus::gpu;

namespace {
/// A part of a split sum is at least this deep.
constexpr int64_t leastDepth = 256, mostParts = 64;
constexpr int64_t mostStages = 8;
/// For the mbarriers of all stages.
constexpr int64_t barrierRoom = 1024;

bool tensorCoresTake(const Product &p, Precision precision) {
  Type element = p.lhs.element;
  if (element != p.rhs.element || !p.out.element.isF32())
    return false;
  if (element.isF32())
    return precision != Precision::Strict;
  return element.isF16() || element.isBF16();
}

class Planner {
public:
  Planner(const Product &p, Precision precision, const Chip &chip)
      : p(p), precision(precision), chip(chip), cost(p, precision, chip) {}

  Plan best() {
    if (chip.hasWarpgroups && tensorCoresTake(p, precision) && !splitsF32())
      for (int64_t rows : {128, 64})
        for (int64_t columns : {256, 192, 128, 64})
          considerWarpgroups(rows, columns);
    // Where wgmma can be had at all, mma.sync is no match for it.
    if (found)
      return *found;
    if (tensorCoresTake(p, precision)) {
      struct {
        int64_t rows, columns, warpRows, warpColumns;
      } shapes[] = {{128, 256, 64, 64},
                    {128, 128, 64, 32},
                    {128, 64, 32, 32},
                    {64, 128, 32, 32},
                    {64, 64, 32, 16}};
      for (auto &s : shapes) {
        Tiles t{s.rows, s.columns, isHalves() ? 32 : 16, 256};
        t.warpRows = s.warpRows;
        t.warpColumns = s.warpColumns;
        auto stages = chunkedStages(t);
        // Half of a thread's registers are sums then: none for tiles on the
        // way.
        if (s.warpRows * s.warpColumns <= 2048 || stages)
          consider(Engine::Warps, t, stages);
      }
      return *found;
    }
    // Consumers' GPUs have hardly any units for f64.
    if (isF64() && !chip.isConsumers())
      for (int64_t side : {128, 64}) {
        Tiles t{side, side, side == 128 ? 8 : 16, 256};
        t.warpRows = side / 2;
        t.warpColumns = side / 4;
        consider(Engine::Doubles, t,
                 stagesOf(t, plainTile, Kernel::mostStaticShared));
      }
    if (p.lhs.element.getIntOrFloatBitWidth() <= 32)
      considerRegisters({128, 128, 8, 256, 8});
    considerRegisters({64, 64, 16, 256, 4});
    return *found;
  }

private:
  bool isF32() const { return p.lhs.element.isF32(); }
  bool isHalves() const { return cost.isHalves(); }
  bool isF64() const {
    return p.lhs.element.isF64() && p.rhs.element.isF64() &&
           p.out.element.isF64();
  }
  bool splitsF32() const { return cost.splitsF32(); }

  /// As many stages as there is room for, or none where the operands cannot be
  /// copied as they are.
  std::optional<Stages>
  stagesOf(const Tiles &t,
           std::optional<ChunkedTile> (*tileOf)(const Side &side),
           int64_t sharedBytes) const {
    auto lhs = tileOf(Side(p, Lhs, t)), rhs = tileOf(Side(p, Rhs, t));
    if (!lhs || !rhs)
      return std::nullopt;
    auto bytesOf = [](const ChunkedTile &tile, const Access &access) {
      return tile.size() *
             (tile.pitch ? lowering::elementBytes(access.element) : 4);
    };
    int64_t bytes = bytesOf(*lhs, p.lhs) + bytesOf(*rhs, p.rhs);
    return Stages{
        {*lhs, *rhs}, std::min(sharedBytes / bytes, mostStages), bytes};
  }
  /// Numbers that are rounded to 16 bits pass through registers.
  std::optional<Stages> chunkedStages(const Tiles &t) const {
    if (isF32() && isHalves())
      return std::nullopt;
    return stagesOf(t, chunkedTile, chip.sharedBytes);
  }

  void considerRegisters(const Tiles &t) {
    consider(Engine::Registers, t,
             stagesOf(t, plainTile, Kernel::mostStaticShared));
  }
  void considerWarpgroups(int64_t rows, int64_t columns) {
    if (isF32() && isHalves())
      return;
    constexpr int64_t lineBytes = 128;
    Tiles t{rows, columns, lineBytes / (isHalves() ? 2 : 4), rows * 2};
    auto stages = stagesOf(t, chunkedTile, chip.sharedBytes - barrierRoom);
    if (!stages)
      return;
    // 32-bit numbers are multiplied along lines of depth only.
    if (!isHalves() &&
        !(stages->tiles[Lhs].depthInLine && stages->tiles[Rhs].depthInLine))
      return;
    consider(Engine::Warpgroups, t, stages);
  }

  void consider(Engine engine, const Tiles &t, std::optional<Stages> stages) {
    Plan plan;
    plan.engine = engine;
    plan.tiles = t;
    plan.stages = stages;
    // A tensor's map cannot say that a call uses a part of its depth.
    plan.isBulk = engine == Engine::Warpgroups && !p.depthLength &&
                  isBoxes(Side(p, Lhs, t)) && isBoxes(Side(p, Rhs, t));
    if (!stages)
      return considerClusters(plan);
    // One that is filled, one that is multiplied; of warpgroups' products one
    // may still be under way.
    int64_t fewest = engine == Engine::Warpgroups ? 3 : 2;
    int64_t &count = plan.stages->count;
    // Boxes of the next tile of the result can be on their way, too.
    if (!plan.isBulk)
      count = std::min(
          count, std::max(fewest, llvm::divideCeilSigned(p.k(), t.depth)));
    for (; count >= fewest; --count)
      considerClusters(plan);
  }

  void considerClusters(Plan plan) {
    const Tiles &t = plan.tiles;
    considerParts(plan);
    if (!plan.isBulk)
      return;
    for (Factor common : {Rhs, Lhs}) {
      plan.common = common;
      if (plan.clusterRows() * t.rows < p.m() + t.rows &&
          plan.clusterColumns() * t.columns < p.n() + t.columns)
        considerParts(plan);
    }
  }

  /// Of the first warpgroup; `least`: the depth of the part that has least.
  static int64_t leadOf(const Plan &plan, int64_t least) {
    if (!plan.isBulk || plan.tiles.threads != 2 * warpgroupThreads)
      return 0;
    // The first then cannot have said so for the next tile of the result before
    // the second has heard it for this one: there are no stages for it.
    bool isLong = least > plan.tiles.depth * (plan.stages->count - 1);
    return isLong ? plan.stages->count / 2 : 0;
  }

  void considerParts(const Plan &plan) {
    for (int64_t parts = 1; parts <= mostParts; ++parts) {
      if (parts > 1 && p.k() / parts < leastDepth)
        break;
      int64_t depth =
          llvm::alignTo(llvm::divideCeilSigned(p.k(), parts), plan.tiles.depth);
      if (llvm::divideCeilSigned(p.k(), depth) != parts)
        continue;
      Plan candidate = plan;
      candidate.parts = parts;
      candidate.partDepth = depth;
      candidate.lead = leadOf(plan, p.k() - (parts - 1) * depth);
      candidate = cost.estimated(candidate);
      if (!found || candidate.cycles < found->cycles)
        found = candidate;
    }
  }

  const Product &p;
  Precision precision;
  const Chip &chip;
  CostModel cost;
  std::optional<Plan> found;
};

/// Operands to be packed, and how what they are then is multiplied.
struct Packing {
  SmallVector<PackedOperand> operands;
  Precision precision;
};

/// What the operands may be packed as: none, either, both.
SmallVector<Packing> packings(const Product &p, Precision precision,
                              const Chip &chip) {
  SmallVector<Packing> all{{{}, precision}};
  Type element = p.lhs.element;
  if (!tensorCoresTake(p, precision))
    return all;
  auto add = [&](PackedOperand::Form form, Type to, Precision precision,
                 bool either) {
    PackedOperand lhs(p, Lhs, form, to), rhs(p, Rhs, form, to);
    if (either) {
      all.push_back({{lhs}, precision});
      all.push_back({{rhs}, precision});
    }
    all.push_back({{lhs, rhs}, precision});
  };
  if (!element.isF32()) {
    add(PackedOperand::Converted, element, precision, /*either=*/true);
    return all;
  }
  auto *context = element.getContext();
  switch (precision) {
  case Precision::Strict:
    break;
  case Precision::F16:
    add(PackedOperand::Converted, mlir::Float16Type::get(context), precision,
        /*either=*/false);
    break;
  case Precision::Bf16:
    add(PackedOperand::Converted, mlir::BFloat16Type::get(context), precision,
        /*either=*/false);
    break;
  case Precision::Tf32:
    add(PackedOperand::Tf32, element, precision, /*either=*/true);
    break;
  case Precision::F32:
    add(PackedOperand::Converted, element, precision, /*either=*/true);
    if (chip.hasWarpgroups)
      add(PackedOperand::Split, element, Precision::Tf32, /*either=*/false);
    break;
  }
  return all;
}
} // namespace

std::string Plan::str() const {
  static constexpr llvm::StringLiteral names[] = {"threads", "f64 tensor cores",
                                                  "warps", "warpgroups"};
  std::string text =
      llvm::formatv("tiles of {0}x{1}x{2} by {3}", tiles.rows, tiles.columns,
                    tiles.depth, names[static_cast<int>(engine)]);
  if (stages)
    text += llvm::formatv(", {0} stages of {1}", stages->count,
                          isBulk ? "boxes" : "chunks");
  if (common)
    text +=
        llvm::formatv(", clusters of {0}x{1}", clusterRows(), clusterColumns());
  if (parts > 1)
    text += llvm::formatv(", {0} parts of the depth", parts);
  if (resident > 1)
    text += llvm::formatv(", {0} blocks a multiprocessor", resident);
  return text + llvm::formatv(", raster of {0}", rasterRows).str();
}

Plan gpu::planProduct(const Product &p, const ProductOptions &options,
                      const Chip &chip) {
  SmallVector<Packing> all = packings(p, options.precision, chip);
  // None comes first, both last. Lines are packed to their ends.
  if (options.packing == ProductOptions::Never || p.depthLength)
    all.truncate(1);
  else if (options.packing == ProductOptions::Always)
    all.erase(all.begin(), all.end() - 1);
  std::optional<Plan> best;
  for (const Packing &packing : all) {
    Product candidate = p;
    for (const PackedOperand &o : packing.operands)
      candidate = o.appliedTo(candidate);
    Plan plan = Planner(candidate, packing.precision, chip).best();
    plan.packed = packing.operands;
    for (const PackedOperand &o : packing.operands)
      plan.cycles += cyclesOf(o, p, chip);
    if (!best || plan.cycles < best->cycles)
      best = plan;
  }
  return *best;
}
