//===- LinalgBuilder.cpp - graph ops as linalg.generic --------------------===//

#include "LinalgBuilder.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/IR/Matchers.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace tensor = mlir::tensor;

Value LinalgBuilder::filled(mlir::TypedAttr number, RankedTensorType type) {
  Value n = arith::ConstantOp::create(b, number);
  return linalg::FillOp::create(b, n, empty(type)).getResult(0);
}

AffineMap LinalgBuilder::broadcastMap(RankedTensorType x,
                                      ArrayRef<int64_t> space) {
  SmallVector<AffineExpr> exprs;
  int64_t first = space.size() - x.getRank();
  for (int64_t i = 0; i < x.getRank(); ++i)
    exprs.push_back(x.getDimSize(i) == 1 && space[first + i] != 1
                        ? b.getAffineConstantExpr(0)
                        : dim(first + i));
  return map(space.size(), exprs);
}

Value LinalgBuilder::generic(ValueRange inputs, ArrayRef<AffineMap> maps,
                             Value init, AffineMap outMap,
                             ArrayRef<Iterator> iterators, Body body) {
  auto numberOf = [](Value x) -> mlir::TypedAttr {
    DenseElementsAttr constant;
    if (mlir::matchPattern(x, mlir::m_Constant(&constant)) &&
        constant.isSplat())
      return cast<mlir::TypedAttr>(constant.getSplatValue<Attribute>());
    return {};
  };
  // A tensor of one number is that number, but where no other tells how long a
  // loop is.
  SmallVector<AffineMap> others{outMap};
  for (auto [x, m] : llvm::zip(inputs, maps))
    if (!numberOf(x))
      others.push_back(m);
  bool othersSuffice = !!mlir::inversePermutation(
      mlir::concatAffineMaps(others, b.getContext()));
  // Which body argument, or which number, stands for each input?
  SmallVector<Value> operands;
  SmallVector<AffineMap> operandMaps;
  SmallVector<mlir::TypedAttr> numbers;
  for (auto [x, m] : llvm::zip(inputs, maps)) {
    numbers.push_back(othersSuffice ? numberOf(x) : mlir::TypedAttr());
    if (numbers.back())
      continue;
    operands.push_back(x);
    operandMaps.push_back(m);
  }
  operandMaps.push_back(outMap);
  auto op = linalg::GenericOp::create(
      b, tensorType(init), operands, init, operandMaps, iterators,
      [&](OpBuilder &nested, Location loc, ValueRange args) {
        ImplicitLocOpBuilder inner(loc, nested);
        SmallVector<Value> values;
        unsigned next = 0;
        for (mlir::TypedAttr n : numbers)
          values.push_back(n ? Value(arith::ConstantOp::create(inner, n))
                             : args[next++]);
        values.push_back(args.back());
        linalg::YieldOp::create(inner, body(inner, values));
      });
  return op.getResult(0);
}

Value LinalgBuilder::parallel(ValueRange inputs, ArrayRef<AffineMap> maps,
                              RankedTensorType type, Body body) {
  SmallVector<Iterator> iterators(type.getRank(), Iterator::parallel);
  return generic(inputs, maps, empty(type),
                 b.getMultiDimIdentityMap(type.getRank()), iterators, body);
}

Value gradus::widened(ImplicitLocOpBuilder &b, Value number, Type to) {
  if (number.getType() == to)
    return number;
  if (isa<FloatType>(to)) {
    // By way of f32: no processor goes from 16 bits to 64.
    if (to.isF64())
      number = widened(b, number, b.getF32Type());
    return arith::ExtFOp::create(b, to, number);
  }
  return arith::ExtSIOp::create(b, to, number);
}

Value LinalgBuilder::rounded(Value x, RankedTensorType type) {
  if (tensorType(x).getElementType() == type.getElementType())
    return x;
  return parallel(x, b.getMultiDimIdentityMap(type.getRank()), type,
                  [&](ImplicitLocOpBuilder &inner, ValueRange args) -> Value {
                    return arith::TruncFOp::create(inner, type.getElementType(),
                                                   args[0]);
                  });
}

