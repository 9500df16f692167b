//===- KernelWork.h - what a kernel's ops are to become ---------*- C++ -*-===//

#ifndef GRADUS_CPU_KERNELWORK_H
#define GRADUS_CPU_KERNELWORK_H

#include "Contraction.h"
#include "Fills.h"
#include "Winograd.h"
#include "lib/Lowering/RowGroup.h"

namespace gradus {

/// For whom a kernel is made, and what is known of its ops: what the emitters
/// of single ops and of groups both ask.
struct KernelWork {
  RegisterFile machine;
  int64_t threads;
  bool winograd; ///< may be used
  Fills fills;

  /// What the op is in a place, if it is a sum of products of some length.
  std::optional<Contraction> contraction(mlir::linalg::LinalgOp op,
                                         const RowPlace &row) const;
  std::optional<Winograd> winogradOf(mlir::linalg::LinalgOp op,
                                     const RowPlace &row) const;
  /// Does a contraction among the ops that follow overwrite what this fill
  /// writes, before anything reads it? `group`: that all are members of.
  bool startsContraction(mlir::linalg::LinalgOp op,
                         ArrayRef<mlir::linalg::LinalgOp> later,
                         const RowGroup *group = nullptr) const;
  /// Is there such a fill among the ops before, that the op starts from?
  bool startedBy(mlir::linalg::LinalgOp op,
                 ArrayRef<mlir::linalg::LinalgOp> before,
                 const RowGroup *group = nullptr) const;
  /// Emits a fill, but for what the padding writes.
  void fillAround(ImplicitLocOpBuilder &b, mlir::linalg::LinalgOp fill,
                  const Padding &padding, ArrayRef<LoopRange> ranges,
                  const LocalBuffers &buffers) const;
};

/// The op's loops over the rows, at indices that are not known yet.
RowPlace placeOf(const RowGroup &group, Operation *op);

/// Emits the group's ops at the insertion point, row by row or block by block.
void emitGroup(ImplicitLocOpBuilder &b, const KernelWork &work,
               const RowGroup &group);

} // namespace gradus

#endif // GRADUS_CPU_KERNELWORK_H
