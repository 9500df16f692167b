//===- Interpreter.cpp - graph -> values ----------------------------------===//

#include "gradus/Reference.h"

using namespace gradus;
using namespace gradus::graph;
using Arrays = SmallVector<Array>;

static Array constantArray(ConstantOp op) {
  auto value = cast<DenseElementsAttr>(op.getValue());
  Array a(cast<RankedTensorType>(op.getType()).getShape());
  size_t i = 0;
  if (Shape(op.getResult()).isFloat()) {
    for (llvm::APFloat f : value.getValues<llvm::APFloat>()) {
      bool lossy;
      f.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven,
                &lossy);
      a.data[i++] = f.convertToDouble();
    }
    return a;
  }
  bool truth = value.getElementType().isInteger(1);
  for (const llvm::APInt &n : value.getValues<llvm::APInt>())
    a.data[i++] = truth ? double(n.getZExtValue()) : double(n.getSExtValue());
  return a;
}

/// Integers are cut off towards zero and wrap around; what is no number (a
/// quotient by zero) is 0. Beyond 2^53 a double is no longer exact.
static double wholeNumber(double x, unsigned bits) {
  if (!std::isfinite(x))
    return 0;
  x = std::trunc(x);
  if (bits == 1 || std::abs(x) >= 0x1p53)
    return x;
  return double(llvm::SignExtend64(uint64_t(int64_t(x)), bits));
}

/// A formula at every index.
static Array elementwise(Formula op, ArrayRef<Array> in) {
  Array out(cast<RankedTensorType>(op->getResult(0).getType()).getShape());
  Type element = Shape(op->getResult(0)).element;
  bool whole = !isa<FloatType>(element);
  SmallVector<double, 3> args(in.size());
  auto at = [&](double &result) {
    result = op.evaluateScalar(args);
    if (whole)
      result = wholeNumber(result, element.getIntOrFloatBitWidth());
  };
  Strides none(out.rank(), 0);
  auto strides = [&](size_t k) {
    return k < in.size() ? in[k].broadcastStrides(out.rank()) : none;
  };
  forEachIndex<4>(out.shape, {0, 0, 0, 0},
                  {out.strides(), strides(0), strides(1), strides(2)},
                  [&](auto offset) {
                    for (size_t k = 0; k < in.size(); ++k)
                      args[k] = in[k].data[offset[k + 1]];
                    at(out.data[offset[0]]);
                  });
  return out;
}

static FailureOr<Arrays> evaluate(Operation *op, ArrayRef<Array> in) {
  if (auto constant = dyn_cast<ConstantOp>(op))
    return Arrays{constantArray(constant)};
  if (auto formula = dyn_cast<Formula>(op))
    return Arrays{elementwise(formula, in)};
  if (auto evaluable = dyn_cast<Evaluable>(op))
    return evaluable.evaluate(in);
  mlir::emitError(op->getLoc())
      << op->getName().stripDialect() << " has no reference value";
  return failure();
}

static void round(Array &a, const llvm::fltSemantics &semantics) {
  for (double &x : a.data) {
    llvm::APFloat f(x);
    bool lossy;
    f.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &lossy);
    f.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven,
              &lossy);
    x = f.convertToDouble();
  }
}

FailureOr<Arrays> gradus::interpret(FuncOp f, ArrayRef<Array> args,
                                    const Environment &variables,
                                    Updates *updates, bool rounds) {
  Environment env = variables;
  for (auto [v, a] : llvm::zip(f.getBody().getArguments(), args))
    env[v] = a;
  auto values = [&](ValueRange operands) {
    return llvm::map_to_vector(operands, [&](Value v) { return env.at(v); });
  };
  for (Operation &op : f.getBody().front()) {
    if (isa<ReturnOp>(op))
      return values(op.getOperands());
    if (auto update = dyn_cast<UpdateOp>(op)) {
      if (updates)
        updates->push_back({update.getVariable(), env.at(update.getValue())});
      continue;
    }
    FailureOr<Arrays> results = evaluate(&op, values(op.getOperands()));
    if (failed(results))
      return failure();
    for (auto [v, a] : llvm::zip(op.getResults(), *results)) {
      if (auto element = dyn_cast<FloatType>(Shape(v).element);
          rounds && element && element.getWidth() < 32)
        round(a, element.getFloatSemantics());
      env[v] = std::move(a);
    }
  }
  llvm_unreachable("a function ends in a return");
}

Array gradus::randomArray(Type type, double low, double high,
                          std::mt19937_64 &random) {
  Shape s(type);
  Array a(cast<RankedTensorType>(type).getShape());
  std::uniform_real_distribution<> unit;
  for (double &x : a.data) {
    x = low + (high - low) * unit(random);
    if (!s.isFloat())
      x = std::floor(x);
  }
  return a;
}
