//===- Normalize.cpp - rows brought to a common scale ---------------------===//

#include "Batch.h"
#include "Build.h"

using namespace gradus;
using namespace gradus::graph;

#define GET_OP_CLASSES
#include "dialects/graph/Normalize.cpp.inc"

Shapes Infer::layerNorm(Arg x, Arg gain, Arg bias) {
  if (x.failed)
    return x;
  if (x.rank() < 1)
    return fail(x.value) << "layer_norm needs at least one axis";
  for (const Arg &a : {gain, bias}) {
    if (!a)
      continue;
    bool fits = a.element == x.element && a.rank() == 1;
    if (Dim d = fits ? a[0] : Dim(); !fits || !unify(d, x[-1]))
      return fail(a.value) << "expected " << Shape(x.element, x[-1]).str()
                           << ", the last axis of " << x.str() << ", not "
                           << a.str();
  }
  return x;
}

V graph::softmax(const V &x, int64_t axis) {
  return {x.builder, SoftmaxOp::create(*x.builder, x.value(), axis)};
}
V graph::log_softmax(const V &x, int64_t axis) {
  return {x.builder, LogSoftmaxOp::create(*x.builder, x.value(), axis)};
}
std::pair<V, V> graph::normalized(const V &x, double eps) {
  V n = size(x, -1);
  V centred = x - reduce_sum(x, {-1}, true) / n;
  V variance = reduce_sum(centred * centred, {-1}, true) / n;
  V scale = rsqrt(variance + eps);
  return {centred * scale, scale};
}

V graph::batchedLayerNorm(const Mapped &x, const Mapped &gain,
                          const Mapped &bias, double eps) {
  if (gain.mapped || bias.mapped)
    return 0.0;
  return {x.builder, LayerNormOp::create(*x.builder, x.value(), gain.value(),
                                         bias.value(), llvm::APFloat(eps))};
}
