//===- BodyInTriangle.h - an op's body where a mask hides -------*- C++ -*-===//

#ifndef GRADUS_LOWERING_BODYINTRIANGLE_H
#define GRADUS_LOWERING_BODYINTRIANGLE_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus {

/// Where index `greater` is at least `least` more than index `less`: of a
/// tensor's axes, or of an op's loops.
struct Triangle {
  unsigned greater, less;
  int64_t least;

  bool hasSameIndices(const Triangle &other) const {
    return greater == other.greater && less == other.less;
  }
  bool contains(const Triangle &other) const {
    return hasSameIndices(other) && least <= other.least;
  }
};

/// What is known of the elements of a triangle.
struct Known {
  /// Missing: they are not computed, and may be no numbers.
  enum Kind { Missing, Anything, Alike, Constant } kind = Anything;
  mlir::TypedAttr number = {}; ///< a Constant's
  /// What they are as a function of the loops' indices; null if that isn't
  /// known.
  mlir::AffineExpr index = {};

  static Known constant(mlir::TypedAttr number) { return {Constant, number}; }
  static Known zero(Type element) {
    return constant(Builder(element.getContext()).getZeroAttr(element));
  }
  bool isKnown() const { return kind >= Alike; }
  bool isZero() const;
};

using KnownValues = llvm::DenseMap<Value, Known>;

/// index `plus` - index `minus` + `offset`
struct Difference {
  unsigned plus, minus;
  int64_t offset;

  /// That `a` - `b` is, of an op of so many loops; none if it is no such.
  static std::optional<Difference> of(mlir::AffineExpr a, mlir::AffineExpr b,
                                      unsigned loops);
};

/// Evaluates the body of an op, op by op, at the points of a triangle of its
/// loops: what is the same along loop `along`, and what is a constant.
class BodyInTriangle {
public:
  BodyInTriangle(mlir::linalg::GenericOp op, const Triangle &triangle,
                 unsigned along)
      : op(op), triangle(triangle), along(along) {}

  /// Of a block argument, before the body is run.
  void set(Value v, const Known &known) { values[v] = known; }
  Known get(Value v) const;
  /// `assumed`: of values in the body.
  void run(const KnownValues &assumed);

private:
  Known evaluate(Operation &inner);
  mlir::AffineExpr indexOf(Operation &inner) const;
  Known decide(Operation &inner, ArrayRef<Known> in);

  mlir::linalg::GenericOp op;
  Triangle triangle;
  unsigned along;
  KnownValues values;
};

} // namespace gradus

#endif // GRADUS_LOWERING_BODYINTRIANGLE_H
