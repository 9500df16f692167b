// Functions and a training step that make NaNs.
graph.model @nan {
  %w = param f32[4] = ones
  %v = param f32[16, 1] = normal(seed = 1)
  func @loss(%x: f32[4]) {
    %a = mul %x, %w
    %b = log %a
    %c = exp %b
    %l = reduce_sum %c
    return %l
  }
  func @slope(%x: f32[4]) {
    %l, %d = value_and_grad @loss(%x) wrt %w
    return %l, %d
  }
  func @norm(%x: f32[4]) {
    %q = mul %x, %x
    %s = sqrt %q
    %l = reduce_sum %s
    return %l
  }
  func @norm_slope(%x: f32[4]) {
    %l, %d = value_and_grad @norm(%x) wrt %x
    return %l, %d
  }
  func @log_loss(%x: f32[batch, 16], %label: i32[batch]) {
    %h = linear %x, %v
    %p = log %h
    %l = reduce_mean %p
    return %l
  }
  train @fit minimizes @log_loss using sgd(lr = 0.1)
}
