//===- Fallback.h - code for the CPU beside a GPU model's -------*- C++ -*-===//

#ifndef GRADUS_COMPILER_FALLBACK_H
#define GRADUS_COMPILER_FALLBACK_H

#include "gradus/LLVM.h"
#include "llvm/Support/Error.h"

namespace llvm {
class Module;
} // namespace llvm

namespace gradus {

/// Gives the entry functions of a GPU model, by their C names, the code for the
/// CPU as well.
llvm::Error addFallback(llvm::Module &gpu, std::unique_ptr<llvm::Module> cpu,
                        ArrayRef<std::string> entries);

} // namespace gradus

#endif // GRADUS_COMPILER_FALLBACK_H
