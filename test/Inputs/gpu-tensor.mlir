// Products whose operands a GPU copies to shared memory in chunks of 16 bytes: every way that they lie, edges that tiles do
// not divide, sums deep enough to be split, a convolution, and some that cannot be copied so.
graph.model @tensor {
  func @halves(%a: f16[200, 136], %b: f16[136, 96]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
  func @brains(%a: bf16[72, 1000], %b: bf16[40, 1000], %bias: f32[40]) {
    %t = transpose %b
    %c = matmul %a, %t, to = f32
    %y = add %c, %bias
    %z = relu %y
    return %z
  }
  func @turned(%a: bf16[3, 56, 104], %b: bf16[3, 88, 56]) {
    %at = transpose %a
    %bt = transpose %b
    %c = matmul %at, %bt, to = f32
    return %c
  }
  func @words(%a: f32[3, 60, 100], %b: f32[3, 60, 44]) {
    %at = transpose %a
    %c = matmul %at, %b
    return %c
  }
  func @deep(%a: f32[20, 3000], %b: f32[24, 3000]) {
    %t = transpose %b
    %c = matmul %a, %t
    return %c
  }
  func @large(%a: f32[1032, 40], %b: f32[40, 1100]) {
    %c = matmul %a, %b
    return %c
  }
  func @image(%x: f32[2, 9, 11, 8], %w: f32[3, 3, 8, 20]) {
    %c = conv %x, %w, stride = [2, 1], padding = same
    return %c
  }
  func @heads(%q: f32[2, 24, 3, 20], %k: f32[2, 32, 3, 20]) {
    %c = einsum "bqhd,bkhd->bhqk", %q, %k
    return %c
  }
  // Rows of 25 elements begin at no multiple of 16 bytes.
  func @uneven(%a: f32[40, 25], %b: f32[25, 40]) {
    %c = matmul %a, %b
    return %c
  }
  func @steps(%x: f32[5, 24, 20], %w: f32[20, 20], %c: f32[24, 20]) {
    %last = for %xt in %x carry (%s = %c) {
      %u = matmul %s, %w
      %v = add %u, %xt
      %n = tanh %v
      yield %n
    }
    return %last
  }
  // As many tiles of 128 x 256 as an A100 has multiprocessors.
  func @wide(%a: f16[1500, 72], %b: f16[72, 2296], %bias: f32[2296]) {
    %c = matmul %a, %b, to = f32
    %y = add %c, %bias
    return %y
  }
  func @wide_words(%a: f32[1500, 72], %b: f32[2296, 72]) {
    %t = transpose %b
    %c = matmul %a, %t
    return %c
  }
}
