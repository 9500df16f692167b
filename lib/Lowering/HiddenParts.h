//===- HiddenParts.h - what a mask makes of a tensor's elements -*- C++ -*-===//
//
// A causal mask compares indices along two axes of a tensor: for those keys
// that lie behind a query, scores are one number whatever they were. This
// analysis follows such comparisons through the bodies of linalg.generic: of
// the elements in a triangle of a tensor it tells that they are a constant, or
// that they are alike along an axis (a softmax's exponentials are).
//
// What a mask hides is taken to be finite: zero times it is zero, and -inf
// added to it is -inf.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_LOWERING_HIDDENPARTS_H
#define GRADUS_LOWERING_HIDDENPARTS_H

#include "BodyInTriangle.h"

namespace gradus {

/// The same of a tensor: in which triangle, and along which of its axes they
/// are alike if they are no constant.
struct HiddenPart {
  Triangle where;
  unsigned along;
  Known value;
};

/// What an op does at the points of a triangle of its loops.
struct HiddenPoints {
  SmallVector<Known> yields; ///< for each result
  /// What is combined with what the result holds, and the operation that does;
  /// null if the result is written, or made of that in another way.
  SmallVector<Known> terms;
  SmallVector<Operation *> combiners;
};

class HiddenParts {
public:
  /// Of all tensors in the block.
  explicit HiddenParts(Block &body);

  bool empty() const { return parts.empty(); }
  ArrayRef<HiddenPart> of(Value tensor) const {
    auto it = parts.find(tensor);
    return it == parts.end() ? ArrayRef<HiddenPart>() : it->second;
  }
  /// The parts of an operand as triangles of the op's loops.
  SmallVector<Triangle> trianglesOf(mlir::OpOperand &operand) const;

  /// What is known from elsewhere of a tensor's elements in the triangle, or of
  /// a value in an op's body.
  using Assumed = KnownValues;
  /// What the op does in a triangle, values that are alike along loop `along`
  /// told from others.
  HiddenPoints at(mlir::linalg::GenericOp op, const Triangle &triangle,
                  unsigned along, const Assumed &assumed = Assumed()) const;

  /// What an operand of an op is there.
  Known operandAt(mlir::OpOperand &operand, const Triangle &triangle,
                  unsigned along) const;

private:
  void find(mlir::linalg::GenericOp op);
  void add(Value tensor, const HiddenPart &part);

  llvm::DenseMap<Value, SmallVector<HiddenPart>> parts;
};

} // namespace gradus

#endif // GRADUS_LOWERING_HIDDENPARTS_H
