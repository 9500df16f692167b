//===- EmitOp.h - a linalg op by the threads of a block ---------*- C++ -*-===//

#ifndef GRADUS_GPU_EMITOP_H
#define GRADUS_GPU_EMITOP_H

#include "Epilogue.h"
#include "Kernel.h"
#include "Windows.h"

namespace gradus::gpu {

/// What is known of buffers beyond their contents.
struct BufferFacts {
  /// Buffers that hold this scalar of the host's when an op starts from them.
  llvm::DenseMap<Value, Value> filled;
  /// Buffers whose row a block keeps to itself: memory that it shares, for the
  /// axes behind the row's.
  llvm::DenseMap<Value, Value> rows;
  unsigned rowAxes = 0;
};

/// How threads share the results of an op: `results` of them at a time, and
/// `slices` threads each add up a part of a reduction. `slicesFirst`:
/// neighbouring threads are slices, not results.
struct Sharing {
  int64_t results = 1, slices = 1;
  bool slicesFirst = false;
};

/// An op whose loops over rows are fixed.
class OpEmitter {
public:
  OpEmitter(mlir::linalg::LinalgOp op, ArrayRef<unsigned> rowLoops = {});

  int64_t resultCount() { return count(parallel); }
  int64_t reductionCount() { return count(reductions); }
  /// Are windows that overlap added up in each place of the result?
  bool addsWindows() { return !windows.empty(); }
  /// Can several threads add up parts of a sum?
  bool canSlice();
  /// Do neighbours along the reduction lie side by side in the largest operand?
  bool reducesAlongMemory();

  /// Has it one result, which is a sum? Loops of one step add up nothing.
  bool isOneSum() {
    return op.getNumDpsInits() == 1 && isSum(*op.getDpsInitOperand(0));
  }
  /// Has the op's only sum do what follows it.
  void setEpilogue(const Epilogue &following) { epilogue = following; }

  /// Emits results [first, first + sharing.results); those past the end are
  /// left out. All threads of the block take part.
  void emit(Kernel &k, const BufferFacts &facts, ValueRange rows, Value first,
            const Sharing &sharing);

  /// Emits the body for loops at these indices; `given` replaces what operands
  /// read. The values that it yields.
  static SmallVector<Value>
  emitBody(Kernel &k, mlir::linalg::LinalgOp op, ValueRange loops,
           function_ref<Value(mlir::OpOperand &)> read);
  /// The indices of an operand at the loops' indices.
  static SmallVector<Value> operandIndices(Kernel &k, mlir::AffineMap map,
                                           ValueRange loops);

private:
  int64_t count(ArrayRef<unsigned> loops);
  /// Is the result added up over this op's reductions?
  bool isSum(mlir::OpOperand &init);
  Value read(Kernel &k, const BufferFacts &facts, mlir::OpOperand &operand,
             ValueRange loops);
  void write(Kernel &k, const BufferFacts &facts, mlir::OpOperand &operand,
             ValueRange loops, Value v);
  Value combined(Kernel &k, unsigned result, Value x, Value y);
  SmallVector<Value> combineSlices(Kernel &k, ArrayRef<unsigned> sums,
                                   ArrayRef<Value> parts, Value result,
                                   Value slice, const Sharing &sharing);

  /// What follows the sum, at the op's loops.
  void follow(Kernel &k, ValueRange loops, Value sum);
  void findPlaces(const Window &w);
  /// Where the only result is, in terms of loops and places.
  mlir::AffineMap resultMap();
  mlir::AffineMap mapOf(mlir::OpOperand &operand);
  /// Are those of the loops to which a call sets an end before it? Null: all
  /// are.
  Value reached(Kernel &k, ArrayRef<unsigned> which, ValueRange loops);
  /// Sets the positions of windows; whether they are there, or null if there
  /// are no windows.
  Value findPositions(Kernel &k, SmallVectorImpl<Value> &loops);

  mlir::linalg::LinalgOp op;
  /// By number; behind the op's own come places along windows' axes.
  SmallVector<unsigned> rowLoops, parallel, reductions;
  SmallVector<int64_t> sizes;
  SmallVector<Window> windows;
  Epilogue epilogue;
  RuntimeLengths lengths; ///< of loops; empty if all are known
};

} // namespace gradus::gpu

#endif // GRADUS_GPU_EMITOP_H
