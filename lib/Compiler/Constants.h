//===- Constants.h - a checkpoint's values in the object --------*- C++ -*-===//

#ifndef GRADUS_COMPILER_CONSTANTS_H
#define GRADUS_COMPILER_CONSTANTS_H

#include "gradus/Compiler.h"

namespace llvm {
class Module;
} // namespace llvm

namespace gradus {

/// A checkpoint that has every one of the variables; what else it has, a
/// training's states, does no harm.
llvm::Expected<Checkpoint> readConstants(StringRef path,
                                         ArrayRef<VariableInfo> variables);

/// Fills the module's block of constants, laid out as `constants` says
/// (lowering::constantsAttr).
void embedConstants(llvm::Module &module, ArrayAttr constants,
                    const Checkpoint &checkpoint);

} // namespace gradus

#endif // GRADUS_COMPILER_CONSTANTS_H
