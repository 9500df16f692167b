//===- Passes.h - every pass ------------------------------------*- C++ -*-===//

#ifndef GRADUS_PASSES_H
#define GRADUS_PASSES_H

#include "gradus/Graph.h"
#include "mlir/Pass/Pass.h"

// NOLINTBEGIN: forward declarations that the generated code names.
namespace mlir::func {
class FuncDialect;
class FuncOp;
} // namespace mlir::func
// NOLINTEND

namespace gradus {
#define GEN_PASS_DECL
#include "gradus/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "gradus/Passes.h.inc"
} // namespace gradus

#endif // GRADUS_PASSES_H
