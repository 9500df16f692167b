//===- Link.h - objects made into libraries ---------------------*- C++ -*-===//

#ifndef GRADUS_LINK_H
#define GRADUS_LINK_H

#include "gradus/Compiler.h"

namespace gradus {

/// Is there a linker that makes several objects one?
bool canMergeObjects();
/// One object of several.
llvm::Expected<Object> mergeObjects(ArrayRef<Object> objects);
/// A static library.
llvm::Expected<std::string> archive(StringRef name, ArrayRef<Object> objects);
/// Calls the system's linker, through `cc` or clang.
llvm::Error linkSharedLibrary(ArrayRef<Object> objects, StringRef output);
/// A program that calls the model's functions on NumPy files (driver.c).
llvm::Error linkProgram(ArrayRef<Object> objects, const ModelInterface &model,
                        StringRef output);

} // namespace gradus

#endif // GRADUS_LINK_H
