//===- Buffers.cpp - what several stages ask of buffers and scalars -------===//

#include "gradus/Lowering.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace gradus;

Value lowering::viewedBuffer(Value v) {
  while (auto view = v.getDefiningOp<mlir::ViewLikeOpInterface>())
    v = view.getViewSource();
  return v;
}

bool lowering::usesBuffer(Operation *op, Value buffer) {
  auto isView = [&](Value v) {
    return viewedBuffer(v) == viewedBuffer(buffer);
  };
  auto found = op->walk([&](Operation *inner) {
    return llvm::any_of(inner->getOperands(), isView)
               ? mlir::WalkResult::interrupt()
               : mlir::WalkResult::advance();
  });
  return found.wasInterrupted();
}

bool lowering::isZero(Value v) {
  return mlir::matchPattern(v, mlir::m_AnyZeroFloat()) ||
         mlir::matchPattern(v, mlir::m_Zero());
}

int64_t lowering::elementBytes(Type element) {
  // Truth values take a byte each.
  return std::max(8U, element.getIntOrFloatBitWidth()) / 8;
}
int64_t lowering::byteCount(ShapedType type) {
  return type.getNumElements() * elementBytes(type.getElementType());
}
