//===- ModelLine.cpp - the line of the model that an op comes from --------===//

#include "gradus/Lowering.h"

using namespace gradus;

mlir::FileLineColLoc gradus::modelLine(Location loc) {
  if (auto line = dyn_cast<mlir::FileLineColLoc>(loc))
    return line;
  if (auto named = dyn_cast<NameLoc>(loc))
    return modelLine(named.getChildLoc());
  if (auto site = dyn_cast<mlir::CallSiteLoc>(loc)) {
    mlir::FileLineColLoc callee = modelLine(site.getCallee());
    if (callee && callee.getFilename() != "std.mlir")
      return callee;
    return modelLine(site.getCaller());
  }
  if (auto fused = dyn_cast<mlir::FusedLoc>(loc))
    for (Location part : fused.getLocations())
      if (mlir::FileLineColLoc line = modelLine(part))
        return line;
  return {};
}
