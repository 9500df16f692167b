// Products that a GPU runs in tiles: sizes that no tile divides, every way that operands lie, sums deep enough to be split,
// convolutions, and what follows a product in its kernel.
graph.model @products {
  func @odd(%a: f32[37, 53], %b: f32[53, 70]) {
    %c = matmul %a, %b
    return %c
  }
  func @turned(%a: f32[3, 29, 41], %b: f32[3, 33, 29]) {
    %at = transpose %a
    %bt = transpose %b
    %c = matmul %at, %bt
    return %c
  }
  func @letters(%q: f32[2, 18, 3, 20], %k: f32[2, 17, 3, 20]) {
    %c = einsum "bqhd,bkhd->bhqk", %q, %k
    return %c
  }
  func @large(%a: f32[1030, 40], %b: f32[40, 1100]) {
    %c = matmul %a, %b
    return %c
  }
  func @deep(%a: f32[20, 3001], %b: f32[3001, 24], %bias: f32[24]) {
    %c = matmul %a, %b
    %y = add %c, %bias
    %z = relu %y
    return %z
  }
  func @image(%x: f32[2, 13, 11, 3], %w: f32[3, 5, 3, 17]) {
    %c = conv %x, %w, stride = [2, 1], dilation = [1, 2], padding = same
    return %c
  }
  func @layer(%x: f32[65, 129], %w: f32[129, 66], %b: f32[66]) {
    %h = matmul %x, %w
    %y = add %h, %b
    %z = gelu %y
    return %z
  }
  func @total(%x: f32[19, 23], %w: f32[23, 31]) {
    %y = matmul %x, %w
    %t = tanh %y
    %s = reduce_sum %t
    return %s
  }
  func @gradient(%x: f32[19, 23], %w: f32[23, 31]) {
    %s, %dx, %dw = value_and_grad @total(%x, %w) wrt %x, %w
    return %dx, %dw
  }
  func @narrow(%a: bf16[40, 50], %b: bf16[50, 35]) {
    %c = matmul %a, %b
    return %c
  }
  func @double(%a: f64[19, 67], %b: f64[67, 33]) {
    %c = matmul %a, %b
    return %c
  }
  func @whole(%a: i8[20, 30], %b: i8[30, 40]) {
    %c = matmul %a, %b
    return %c
  }
}
