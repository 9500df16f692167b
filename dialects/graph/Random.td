//===- Random.td - numbers from a counter ---------------------------------===//
//
// Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers:
// as easy as 1, 2, 3"): element i of stream s under a seed is a pure function
// of (seed, s, i), so results depend on no order and no thread count. Two uses
// with one seed differ only by `stream`.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_RANDOM
#define GRADUS_GRAPH_RANDOM

include "Graph.td"

class Random<string m> : Graph_Op<m> {
  let arguments = (ins Tensor:$seed, ShapeOf:$to, DefaultValuedAttr<I64Attr, "0">:$stream);
  let infer = "in.random(seed, to)";
  let vjp = ["0.0"];
  let samples = [m # " i32[] in 0..9, to = f32[2, 3]", m # " i64[] in 0..9, to = f64[1, 3], stream = 4"];
}
def UniformOp : Random<"uniform"> { let summary = "Numbers spread evenly over [0, 1), in steps of 2^-24"; }
def NormalOp : Random<"normal"> { let summary = "Numbers of the standard normal distribution (Box and Muller 1958)"; }
def DropoutOp : Graph_Op<"dropout"> {
  let summary = "Each element 0 with probability `rate`, else scaled so that the mean stays (Srivastava et al. 2014)";
  let arguments = (ins Tensor:$x, Tensor:$seed, F64Attr:$rate, DefaultValuedAttr<I64Attr, "0">:$stream);
  let infer = "in.dropout(in.floats(x), seed, rate)";
  let decompose = "select(ge(uniform(seed, shape(x), stream), rate), x / (1.0 - rate), 0.0)";
  let samples = ["dropout f32[2, 3], i32[] in 0..9, rate = 0.5", "dropout f32[1, 3], i64[] in 0..9, rate = 0.2, stream = 3"];
}

#endif // GRADUS_GRAPH_RANDOM
