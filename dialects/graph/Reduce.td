//===- Reduce.td - one number from many along axes ------------------------===//

#ifndef GRADUS_GRAPH_REDUCE
#define GRADUS_GRAPH_REDUCE

include "Graph.td"

class Reduce<string m, list<Trait> extra = []> : Graph_Op<m, [Batchwise] # extra> {
  let arguments = (ins Tensor:$x, Axes:$axes, UnitAttr:$keepdims);
  let infer = "in.reduce(in.numbers(x), axes, keepdims)";
  let samples = [m # " f32[2, 3]", m # " f32[2, 3, 4], axes = [0, -1]", m # " f32[2, 1, 3], axes = [1], keepdims",
                 m # " i32[2, 3] in 1..4, axes = [0]"];
}
def ReduceSumOp : Reduce<"reduce_sum", [Linear]> {
  let summary = "Sum along the axes, all of them by default";
  let vjp = ["broadcast(reshape(ct, kept(x, axes)), shape(x))"];
}
def ReduceMeanOp : Reduce<"reduce_mean"> {
  let summary = "Arithmetic mean along the axes";
  let infer = "in.reduce(in.floats(x), axes, keepdims)";
  let decompose = "reduce_sum(x, axes, keepdims) / elements(x, axes)";
  let samples = ["reduce_mean f32[2, 3]", "reduce_mean f32[2, 3, 4], axes = [0, -1]", "reduce_mean f32[2, 1, 3], axes = [1], keepdims"];
}
def ReduceMaxOp : Reduce<"reduce_max"> {
  let summary = "The largest along the axes; equal ones share the gradient";
  let vjp = ["shared(x, out, ct, axes)"];
}
def ReduceMinOp : Reduce<"reduce_min"> {
  let summary = "The smallest along the axes; equal ones share the gradient";
  let vjp = ["shared(x, out, ct, axes)"];
}
def ReduceProdOp : Reduce<"reduce_prod"> {
  let summary = "Product along the axes";
  // The product of the others, without a division by zero.
  let vjp = [[{ V zero = eq(x, 0.0), safe = select(zero, 1.0, x), zeros = reduce_sum(indicator(zero, x), axes, true);
    V rest = reduce_prod(safe, axes, true), g = reshape(ct, kept(x, axes)) * rest;
    return select(zero, select(eq(zeros, 1.0), g, 0.0), select(eq(zeros, 0.0), g, 0.0) / safe); }]];
}
def ArgmaxOp : Graph_Op<"argmax", [Batchwise]> {
  let summary = "The index of the largest along an axis, as i32; the first of equal ones";
  let arguments = (ins Tensor:$x, DefaultValuedAttr<I64Attr, "-1">:$axis);
  let infer = "in.as(IntegerType::get(x.element.getContext(), 32), in.reduce(in.numbers(x), List(axis), false))";
  let vjp = ["0.0"];
  let samples = ["argmax f32[2, 5]", "argmax f32[4, 1], axis = 0", "argmax i32[3, 4] in 0..3, axis = 1"];
}

#endif // GRADUS_GRAPH_REDUCE
