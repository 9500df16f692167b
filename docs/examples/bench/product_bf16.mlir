// A product of matrices of bf16, summed in f32 and rounded once, of sizes given by --dims.
graph.model @product {
  func @product(%a: bf16[m, k], %b: bf16[k, n]) {
    %c = matmul %a, %b
    return %c
  }
}