Value LinalgBuilder::reshape(Value x, RankedTensorType type) {
  RankedTensorType from = tensorType(x);
  if (from == type)
    return x;
  auto groups = mlir::getReassociationIndicesForReshape(from, type);
  bool collapses = from.getRank() > type.getRank();
  if (groups && from.getRank() != type.getRank())
    return collapses
               ? Value(tensor::CollapseShapeOp::create(b, type, x, *groups))
               : Value(tensor::ExpandShapeOp::create(b, type, x, *groups));
  // By way of one axis.
  auto flat =
      RankedTensorType::get({type.getNumElements()}, type.getElementType());
  auto whole = [](RankedTensorType t) {
    SmallVector<mlir::ReassociationIndices> all;
    if (t.getRank())
      all.push_back(llvm::to_vector(llvm::seq<int64_t>(0, t.getRank())));
    return all;
  };
  if (from.getRank() > 1)
    x = tensor::CollapseShapeOp::create(b, flat, x, whole(from));
  else if (from.getRank() == 0)
    x = tensor::ExpandShapeOp::create(b, flat, x, whole(from));
  if (type.getRank() > 1)
    x = tensor::ExpandShapeOp::create(b, type, x, whole(type));
  else if (type.getRank() == 0)
    x = tensor::CollapseShapeOp::create(b, type, x, whole(type));
  return x;
}

/// Numbers of 16 bits are added in f32, as in any op on them.
static Value sumOf(ImplicitLocOpBuilder &b, Value x, Value y) {
  Type type = x.getType(), f32 = b.getF32Type();
  if (type.getIntOrFloatBitWidth() >= f32.getIntOrFloatBitWidth())
    return arith::AddFOp::create(b, x, y);
  Value sum = arith::AddFOp::create(b, arith::ExtFOp::create(b, f32, x),
                                    arith::ExtFOp::create(b, f32, y));
  return arith::TruncFOp::create(b, type, sum);
}

Value LinalgBuilder::pad(Value x, RankedTensorType type, ArrayRef<int64_t> low,
                         ArrayRef<int64_t> steps, mlir::TypedAttr value) {
  // Between zeros, as a sum: its result is one of a generic's, which may stand
  // in a group with what reads it.
  auto number = dyn_cast<mlir::FloatAttr>(value);
  int64_t rank = type.getRank();
  SmallVector<AffineExpr> places;
  bool isLonger = false; // than the image, though the place is the index
  for (auto [d, first, step] : llvm::enumerate(low, steps)) {
    places.push_back(b.getAffineDimExpr(d) * step + first);
    isLonger |= isa<mlir::AffineDimExpr>(places.back()) &&
                tensorType(x).getDimSize(d) != type.getDimSize(d);
  }
  if (number && number.getValue().isZero() && !isLonger) {
    return generic(x, b.getMultiDimIdentityMap(rank), filled(value, type),
                   map(rank, places),
                   SmallVector<Iterator>(rank, Iterator::parallel),
                   [&](ImplicitLocOpBuilder &inner, ValueRange args) -> Value {
                     return sumOf(inner, args[0], args[1]);
                   });
  }
  auto indices = [&](ArrayRef<int64_t> ns) {
    return mlir::getAsIndexOpFoldResult(b.getContext(), ns);
  };
  return tensor::InsertSliceOp::create(b, x, filled(value, type), indices(low),
                                       indices(tensorType(x).getShape()),
                                       indices(steps));
}

bool gradus::windowsTile(graph::FoldOp op) {
  auto windows = tensorType(op.getG()).getShape(),
       image = tensorType(op.getOut()).getShape();
  size_t n = op.getWindow().size();
  for (size_t i = 0; i < n; ++i) {
    int64_t places = windows[1 + i], size = windows[1 + n + i];
    int64_t step = op.getStride().empty() ? 1 : op.getStride()[i];
    if (step != size || places * size != image[1 + i])
      return false;
  }
  return true;
}
