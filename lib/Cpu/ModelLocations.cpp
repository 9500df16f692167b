//===- ModelLocations.cpp - the line of the model that an op comes from ---===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"

namespace gradus {
#define GEN_PASS_DEF_MODELLOCATIONS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;

namespace {
struct ModelLocations : impl::ModelLocationsBase<ModelLocations> {
  void runOnOperation() override {
    auto whole = modelLine(getOperation().getLoc());
    Location otherwise =
        whole ? Location(whole)
              : mlir::FileLineColLoc::get(&getContext(), "model", 1, 1);
    getOperation()->walk([&](Operation *op) {
      auto line = modelLine(op->getLoc());
      op->setLoc(line ? Location(line) : otherwise);
    });
  }
};
} // namespace
