//===- Plan.h - which tiles a product is computed in ------------*- C++ -*-===//

#ifndef GRADUS_GPU_PLAN_H
#define GRADUS_GPU_PLAN_H

#include "EmitProduct.h"
#include "Pack.h"

namespace gradus::gpu {

/// What kernels are made for.
struct Chip {
  int64_t architecture;    ///< 80, 90, ..
  bool hasWarpgroups;      ///< wgmma: sm_90a alone has it
  int64_t multiprocessors; ///< of the largest GPU of its kind
  int64_t sharedBytes;     ///< that a block may ask for
  int64_t cacheBytes;      ///< of the second level

  /// "sm_90a"
  static Chip of(StringRef name);
  /// Those have hardly any units for f64, and tensor cores of half the rate.
  bool isConsumers() const;
};

/// What multiplies.
enum class Engine {
  Registers,  ///< each thread, as the op's body says
  Doubles,    ///< tensor cores, f64
  Warps,      ///< tensor cores, a warp at a time (mma.sync)
  Warpgroups, ///< tensor cores, four warps at a time (wgmma)
};

struct Plan {
  Engine engine;
  Tiles tiles;
  std::optional<Stages> stages; ///< none: tiles go through registers
  bool isBulk = false;          ///< the memory accelerator copies tiles
  /// Two blocks, a cluster, compute neighbouring tiles and have this operand's
  /// in common: each brings half of it to both.
  std::optional<Factor> common;
  /// The sum is split along its depth in this many parts, each this deep but
  /// the last.
  int64_t parts = 1, partDepth = 0;
  /// So many tiles of the depth the first of two warpgroups begins before the
  /// second begins its first: then one stores its sums while the other has the
  /// tensor cores. 0 if there are not two, or sums are too short for it.
  int64_t lead = 0;
  /// Blocks that a multiprocessor has at a time.
  int64_t resident = 1;
  /// Blocks that run at the same time are to read the same operands: of so many
  /// rows of (clusters of) tiles, they are taken column by column, then of the
  /// next.
  int64_t rasterRows = 1;
  /// Operands that are copied before.
  SmallVector<PackedOperand> packed;
  double cycles = 0; ///< estimated

  /// "tiles of 128x256x64 by warpgroups, .."
  std::string str() const;

  /// Those that multiply, and a warpgroup that brings tiles.
  int64_t threads() const {
    return tiles.threads + (isBulk ? warpgroupThreads : 0);
  }

  /// A cluster's tiles, one below or beside the other.
  int64_t clusterRows() const { return common == Rhs ? 2 : 1; }
  int64_t clusterColumns() const { return common == Lhs ? 2 : 1; }
  int64_t clusterBlocks() const { return clusterRows() * clusterColumns(); }
};

/// The plan that is estimated to take least.
Plan planProduct(const Product &p, const ProductOptions &options,
                 const Chip &chip);

} // namespace gradus::gpu

#endif // GRADUS_GPU_PLAN_H
