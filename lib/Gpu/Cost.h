//===- Cost.h - how long a product takes, estimated -------------*- C++ -*-===//

#ifndef GRADUS_GPU_COST_H
#define GRADUS_GPU_COST_H

#include "Plan.h"

namespace gradus::gpu {

/// Estimates plans of one product, in cycles of a multiprocessor.
class CostModel {
public:
  CostModel(const Product &p, Precision precision, const Chip &chip)
      : p(p), precision(precision), chip(chip) {}

  /// What follows from engine, tiles, stages, cluster, parts and lead: how many
  /// blocks a multiprocessor has at a time, in which order tiles are taken, and
  /// the cycles, which are the result's.
  Plan estimated(Plan plan) const;

  /// Is f32 multiplied as 16-bit numbers, or are they such?
  bool isHalves() const;
  /// Is f32 multiplied as three products of tf32?
  bool splitsF32() const;

private:
  double rate(const Plan &plan) const;
  int64_t residentBlocks(const Plan &plan) const;
  double chooseRaster(Plan &plan) const;

  const Product &p;
  Precision precision;
  const Chip &chip;
};

/// Of a kernel that packs an operand of the product.
double cyclesOf(const PackedOperand &o, const Product &p, const Chip &chip);

} // namespace gradus::gpu

#endif // GRADUS_GPU_COST_H
