// Products of tensor cores whose operands can be packed: lines that begin anywhere, f32 that is rounded or split, batches that
// share an operand, the windows of a convolution, a sum that is split.
graph.model @packed {
  func @round(%a: f32[131, 49], %b: f32[49, 203], %bias: f32[203]) {
    %c = matmul %a, %b
    %y = add %c, %bias
    return %y
  }
  func @batched(%a: f32[2, 70, 100], %b: f32[90, 100]) {
    %t = transpose %b
    %c = matmul %a, %t
    return %c
  }
  func @turned(%a: f32[3, 101, 52], %b: f32[3, 101, 140]) {
    %t = transpose %a
    %c = matmul %t, %b
    return %c
  }
  func @uneven(%a: bf16[40, 1333], %b: bf16[1333, 41]) {
    %c = matmul %a, %b, to = f32
    return %c
  }
  func @image(%x: f32[2, 13, 11, 3], %w: f32[3, 3, 3, 52]) {
    %c = conv %x, %w, padding = same
    return %c
  }
  func @slices(%x: f32[5, 24, 20], %w: f32[20, 20], %c: f32[24, 20]) {
    %last = for %xt in %x carry (%s = %c) {
      %u = matmul %xt, %w
      %v = add %u, %s
      %n = tanh %v
      yield %n
    }
    return %last
  }
}
