//===- ModelLocations.cpp - the line of the model that an op comes from ---===//

#include "gradus/Passes.h"

namespace gradus {
#define GEN_PASS_DEF_MODELLOCATIONS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;

/// The file and line of a location: of the op itself, or of its caller if the
/// op is the standard library's; null if there is none.
static mlir::FileLineColLoc lineOf(Location loc) {
  if (auto line = dyn_cast<mlir::FileLineColLoc>(loc))
    return line;
  if (auto named = dyn_cast<NameLoc>(loc))
    return lineOf(named.getChildLoc());
  if (auto site = dyn_cast<mlir::CallSiteLoc>(loc)) {
    mlir::FileLineColLoc callee = lineOf(site.getCallee());
    if (callee && callee.getFilename() != "std.mlir")
      return callee;
    return lineOf(site.getCaller());
  }
  if (auto fused = dyn_cast<mlir::FusedLoc>(loc))
    for (Location part : fused.getLocations())
      if (mlir::FileLineColLoc line = lineOf(part))
        return line;
  return {};
}

namespace {
struct ModelLocations : impl::ModelLocationsBase<ModelLocations> {
  void runOnOperation() override {
    auto whole = lineOf(getOperation().getLoc());
    Location otherwise =
        whole ? Location(whole)
              : mlir::FileLineColLoc::get(&getContext(), "model", 1, 1);
    getOperation()->walk([&](Operation *op) {
      auto line = lineOf(op->getLoc());
      op->setLoc(line ? Location(line) : otherwise);
    });
  }
};
} // namespace
