// Products for wgmma: large tiles of either layout, edges that tiles do not divide; where elements of 32 bits lie along the
// depth and where they do not; deep sums that are split.
graph.model @warpgroups {
  func @panels(%a: bf16[4220, 72], %b: bf16[72, 2040]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
  func @lines(%a: f16[72, 2184], %b: f16[2056, 72], %bias: f32[2056]) {
    %at = transpose %a
    %bt = transpose %b
    %c = matmul %at, %bt, to = f32
    %y = add %c, %bias
    return %y
  }
  func @words(%a: f32[1000, 100], %b: f32[520, 100]) {
    %t = transpose %b
    %c = matmul %a, %t
    %y = relu %c
    return %y
  }
  func @image(%x: bf16[2, 9, 11, 64], %w: bf16[3, 3, 64, 72]) {
    %c = conv %x, %w, padding = same
    return %c
  }
  func @deep(%a: bf16[40, 4104], %b: bf16[4104, 72]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
  // Stages are used again and again.
  func @turns(%a: f16[40, 648], %b: f16[648, 72]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
  // Blocks go on from one tile of the result to the next; a bias and what it is added to in between.
  func @rounds(%a: bf16[3, 520, 200], %b: bf16[3, 200, 264], %bias: f32[264], %x: f32[3, 520, 264]) {
    %c = matmul %a, %b, to = f32
    %d = add %c, %bias
    %e = add %d, %x
    %y = relu %e
    return %y
  }
  // Clusters one beside the other; an odd number of tiles, so that one block of a cluster has nothing to store.
  func @beside(%a: bf16[64, 264], %b: bf16[264, 1096]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
}
