//===- TruthVectors.h - truth values in memory and in vectors ---*- C++ -*-===//

#ifndef GRADUS_CPU_TRUTHVECTORS_H
#define GRADUS_CPU_TRUTHVECTORS_H

#include "gradus/LLVM.h"

namespace mlir {
class LLVMTypeConverter;
class RewritePatternSet;
} // namespace mlir

namespace gradus {

/// Reads and writes of vectors of i1: a byte an element in memory, where
/// upstream's patterns take a bit.
void addTruthVectorPatterns(const mlir::LLVMTypeConverter &converter,
                            mlir::RewritePatternSet &patterns);

} // namespace gradus

#endif // GRADUS_CPU_TRUTHVECTORS_H
