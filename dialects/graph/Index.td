//===- Index.td - rows by number ------------------------------------------===//
//
// An index outside the axis reads zeros and adds nothing.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_INDEX
#define GRADUS_GRAPH_INDEX

include "Graph.td"

def GatherOp : Graph_Op<"gather", [Linear]> {
  let summary = "The slices along an axis that the indices name";
  let arguments = (ins Tensor:$x, Tensor:$ids, DefaultValuedAttr<I64Attr, "0">:$axis);
  let infer = "in.gather(x, ids, axis)";
  let batch = "batchedGather(x, ids, axis)";
  let vjp = ["scatter_add(ct, ids, shape(x), axis)", "0.0"];
  let samples = ["gather f32[5, 3], i32[2, 4] in 0..5", "gather f32[2, 5, 1], i32[3] in -1..7, axis = 1", "gather f32[4], i64[] in 0..4"];
}
def ScatterAddOp : Graph_Op<"scatter_add", [Linear]> {
  let summary = "Slices added where the indices say, into zeros of shape `to`";
  let arguments = (ins Tensor:$g, Tensor:$ids, ShapeOf:$to, DefaultValuedAttr<I64Attr, "0">:$axis);
  let infer = "in.scatter(g, ids, to, axis)";
  let batch = "batchedScatterAdd(g, ids, to, axis)";
  let vjp = ["gather(ct, ids, axis)", "0.0"];
  let samples = ["scatter_add f32[2, 4, 3], i32[2, 4] in 0..5, to = f32[5, 3]", "scatter_add f32[2, 3, 1], i32[3] in -1..7, to = f32[2, 5, 1], axis = 1"];
}
def EmbeddingOp : Graph_Op<"embedding", [Linear]> {
  let summary = "The rows of a table that the indices name";
  let arguments = (ins Tensor:$table, Tensor:$ids);
  let infer = "in.gather(table, ids, 0)";
  let decompose = "gather(table, ids, 0)";
  let vjp = ["scatter_add(ct, ids, shape(table), 0)", "0.0"];
  let samples = ["embedding f32[5, 3], i32[2, 4] in 0..5", "embedding f32[4, 1], i64[2] in -2..6"];
}
def OneHotOp : Graph_Op<"one_hot", [Batchwise]> {
  let summary = "1 where the last axis of `to` equals the index, else 0";
  let arguments = (ins Tensor:$ids, ShapeOf:$to);
  let infer = "in.oneHot(ids, to)";
  let decompose = "indicator(eq(append(ids), iota(builder_, typed(to, ids), -1)), to.element)";
  let vjp = ["0.0"];
  let samples = ["one_hot i32[3] in 0..4, to = f32[3, 4]", "one_hot i64[2, 1] in -1..5, to = f64[2, 1, 4]"];
}

#endif // GRADUS_GRAPH_INDEX
