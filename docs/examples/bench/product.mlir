// A product of matrices, of sizes given by --dims.
graph.model @product {
  func @product(%a: f32[m, k], %b: f32[k, n]) {
    %c = matmul %a, %b
    return %c
  }
}
