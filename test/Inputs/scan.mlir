// A recurrent network of 1000 steps, as it is and in blocks.
graph.model @scan {
  %wx = param f32[64, 128] = glorot_uniform(seed = 1)
  %wh = param f32[128, 128] = glorot_uniform(seed = 2)
  func @plain(%x: f32[1000, 32, 64], %h0: f32[32, 128]) {
    %h = for %xt in %x carry (%s = %h0) {
      %u = matmul %xt, %wx
      %v = matmul %s, %wh
      %a = add %u, %v
      %s2 = tanh %a
      yield %s2
    }
    %q = mul %h, %h
    %l = reduce_sum %q
    return %l
  }
  func @blocks(%x: f32[1000, 32, 64], %h0: f32[32, 128]) {
    %h = for %xt in %x, checkpoint carry (%s = %h0) {
      %u = matmul %xt, %wx
      %v = matmul %s, %wh
      %a = add %u, %v
      %s2 = tanh %a
      yield %s2
    }
    %q = mul %h, %h
    %l = reduce_sum %q
    return %l
  }
  func @plain_step(%x: f32[1000, 32, 64], %h0: f32[32, 128]) {
    %l, %a, %b = value_and_grad @plain(%x, %h0) wrt %wx, %wh
    return %l, %a, %b
  }
  func @blocks_step(%x: f32[1000, 32, 64], %h0: f32[32, 128]) {
    %l, %a, %b = value_and_grad @blocks(%x, %h0) wrt %wx, %wh
    return %l, %a, %b
  }
}
