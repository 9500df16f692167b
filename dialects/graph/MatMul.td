//===- MatMul.td - sums of products ---------------------------------------===//

#ifndef GRADUS_GRAPH_MATMUL
#define GRADUS_GRAPH_MATMUL

include "Graph.td"

def MatMulOp : Graph_Op<"matmul", [Multilinear]> {
  let summary = "Product of the last two axes; leading axes broadcast. Products of f16 and bf16 are added up in f32 and rounded once, unless `to` asks for the sums; those of i8 give i32";
  let arguments = (ins Tensor:$lhs, Tensor:$rhs, OptionalElementOf:$to);
  let infer = "in.matmul(in.numbers(lhs), rhs, to)";
  let batch = "batchedMatmul(lhs, rhs, to)";
  let vjp = ["matmulLhsGradient(lhs, rhs, convert(ct, rhs.shape().element))", "matmulRhsGradient(lhs, rhs, convert(ct, lhs.shape().element))"];
  let samples = ["matmul f32[2, 3], f32[3, 4]", "matmul f32[5, 2, 3], f32[5, 3, 4]", "matmul f32[5, 2, 3], f32[3, 4]",
                 "matmul f32[2, 3], f32[5, 3, 1]", "matmul f32[1, 7, 2, 3], f32[4, 1, 3, 2]", "matmul i32[2, 3] in -5..5, i32[3, 2] in -5..5",
                 "matmul bf16[3, 5], bf16[5, 4]", "matmul bf16[2, 3, 4], bf16[4, 3], to = f32", "matmul f16[7, 5], f16[5, 9]", "matmul f16[2, 3], f16[3, 1], to = f64",
                 "matmul i8[2, 7] in -128..128, i8[7, 3] in -128..128"];
}
def LinearOp : Graph_Op<"linear"> {
  let summary = "x times the weight, plus the bias";
  let arguments = (ins Tensor:$x, Tensor:$w, Optional<Tensor>:$b);
  let infer = "in.linear(in.floats(x), w, b)";
  let decompose = "matmul2d(x, w) + b"; // an absent operand is 0.0
  let batch = "batchedLinear(x, w, b)";
  let samples = ["linear f32[4, 3], f32[3, 2], f32[2]", "linear f32[1, 3], f32[3, 2]", "linear f32[5, 4, 3], f32[3, 2], f32[2]", "linear f32[3], f32[3, 2], f32[2]"];
}
def EinsumOp : Graph_Op<"einsum", [Multilinear]> {
  let summary = "Sum of products over the letters that the result lacks (Einstein's convention)";
  let arguments = (ins StrAttr:$equation, Variadic<Tensor>:$inputs);
  let infer = "in.einsum(equation, inputs)";
  let batch = "batchedEinsum(equation, inputs)";
  let vjp = ["einsumTranspose(equation, inputs, i, ct)"];
  let samples = ["einsum \"bhqd,bhkd->bhqk\", f32[1, 2, 3, 4], f32[1, 2, 2, 4]", "einsum \"ij,jk,k->i\", f32[2, 3], f32[3, 4], f32[4]",
                 "einsum \"ij,k->k\", f32[2, 3], f32[4]", "einsum \"abc->cab\", f32[2, 3, 4]", "einsum \"ij,ij->\", f32[2, 3], f32[2, 3]",
                 "einsum \"ij,jk->ik\", i32[2, 3] in -5..5, i32[3, 1] in -5..5", "einsum \"ij,kj->ki\", i8[2, 3] in -128..128, i8[4, 3] in -128..128",
                 "einsum \"ij,jk->ik\", bf16[2, 3], bf16[3, 1]"];
}

#endif // GRADUS_GRAPH_MATMUL
