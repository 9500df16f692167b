// Products whose plans differ: many tiles, few tiles of a deep sum, few steps of a short one.
graph.model @plans {
  func @many(%a: f16[8192, 8192], %b: f16[8192, 8192]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
  func @few(%a: f16[192, 8192], %b: f16[8192, 256]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
  func @short(%a: f16[8192, 64], %b: f16[64, 128]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
}
