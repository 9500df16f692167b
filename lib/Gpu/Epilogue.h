//===- Epilogue.h - what follows a sum, in its kernel -----------*- C++ -*-===//

#ifndef GRADUS_GPU_EPILOGUE_H
#define GRADUS_GPU_EPILOGUE_H

#include "Kernel.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/SmallPtrSet.h"

namespace gradus::gpu {

/// What happens to each element of a sum, of products or others.
struct Epilogue {
  /// Buffers that hold this scalar of the host's when an op starts from them.
  using Starts = llvm::DenseMap<Value, Value>;

  mlir::linalg::GenericOp follower;  ///< null: nothing
  mlir::OpOperand *result = nullptr; ///< the follower's operand that it is
  bool stores = true;                ///< someone else reads the result
  bool startsAtZero = false;         ///< else it is added to what is there
  Starts starts;                     ///< of the follower's results

  /// What is known of an op's results: what a fill wrote to all of a buffer,
  /// where the op is the next to touch it, and each element once.
  static Starts startsOf(mlir::linalg::GenericOp op,
                         ArrayRef<Operation *> work);
  /// The op behind `op` in `work`, but for fills, follows it, if it is marked
  /// to and may. `done`: ops that are left out.
  static Epilogue find(mlir::linalg::GenericOp op, ArrayRef<Operation *> work,
                       const llvm::SmallPtrSetImpl<Operation *> &done);

  /// The follower's indices where those of `op` are `loops`.
  SmallVector<Value> loops(mlir::linalg::GenericOp op, ValueRange loops) const;
  /// What the follower's body has for an operand, if that is in no buffer: the
  /// sum, a number of the host's. Null if it is.
  Value given(Kernel &k, mlir::OpOperand &operand, Value sum) const;
};

} // namespace gradus::gpu

#endif // GRADUS_GPU_EPILOGUE_H
