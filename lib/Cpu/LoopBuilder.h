//===- LoopBuilder.h - counted loops and vectors with ragged ends -*- C++ -*-=//

#ifndef GRADUS_CPU_LOOPBUILDER_H
#define GRADUS_CPU_LOOPBUILDER_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace gradus {

/// What the emitters of blocked kernels are written in.
class LoopBuilder {
public:
  /// `lanes`: elements of a vector.
  LoopBuilder(ImplicitLocOpBuilder &b, int64_t lanes) : b(b), lanes(lanes) {}

  //===-- Index arithmetic ------------------------------------------------===//

  Value index(int64_t n) { return mlir::arith::ConstantIndexOp::create(b, n); }
  Value add(Value a, Value x) { return mlir::arith::AddIOp::create(b, a, x); }
  Value add(Value a, int64_t n) { return n ? add(a, index(n)) : a; }
  /// a + n * i
  Value advance(Value a, Value i, int64_t n) {
    if (n == 0)
      return a;
    return add(a,
               n == 1 ? i : Value(mlir::arith::MulIOp::create(b, i, index(n))));
  }

  //===-- Loops -----------------------------------------------------------===//

  void loop(int64_t low, int64_t high, int64_t step,
            function_ref<void(Value)> body);
  void loop(Value low, Value high, int64_t step,
            function_ref<void(Value)> body);
  /// `body(first, size)` for [0, end) in blocks of the largest of the sizes
  /// that still fits, the last of which is 1: code for an end that is not
  /// known.
  void blocksTo(Value end, ArrayRef<int64_t> sizes,
                function_ref<void(Value, int64_t)> body);
  /// `body(first, size)` for [0, size) in blocks; the last may be shorter, so
  /// that every body knows its size.
  void blocks(int64_t size, int64_t block,
              function_ref<void(Value, int64_t)> body);
  void when(Value condition, function_ref<void()> body);
  /// `body` twice: for where the condition holds, and where it does not.
  void eitherWay(Value condition, function_ref<void(bool)> body);
  /// Runs `body` with `b` where `nested` stands.
  void within(OpBuilder &nested, function_ref<void()> body);

  //===-- Vectors ---------------------------------------------------------===//

  mlir::VectorType vectorOf(Type element) const {
    return mlir::VectorType::get({lanes}, element);
  }
  Value zeroVector(Type element) {
    return mlir::arith::ConstantOp::create(b, b.getZeroAttr(vectorOf(element)));
  }
  /// `body(v, mask)` for each vector of `width` elements; the mask is null
  /// where the vector is full.
  void forVectors(int64_t width, function_ref<void(int64_t, Value)> body);
  /// `count` vectors side by side as one.
  Value loadVector(Value buffer, ValueRange at, Value mask, int64_t count = 1);
  void storeVector(Value v, Value buffer, Value at, Value mask);
  /// Turns a square: as many vectors as each has lanes.
  void transpose(SmallVectorImpl<Value> &rows);
  /// A number, or each of a vector, as the wider type that it is summed in.
  Value widened(Value v, Type element);

  ImplicitLocOpBuilder &b;
  int64_t lanes;
};

/// The buffer with one axis.
Value flattenedBuffer(ImplicitLocOpBuilder &b, Value buffer);
inline Type elementOf(Value buffer) {
  return cast<mlir::MemRefType>(buffer.getType()).getElementType();
}

} // namespace gradus

#endif // GRADUS_CPU_LOOPBUILDER_H
