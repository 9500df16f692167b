//===- Loss.td - one number to minimise -----------------------------------===//

#ifndef GRADUS_GRAPH_LOSS
#define GRADUS_GRAPH_LOSS

include "Graph.td"

def CrossEntropyOp : Graph_Op<"cross_entropy"> {
  let summary = "Mean over the rows of minus the log of the softmax at the label; a label outside the classes counts 0";
  let arguments = (ins Tensor:$logits, Tensor:$labels);
  let infer = "in.crossEntropy(in.floats(logits), labels)";
  let decompose = "-reduce_sum(one_hot(labels, shape(logits)) * log_softmax(logits, -1), std::nullopt, false) / elements(labels, std::nullopt, logits)";
  let vjp = [[{ V hot = one_hot(labels, shape(logits)), inside = reduce_sum(hot, {-1}, true);
    return ct / elements(labels, std::nullopt, logits) * (inside * softmax(logits, -1) - hot); }], "0.0"];
  let samples = ["cross_entropy f32[3, 4], i32[3] in 0..4", "cross_entropy f32[2, 1, 3], i64[2, 1] in 0..3", "cross_entropy f32[3, 4], i32[3] in -1..6"];
}
def MSEOp : Graph_Op<"mse"> {
  let summary = "Mean of the squared differences";
  let arguments = (ins Tensor:$prediction, Tensor:$target);
  let infer = "in.scalar(in.broadcast(in.floats(prediction), target))";
  let decompose = "V d = prediction - target; return reduce_sum(d * d, std::nullopt, false) / elements(d, std::nullopt);";
  let samples = ["mse f32[3, 4], f32[3, 4]", "mse f32[3, 1], f32[4]"];
}

#endif // GRADUS_GRAPH_LOSS
