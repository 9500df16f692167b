// The product of two large matrices: `gradus bench docs/examples/matmul.mlir`.
graph.model @matmul {
  func @product(%a: f32[10000, 1000], %b: f32[1000, 2000]) {
    %c = matmul %a, %b
    return %c
  }
}
