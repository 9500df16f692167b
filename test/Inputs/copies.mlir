// Products whose right-hand sides are copied.
graph.model @copies {
  func @even(%a: f32[64, 512], %b: f32[512, 1024]) {
    %c = matmul %a, %b
    return %c
  }
  func @ragged(%a: f32[203, 519], %b: f32[519, 1037]) {
    %c = matmul %a, %b
    return %c
  }
  func @deep(%a: f32[47, 2100], %b: f32[2100, 1024]) {
    %c = matmul %a, %b
    %r = relu %c
    return %r
  }
  func @narrow(%a: f16[60, 300], %b: f16[300, 2048]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
  func @batches(%a: f32[3, 70, 260], %b: f32[3, 260, 1024]) {
    %c = matmul %a, %b
    return %c
  }
  func @turned(%a: f32[100, 300], %b: f32[1024, 300]) {
    %c = einsum "mk,nk->mn", %a, %b
    return %c
  }
  func @words(%a: bf16[100, 300], %b: bf16[300, 1024]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
}
