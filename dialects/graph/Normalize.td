//===- Normalize.td - rows brought to a common scale ----------------------===//

#ifndef GRADUS_GRAPH_NORMALIZE
#define GRADUS_GRAPH_NORMALIZE

include "Graph.td"

def SoftmaxOp : Graph_Op<"softmax", [Batchwise]> {
  let summary = "Exponentials divided by their sum along an axis";
  let arguments = (ins Tensor:$x, DefaultValuedAttr<I64Attr, "-1">:$axis);
  let infer = "in.within(in.floats(x), axis)";
  let decompose = "V e = exp(x - reduce_max(x, {axis}, true)); return shares(e, reduce_sum(e, {axis}, true));";
  let vjp = ["out * (ct - reduce_sum(ct * out, {axis}, true))"];
  let samples = ["softmax f32[3, 4]", "softmax f32[3, 1], axis = 0"];
}
def LogSoftmaxOp : Graph_Op<"log_softmax", [Batchwise]> {
  let summary = "Logarithm of softmax, computed without overflow";
  let arguments = (ins Tensor:$x, DefaultValuedAttr<I64Attr, "-1">:$axis);
  let infer = "in.within(in.floats(x), axis)";
  let decompose = "V s = x - reduce_max(x, {axis}, true); return s - log(reduce_sum(exp(s), {axis}, true));";
  let vjp = ["ct - exp(out) * reduce_sum(ct, {axis}, true)"];
  let samples = ["log_softmax f32[3, 4]", "log_softmax f32[3, 1], axis = 0"];
}
def LayerNormOp : Graph_Op<"layer_norm", [AttrSizedOperandSegments]> {
  let summary = "The last axis brought to mean 0 and variance 1, then scaled and shifted (Ba et al. 2016)";
  let arguments = (ins Tensor:$x, Optional<Tensor>:$gain, Optional<Tensor>:$bias, DefaultValuedAttr<F64Attr, "1e-5">:$eps);
  let infer = "in.layerNorm(in.floats(x), gain, bias)";
  let decompose = [{ V y = normalized(x, eps).first; return (gain ? y * gain : y) + bias; }];
  let batch = "batchedLayerNorm(x, gain, bias, eps)";
  let vjp = [[{ auto [y, scale] = normalized(x, eps); V g = gain ? ct * gain : ct; int64_t last = -1;
    V mean = reduce_sum(g, {last}, true) / size(x, -1), along = reduce_sum(g * y, {last}, true) / size(x, -1);
    return scale * (g - mean - y * along); }], "like(gain, ct * normalized(x, eps).first)", "like(bias, ct)"];
  let samples = ["layer_norm f32[3, 4]", "layer_norm f32[2, 1, 4], f32[4], f32[4]", "layer_norm f32[3, 4], f32[4], f32[4], eps = 0.1"];
}

#endif // GRADUS_GRAPH_NORMALIZE
