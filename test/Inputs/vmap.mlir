// Functions of one example, called for many: inputs of test/gradient/vmap.test.
graph.model @many {
  %w = param f32[3, 4] = he_normal(seed = 1)
  %b = param f32[4] = normal(std = 0.1)
  %filter = param f32[2, 2, 1, 2] = normal(std = 0.5)

  func @net(%x: f32[3]) {
    %h = linear %x, %w, %b
    %y = tanh %h
    return %y
  }
  func @one(%x: f32[3], %y: f32[4]) {
    %p = call @net(%x)
    %l = mse %p, %y
    return %l
  }
  func @gradient(%x: f32[3], %y: f32[4]) {
    %l, %g = value_and_grad @one(%x, %y) wrt %w
    return %g
  }

  // The norms of the gradients of single examples, as in private training:
  // differentiated again by check-grad.
  func @norms(%xs: f32[batch, 3], %ys: f32[batch, 4]) {
    %g = vmap @gradient(%xs, %ys)
    %s = mul %g, %g
    %n = reduce_sum %s, axes = [1, 2]
    %r = sqrt %n
    %l = reduce_mean %r
    return %l
  }

  // Each matrix of examples with each scale: vmap in vmap.
  func @scaled(%x: f32[3], %s: f32[]) {
    %y = call @net(%x)
    %z = mul %y, %s
    %t = sin %z
    return %t
  }
  func @scales(%x: f32[3], %ss: f32[5]) {
    %y = vmap @scaled(%x, %ss) over %ss
    return %y
  }
  func @grid(%xs: f32[batch, 3], %ss: f32[5]) {
    %y = vmap @scales(%xs, %ss) over %xs
    %l = reduce_mean %y
    return %l
  }

  // Examples that take their own number of steps, and their own branch.
  func @steps(%x: f32[]) {
    %one = constant f32[] = 1.0
    %y = while limit = 6 carry (%s = %x) {
      %go = compare lt, %s, %one
      yield %go
    } do {
      %q = mul %s, %s
      %t = add %q, %s
      %u = add %t, %q
      yield %u
    }
    %p = compare gt, %x, %one
    %z = if %p {
      %n = neg %y
      yield %n
    } else {
      %r = for %i in 3 carry (%s = %y) {
        %t = sin %s
        yield %t
      }
      yield %r
    }
    return %z
  }
  func @ownSteps(%xs: f32[batch]) {
    %e = exp %xs
    %y = vmap @steps(%e)
    %l = reduce_mean %y
    return %l
  }

  // A filter of its own for each example.
  func @image(%x: f32[1, 4, 5, 1], %f: f32[2, 2, 1, 2]) {
    %c = conv %x, %f, padding = same
    %r = relu %c
    %p = max_pool %r, window = [2, 2]
    return %p
  }
  func @images(%x: f32[3, 1, 4, 5, 1], %fs: f32[3, 2, 2, 1, 2]) {
    %y = vmap @image(%x, %fs)
    %z = vmap @image(%x, %filter) over %x
    %d = sub %y, %z
    %s = mul %d, %d
    %l = reduce_mean %s
    return %l
  }

  // A gradient of one's own stays one.
  func @through(%x: f32[n], %s: f32[], %d: f32[n]) {
    %e = mul %d, %s
    %m = mul %d, %x
    %r = reduce_sum %m
    return %e, %r
  }
  func @round(%x: f32[n], %s: f32[]) gradient @through {
    %y = mul %x, %s
    return %y
  }
  func @rounded(%x: f32[3], %s: f32[]) {
    %y = call @round(%x, %s)
    %z = sin %y
    return %z
  }
  func @ownGradient(%xs: f32[batch, 3], %s: f32[]) {
    %y = vmap @rounded(%xs, %s) over %xs
    %l = reduce_mean %y
    return %l
  }

  func @pass(%x: f32[n], %d: f32[n]) {
    return %d
  }
  func @nearest(%x: f32[n]) gradient @pass {
    %half = constant f32[] = 0.5
    %s = add %x, %half
    %y = floor %s
    return %y
  }
  func @example(%x: f32[2]) {
    %y = call @nearest(%x)
    return %y
  }
  func @square(%xs: f32[2, 2]) {
    %y = vmap @example(%xs)
    %s = mul %y, %y
    %l = reduce_sum %s
    return %l
  }
  func @straightThrough(%xs: f32[2, 2]) {
    %l, %g = value_and_grad @square(%xs) wrt %xs
    return %g
  }

  // Derivatives of many numbers by many, differentiated again.
  func @jacobians(%x: f32[3]) {
    %j = jacobian @net(%x)
    %s = mul %j, %j
    %l = reduce_sum %s
    return %l
  }
  func @parameters(%x: f32[3], %y: f32[4]) {
    %j = jacobian @net(%x) wrt %b
    %t = mul %j, %y
    %s = mul %t, %t
    %l = reduce_sum %s
    return %l
  }
  func @curvature(%x: f32[3], %y: f32[4]) {
    %xx, %xy, %yx, %yy = hessian @one(%x, %y)
    %a = reduce_sum %xx
    %d = transpose %yx
    %e = mul %xy, %d
    %c = reduce_sum %e
    %f = mul %a, %c
    %g = reduce_sum %yy
    %l = add %f, %g
    return %l
  }
}
