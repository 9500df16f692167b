//===- Link.h - objects made into libraries ---------------------*- C++ -*-===//

#ifndef GRADUS_LINK_H
#define GRADUS_LINK_H

#include "gradus/Compiler.h"

namespace gradus {

/// A static library of one object.
llvm::Expected<std::string> archive(StringRef member, ArrayRef<char> object);
/// Calls the system's linker, through `cc` or clang.
llvm::Error linkSharedLibrary(StringRef object, StringRef output);
/// A program that calls the model's functions on NumPy files (driver.c).
llvm::Error linkProgram(StringRef object, const ModelInterface &model,
                        StringRef output);

} // namespace gradus

#endif // GRADUS_LINK_H
