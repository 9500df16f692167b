//===- LowerRandom.cpp - numbers from a counter ---------------------------===//
//
// Threefry-2x32 (gradus/Random.h) in 32-bit arithmetic, which vectorises.
//
//===----------------------------------------------------------------------===//

#include "LinalgBuilder.h"
#include "gradus/Random.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace gradus;
using namespace gradus::graph;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace math = mlir::math;
namespace tensor = mlir::tensor;

static std::pair<Value, Value> threefry(ImplicitLocOpBuilder &b, Value key,
                                        ArrayRef<int64_t> shape) {
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  auto number = [&](uint32_t n) -> Value {
    return arith::ConstantOp::create(b,
                                     b.getIntegerAttr(i32, llvm::APInt(32, n)));
  };
  auto add = [&](Value p, Value q) -> Value {
    return arith::AddIOp::create(b, p, q);
  };
  auto halves = [&](Value v) -> std::pair<Value, Value> {
    Value shift = arith::ConstantOp::create(b, b.getI64IntegerAttr(32));
    Value upper = arith::ShRUIOp::create(b, v, shift);
    return {arith::TruncIOp::create(b, i32, v),
            arith::TruncIOp::create(b, i32, upper)};
  };
  auto [k0, k1] = halves(key);
  Value mixed = arith::XOrIOp::create(b, k0, k1);
  Value keys[] = {k0, k1,
                  arith::XOrIOp::create(b, mixed, number(random::parity))};
  Value index = arith::ConstantOp::create(b, b.getI64IntegerAttr(0));
  for (auto [axis, size] : llvm::enumerate(shape)) {
    Value n = arith::ConstantOp::create(b, b.getI64IntegerAttr(size));
    Value i =
        arith::IndexCastOp::create(b, i64, linalg::IndexOp::create(b, axis));
    index = add(arith::MulIOp::create(b, index, n), i);
  }
  auto [low, high] = halves(index);
  Value x = add(low, k0), y = add(high, k1);
  for (uint32_t group = 0; group < 5; ++group) {
    for (unsigned i = 0; i < 4; ++i) {
      unsigned r = random::rotations[(group % 2) * 4 + i];
      x = add(x, y);
      Value left = arith::ShLIOp::create(b, y, number(r));
      Value right = arith::ShRUIOp::create(b, y, number(32 - r));
      y = arith::XOrIOp::create(b, arith::OrIOp::create(b, left, right), x);
    }
    x = add(x, keys[(group + 1) % 3]);
    y = add(add(y, keys[(group + 2) % 3]), number(group + 1));
  }
  return {x, y};
}
static Value uniformNumber(ImplicitLocOpBuilder &b, Value bits, Type e) {
  Value shift = arith::ConstantOp::create(b, b.getI32IntegerAttr(8));
  Value top = arith::ShRUIOp::create(b, bits, shift);
  // 24 bits: non-negative as signed, and exact in f32.
  Value n = arith::SIToFPOp::create(b, e, top);
  Value unit = arith::ConstantOp::create(b, b.getFloatAttr(e, 0x1p-24));
  return arith::MulFOp::create(b, n, unit);
}
static Value normalNumber(ImplicitLocOpBuilder &b, Value x, Value y, Type e) {
  auto number = [&](double n) -> Value {
    return arith::ConstantOp::create(b, b.getFloatAttr(e, n));
  };
  Value u = arith::AddFOp::create(b, uniformNumber(b, x, e), number(0x1p-24));
  Value angle =
      arith::MulFOp::create(b, uniformNumber(b, y, e), number(2 * M_PI));
  Value square =
      arith::MulFOp::create(b, number(-2), math::LogOp::create(b, u));
  Value radius = math::SqrtOp::create(b, square);
  return arith::MulFOp::create(b, radius, math::CosOp::create(b, angle));
}

/// The seed, with the stream added to its upper half. Not part of the kernel,
/// so that all streams share one.
static Value keyOf(ImplicitLocOpBuilder &b, Value seed, int64_t stream) {
  Value key = tensor::ExtractOp::create(b, seed, ValueRange());
  if (key.getType() != b.getI64Type())
    key = arith::ExtSIOp::create(b, b.getI64Type(), key);
  uint64_t upper = static_cast<uint64_t>(stream) << 32;
  Value added = arith::ConstantOp::create(
      b, b.getIntegerAttr(b.getI64Type(), llvm::APInt(64, upper)));
  key = arith::AddIOp::create(b, key, added);
  return tensor::FromElementsOp::create(
      b, RankedTensorType::get({}, b.getI64Type()), key);
}

template <typename Op>
static Value generate(
    LinalgBuilder &linalg, Op op, mlir::IRMapping &lowered,
    function_ref<Value(ImplicitLocOpBuilder &, Value, Value, Type)> number) {
  RankedTensorType type = tensorType(op.getOut());
  return linalg.parallel(
      keyOf(linalg.b, lowered.lookup(op.getSeed()), op.getStream()),
      linalg.map(type.getRank(), {}), type,
      [&](ImplicitLocOpBuilder &inner, ValueRange args) {
        auto [x, y] = threefry(inner, args[0], type.getShape());
        return number(inner, x, y, type.getElementType());
      });
}

Value LinalgBuilder::random(Operation *op, mlir::IRMapping &lowered) {
  if (auto o = dyn_cast<UniformOp>(op))
    return generate(*this, o, lowered,
                    [](ImplicitLocOpBuilder &inner, Value x, Value, Type e) {
                      return uniformNumber(inner, x, e);
                    });
  if (auto o = dyn_cast<NormalOp>(op))
    return generate(*this, o, lowered, normalNumber);
  return {};
}
