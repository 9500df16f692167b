//===- LoopBuilder.cpp - counted loops and vectors with ragged ends -------===//

#include "LoopBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/TypeUtilities.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
namespace vector = mlir::vector;

Value gradus::flattenedBuffer(ImplicitLocOpBuilder &b, Value buffer) {
  auto type = cast<mlir::MemRefType>(buffer.getType());
  if (type.getRank() == 1)
    return buffer;
  auto flat =
      mlir::MemRefType::get({type.getNumElements()}, type.getElementType());
  SmallVector<mlir::ReassociationIndices> all;
  if (type.getRank() == 0)
    return memref::ExpandShapeOp::create(b, flat, buffer, all);
  all.push_back(llvm::to_vector(llvm::seq<int64_t>(0, type.getRank())));
  return memref::CollapseShapeOp::create(b, flat, buffer, all);
}

void LoopBuilder::loop(int64_t low, int64_t high, int64_t step,
                       function_ref<void(Value)> body) {
  loop(index(low), index(high), step, body);
}
void LoopBuilder::blocksTo(Value end, ArrayRef<int64_t> sizes,
                           function_ref<void(Value, int64_t)> body) {
  Value at = index(0);
  for (int64_t size : sizes) {
    Value left = arith::SubIOp::create(b, end, at);
    Value rest = arith::RemUIOp::create(b, left, index(size));
    Value whole = arith::SubIOp::create(b, end, rest);
    loop(at, whole, size, [&](Value i) { body(i, size); });
    at = whole;
  }
}
void LoopBuilder::loop(Value low, Value high, int64_t step,
                       function_ref<void(Value)> body) {
  scf::ForOp::create(b, low, high, index(step), ValueRange(),
                     [&](OpBuilder &nested, Location loc, Value i, ValueRange) {
                       within(nested, [&] { body(i); });
                       scf::YieldOp::create(nested, loc);
                     });
}
void LoopBuilder::blocks(int64_t size, int64_t block,
                         function_ref<void(Value, int64_t)> body) {
  int64_t whole = size / block * block;
  if (whole == block)
    body(index(0), block);
  else if (whole > 0)
    loop(0, whole, block, [&](Value i) { body(i, block); });
  if (whole < size)
    body(index(whole), size - whole);
}
void LoopBuilder::when(Value condition, function_ref<void()> body) {
  auto choice = scf::IfOp::create(b, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(choice.thenBlock());
  body();
}
void LoopBuilder::eitherWay(Value condition, function_ref<void(bool)> body) {
  auto choice = scf::IfOp::create(b, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(choice.thenBlock());
  body(true);
  b.setInsertionPointToStart(choice.elseBlock());
  body(false);
}
void LoopBuilder::within(OpBuilder &nested, function_ref<void()> body) {
  OpBuilder::InsertionGuard guard(b);
  b.restoreInsertionPoint(nested.saveInsertionPoint());
  body();
  nested.restoreInsertionPoint(b.saveInsertionPoint());
}

void LoopBuilder::forVectors(int64_t width,
                             function_ref<void(int64_t, Value)> body) {
  for (int64_t v = 0; v * lanes < width; ++v) {
    int64_t left = width - v * lanes;
    Value mask;
    if (left < lanes)
      mask =
          vector::CreateMaskOp::create(b, vectorOf(b.getI1Type()), index(left));
    body(v, mask);
  }
}
Value LoopBuilder::loadVector(Value buffer, ValueRange at, Value mask,
                              int64_t count) {
  auto type = mlir::VectorType::get({count * lanes}, elementOf(buffer));
  if (!mask)
    return vector::LoadOp::create(b, type, buffer, at);
  return vector::MaskedLoadOp::create(
      b, type, buffer, at, mask,
      arith::ConstantOp::create(b, b.getZeroAttr(type)));
}
void LoopBuilder::storeVector(Value v, Value buffer, Value at, Value mask) {
  if (mask)
    vector::MaskedStoreOp::create(b, buffer, at, mask, v);
  else
    vector::StoreOp::create(b, v, buffer, at);
}
/// Halves of pairs change places, first at distance 1, then 2, 4, ...
void LoopBuilder::transpose(SmallVectorImpl<Value> &rows) {
  for (int64_t step = 1; step < lanes; step *= 2)
    for (int64_t i = 0; i < lanes; ++i) {
      if (i & step)
        continue;
      SmallVector<int64_t> low, high;
      for (int64_t e = 0; e < lanes; ++e) {
        low.push_back(e & step ? lanes + e - step : e);
        high.push_back(e & step ? lanes + e : e + step);
      }
      Value x = rows[i], y = rows[i + step];
      rows[i] = vector::ShuffleOp::create(b, x, y, low);
      rows[i + step] = vector::ShuffleOp::create(b, x, y, high);
    }
}

Value LoopBuilder::widened(Value v, Type element) {
  if (mlir::getElementTypeOrSelf(v.getType()) == element)
    return v;
  // By way of f32: no processor goes from 16 bits to 64.
  if (element.isF64())
    v = widened(v, b.getF32Type());
  Type to = element;
  if (auto type = dyn_cast<mlir::VectorType>(v.getType()))
    to = type.clone(element);
  if (isa<FloatType>(element))
    return arith::ExtFOp::create(b, to, v);
  return arith::ExtSIOp::create(b, to, v);
}
