//===- CheckGradient.cpp - gradients against central differences ----------===//

#include "gradus/Reference.h"
#include <numeric>

using namespace gradus;
using graph::Array;

/// Central differences of second order: the error falls with step^2 until
/// rounding, eps / step, takes over; 1e-6 is near the best for f64.
static constexpr double step = 1e-6;

double gradus::relativeError(double want, double got) {
  // Infinities that agree are no error; a NaN on one side is.
  if (want == got)
    return 0;
  double e = std::abs(want - got) / (1 + std::abs(want));
  return std::isnan(e) ? INFINITY : e;
}

double gradus::parameterSpread(const graph::Shape &shape) {
  double inputs = 1;
  for (const graph::Dim &d :
       ArrayRef(shape.dims).drop_back(shape.rank() ? 1 : 0))
    inputs *= double(std::max<int64_t>(d.size, 1));
  return std::min(0.5, std::sqrt(3 / inputs));
}

double gradus::differenceAlong(function_ref<double(ArrayRef<Array>)> function,
                               ArrayRef<Array> inputs, ArrayRef<unsigned> moved,
                               ArrayRef<Array> tangents) {
  auto at = [&](double by) {
    SmallVector<Array> there(inputs);
    for (unsigned i : moved)
      for (auto [x, t] : llvm::zip(there[i].data, tangents[i].data))
        x += by * t;
    return function(there);
  };
  return (at(step) - at(-step)) / (2 * step);
}

GradientError
gradus::checkGradient(function_ref<double(ArrayRef<Array>)> function,
                      ArrayRef<Array> inputs, ArrayRef<unsigned> checked,
                      ArrayRef<Array> gradients, size_t samples,
                      std::mt19937_64 &random) {
  SmallVector<Array> at(inputs);
  GradientError worst;
  auto compare = [&](double difference, double gradient, unsigned argument,
                     size_t element) {
    double error = relativeError(difference, gradient);
    if (error > worst.error)
      worst = {error, gradient, difference, argument, element};
  };
  for (auto [k, input] : llvm::enumerate(checked)) {
    std::vector<size_t> elements(at[input].data.size());
    std::iota(elements.begin(), elements.end(), 0);
    std::shuffle(elements.begin(), elements.end(), random);
    elements.resize(std::min(elements.size(), samples));
    for (size_t e : elements) {
      double &x = at[input].data[e], old = x;
      x = old + step;
      double up = function(at);
      x = old - step;
      double down = function(at);
      x = old;
      compare((up - down) / (2 * step), gradients[k].data[e], k, e);
    }
  }
  // One direction sees every element at once.
  std::normal_distribution<> normal;
  double slope = 0, length = 0;
  SmallVector<Array> direction;
  for (auto [k, input] : llvm::enumerate(checked)) {
    direction.push_back(Array(at[input].shape));
    for (auto [e, d] : llvm::enumerate(direction.back().data)) {
      d = normal(random);
      length += d * d;
      slope += d * gradients[k].data[e];
    }
  }
  if (length == 0)
    return worst;
  double scale = 1 / std::sqrt(length);
  auto moved = [&](double by) {
    for (auto [k, input] : llvm::enumerate(checked))
      for (auto [e, d] : llvm::enumerate(direction[k].data))
        at[input].data[e] = inputs[input].data[e] + by * scale * d;
    return function(at);
  };
  double up = moved(step), down = moved(-step);
  compare((up - down) / (2 * step), slope * scale, checked.size(), 0);
  return worst;
}
