//===- Windows.h - copies of images between zeros ---------------*- C++ -*-===//

#ifndef GRADUS_LOWERING_WINDOWS_H
#define GRADUS_LOWERING_WINDOWS_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus {

/// Does the op add each element of a tensor, as it is, to a zero, and do all
/// that read the result find it in the image as well: in windows, by loops
/// along vectors?
bool isReadInWindows(mlir::linalg::GenericOp copy);

} // namespace gradus

#endif // GRADUS_LOWERING_WINDOWS_H
