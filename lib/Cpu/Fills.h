//===- Fills.h - fills that other ops make superfluous ----------*- C++ -*-===//

#ifndef GRADUS_CPU_FILLS_H
#define GRADUS_CPU_FILLS_H

#include "Padding.h"

namespace gradus {

/// The fills of a kernel: some are written only around what another op writes,
/// some not at all.
class Fills {
public:
  using Work = ArrayRef<mlir::linalg::LinalgOp>;

  /// Those that paddings start from. If that is all there is to do, it is done
  /// row by row: the op gets the attribute of a group's members.
  void findPaddings(Work work);
  /// Paddings that need not be made: one op reads them, in windows that its
  /// loops find in the image itself. They are erased, from `work` too.
  void findWindows(SmallVectorImpl<mlir::linalg::LinalgOp> &work,
                   unsigned vectorBits,
                   function_ref<bool(mlir::linalg::LinalgOp)> isContraction);
  /// Those of what an op's loops add up, each element in registers: its sums
  /// start from the number. Not of contractions, which know by themselves.
  void findStarts(Work work,
                  function_ref<bool(mlir::linalg::LinalgOp)> isContraction);

  /// By the buffers that are never written.
  const llvm::DenseMap<Value, Window> &allWindows() const { return windows; }
  const Padding *paddingFrom(Operation *fill) const {
    auto it = paddings.find(fill);
    return it == paddings.end() ? nullptr : &it->second;
  }
  /// What alone writes to the buffer, and a fill with zeros before; null if
  /// something else does.
  const Padding *paddingOf(Value buffer) const;
  bool isSuperfluous(Operation *op) const { return superfluous.contains(op); }
  /// What the op's sums start from, by the result's buffer.
  llvm::DenseMap<Value, mlir::TypedAttr> startsOf(Operation *op) const {
    return starts.lookup(op);
  }

private:
  llvm::DenseMap<Operation *, Padding> paddings; ///< by the fill
  llvm::DenseMap<Value, Window> windows;
  llvm::DenseMap<Operation *, llvm::DenseMap<Value, mlir::TypedAttr>> starts;
  llvm::SmallPtrSet<Operation *, 8> superfluous;
};

} // namespace gradus

#endif // GRADUS_CPU_FILLS_H
