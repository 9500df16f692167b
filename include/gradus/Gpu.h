//===- Gpu.h - matmuls as GPU kernels ---------------------------*- C++ -*-===//

#ifndef GRADUS_GPU_H
#define GRADUS_GPU_H

#include "gradus/Compiler.h"

namespace gradus {

/// PTX of a kernel for each matmul of a model, also of its gradients; needs no
/// CUDA toolkit. `chip` is sm_80 or later. A comment before each kernel says
/// how to launch it (docs/rationale/gpu.md).
llvm::Expected<std::string> emitPtx(Compilation &compilation, StringRef chip);

} // namespace gradus

#endif // GRADUS_GPU_H
