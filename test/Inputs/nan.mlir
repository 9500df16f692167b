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
  // Takes the logarithm of what falls by 1: below 0 in some step.
  func @falling(%x: f32[4]) {
    %one = constant f32[] = 1.0
    %y = for %t in 6 carry (%c = %x) {
      %pair = for %k in 2 carry (%e = %c) {
        %p = log %e
        %zero = sub %p, %p
        %d = sub %e, %one
        %n = add %d, %zero
        yield %n
      }
      yield %pair
    }
    %l = reduce_sum %y
    return %l
  }
  func @falling_slope(%x: f32[4]) {
    %l, %d = value_and_grad @falling(%x) wrt %x
    return %d
  }
  // The root's slope is infinite at 0, times 0.
  func @roots(%x: f32[4]) {
    %zero = constant f32[] = 0.0
    %y = while limit = 5 carry (%c = %x) {
      %m = reduce_max %c
      %go = compare gt, %m, %zero
      yield %go
    } do {
      %q = mul %c, %c
      %r = sqrt %q
      %h = sub %r, %r
      yield %h
    }
    %l = reduce_sum %y
    return %l
  }
  func @roots_slope(%x: f32[4]) {
    %l, %d = value_and_grad @roots(%x) wrt %x
    return %d
  }
  func @log_loss(%x: f32[batch, 16], %label: i32[batch]) {
    %h = linear %x, %v
    %p = log %h
    %l = reduce_mean %p
    return %l
  }
  train @fit minimizes @log_loss using sgd(lr = 0.1)
}
