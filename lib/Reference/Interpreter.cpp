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

/// Copies one step of a loop between `whole`, at `index` of its axis 0 or
/// later, and `part`.
template <typename Copy>
static void forSlice(Array &whole, Array &part, int64_t axis, int64_t index,
                     Copy copy) {
  Strides strides = whole.strides();
  int64_t first = strides[axis] * index;
  strides.erase(strides.begin() + axis);
  forEachIndex<2>(
      part.shape, {first, 0}, {strides, part.strides()},
      [&](auto offset) { copy(whole.data[offset[0]], part.data[offset[1]]); });
}

namespace {
/// Runs bodies, each op after those before it.
class Interpreter {
public:
  /// Floats of fewer bits than `roundsBelow` are rounded.
  Interpreter(Environment env, Updates *updates, unsigned roundsBelow,
              Observer observer = nullptr)
      : env(std::move(env)), updates(updates), roundsBelow(roundsBelow),
        observer(observer) {}

  /// The operands of the block's terminator.
  FailureOr<Arrays> run(Block &block, ArrayRef<Array> args) {
    for (auto [v, a] : llvm::zip(block.getArguments(), args))
      env[v] = a;
    for (Operation &op : block.without_terminator()) {
      if (auto update = dyn_cast<UpdateOp>(op)) {
        if (updates)
          updates->push_back({update.getVariable(), env.at(update.getValue())});
        continue;
      }
      FailureOr<Arrays> results = runOp(&op);
      if (failed(results))
        return failure();
      for (auto [v, a] : llvm::zip(op.getResults(), *results)) {
        if (auto element = dyn_cast<FloatType>(Shape(v).element);
            element && element.getWidth() < roundsBelow)
          round(a, element.getFloatSemantics());
        env[v] = a;
      }
      if (observer && observer(&op, values(op.getOperands()), *results, steps))
        return failure();
    }
    return values(block.getTerminator()->getOperands());
  }

  FailureOr<Arrays> runOp(Operation *op) {
    if (auto loop = dyn_cast<ForOp>(op))
      return runFor(loop);
    if (auto loop = dyn_cast<WhileOp>(op))
      return runWhile(loop);
    if (auto branch = dyn_cast<IfOp>(op))
      return run(isTrue(env.at(branch.getPredicate())) ? branch.getYes().front()
                                                       : branch.getNo().front(),
                 {});
    if (auto checkpoint = dyn_cast<CheckpointOp>(op))
      return run(checkpoint.getBody().front(), {});
    return evaluate(op, values(op->getOperands()));
  }

private:
  Arrays values(ValueRange operands) {
    return llvm::map_to_vector(operands, [&](Value v) { return env.at(v); });
  }
  FailureOr<Arrays> runStep(Operation *loop, int64_t step, Block &body,
                            ArrayRef<Array> args) {
    steps.push_back({loop, step});
    FailureOr<Arrays> yields = run(body, args);
    steps.pop_back();
    return yields;
  }
  static bool isTrue(const Array &truth) { return truth.data[0] != 0; }

  FailureOr<Arrays> runFor(ForOp loop) {
    Arrays results = values(loop.getInitial());
    size_t carries = results.size();
    for (Value v : loop.getStacks())
      results.emplace_back(cast<RankedTensorType>(v.getType()).getShape());
    Arrays sources = values(loop.getSources());
    int64_t steps = loop.getSteps().size;
    auto axisIn = [&](const Array &whole) {
      auto axis = int64_t(loop.getAxis());
      return axis < 0 ? axis + whole.rank() : axis;
    };
    for (int64_t n = 0; n < steps; ++n) {
      int64_t at = loop.getReverse() ? steps - 1 - n : n;
      Arrays args{Array({}, double(at))};
      args.append(results.begin(), results.begin() + carries);
      for (auto [source, slice] : llvm::zip(sources, loop.getSlices())) {
        args.emplace_back(cast<RankedTensorType>(slice.getType()).getShape());
        forSlice(source, args.back(), axisIn(source), at,
                 [](double &from, double &to) { to = from; });
      }
      FailureOr<Arrays> yields =
          runStep(loop, at, loop.getBody().front(), args);
      if (failed(yields))
        return failure();
      for (auto [i, result, value] : llvm::enumerate(results, *yields))
        if (i < carries)
          result = std::move(value);
        else
          forSlice(result, value, axisIn(result), at,
                   [](double &to, double &from) { to = from; });
    }
    return results;
  }

  FailureOr<Arrays> runWhile(WhileOp loop) {
    Arrays carries = values(loop.getInitial());
    auto limit = int64_t(loop.getLimit().value_or(INT64_MAX));
    for (int64_t n = 0; n < limit; ++n) {
      FailureOr<Arrays> goOn =
          runStep(loop, n, loop.getCondition().front(), carries);
      if (failed(goOn))
        return failure();
      if (!isTrue(goOn->front()))
        break;
      FailureOr<Arrays> next =
          runStep(loop, n, loop.getBody().front(), carries);
      if (failed(next))
        return failure();
      carries = std::move(*next);
    }
    return carries;
  }

  Environment env;
  Updates *updates;
  unsigned roundsBelow;
  Observer observer;
  SmallVector<LoopStep> steps; ///< that are being run
};
} // namespace

FailureOr<Arrays> gradus::interpret(FuncOp f, ArrayRef<Array> args,
                                    const Environment &variables,
                                    Updates *updates, bool rounds) {
  return Interpreter(variables, updates, rounds ? 32 : 0)
      .run(f.getBody().front(), args);
}

void gradus::observeBodies(Operation *op, const Environment &values,
                           Observer observer) {
  Updates none;
  // A run that the observer ends fails, which is no mistake.
  (void)Interpreter(values, &none, 64, observer).runOp(op);
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
