//===- CallBodies.h - loops and branches over buffers -----------*- C++ -*-===//

#ifndef GRADUS_LOWERING_CALLBODIES_H
#define GRADUS_LOWERING_CALLBODIES_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace gradus {

/// The buffer of a tensor, without strides.
mlir::MemRefType bufferType(Type tensor);

/// Replaces the calls of bodies in `f` by loops and branches over buffers. The
/// bodies take buffers already; their results are their last arguments.
void callBodies(mlir::func::FuncOp f);

} // namespace gradus

#endif // GRADUS_LOWERING_CALLBODIES_H
