// Loops and branches of every kind, each with a loss.
graph.model @loops {
  %wx = param f32[8, 16] = glorot_uniform(seed = 1)
  %wh = param f32[16, 16] = glorot_uniform(seed = 2)
  %bias = param f32[16] = zeros

  // A recurrent network over axis 1; all states count.
  func @rnn(%x: f32[batch, 10, 8], %h0: f32[batch, 16]) {
    %h, %hs = for %xt in %x, axis = 1 carry (%s = %h0) {
      %u = linear %xt, %wx, %bias
      %v = matmul %s, %wh
      %a = add %u, %v
      %s2 = tanh %a
      yield %s2 stack %s2
    }
    %q = mul %hs, %hs
    %n = reduce_sum %q
    %m = reduce_sum %h
    %l = add %n, %m
    return %l
  }
  // Backwards in time, with the counter; two carries that change places.
  func @swap(%x: f32[5, 3], %y: f32[3]) {
    %zero = sub %y, %y
    %a, %b, %all = for %i in 5, %xt in %x, reverse carry (%p = %y, %q = %zero) {
      %n = cast %i, to = f32
      %m = mul %xt, %n
      %r = sin %m
      %t = mul %p, %r
      %u = add %t, %q
      yield %u, %p stack %t
    }
    %c = mul %a, %b
    %d = mul %all, %all
    %e = reduce_sum %c
    %f = reduce_sum %d
    %l = add %e, %f
    return %l
  }
  // A loop in a loop, then a branch.
  func @nested(%x: f32[4, 5], %w: f32[5, 5], %k: f32[]) {
    %h = for %i in 5 carry (%s = %x) {
      %t = for %j in 3 carry (%r = %s) {
        %a = matmul %r, %w
        %b = tanh %a
        %c = mul %b, %k
        yield %c
      }
      %u = add %t, %s
      yield %u
    }
    %q = mul %h, %h
    %n = reduce_sum %q
    %most = constant f32[] = 3.0
    %p = compare lt, %n, %most
    %y = if %p {
      %z = exp %h
      yield %z
    } else {
      %z = mul %q, %k
      yield %z
    }
    %l = reduce_sum %y
    return %l
  }
  // The square root of 1 + a^2 by Newton's method: as many steps as it takes.
  func @newton(%a: f32[]) {
    %one = constant f32[] = 1.0
    %square = mul %a, %a
    %radicand = add %square, %one
    %half = constant f32[] = 0.5
    %small = constant f32[] = 1.0e-6
    %r, %gap = while limit = 20 carry (%s = %one, %e = %one) {
      %go = compare gt, %e, %small
      yield %go
    } do {
      %d = div %radicand, %s
      %sum = add %s, %d
      %t = mul %sum, %half
      %change = sub %t, %s
      %e2 = abs %change
      yield %t, %e2
    }
    return %r
  }
  func @newton_slope(%a: f32[]) {
    %r, %d = value_and_grad @newton(%a) wrt %a
    return %r, %d
  }
  // A loop in a branch in a loop; the branch depends on the counter.
  func @every_other(%x: f32[6, 3]) {
    %one = constant i32[] = 1
    %two = constant i32[] = 2
    %first = reduce_sum %x, axes = [0]
    %y, %parts = for %i in 6, %xt in %x carry (%s = %first) {
      %half = div %i, %two
      %even = mul %half, %two
      %odd = sub %i, %even
      %p = compare eq, %odd, %one
      %t, %u = if %p {
        %v = for %j in 2 carry (%r = %s) {
          %m = mul %r, %xt
          %z = cos %m
          yield %z
        }
        yield %v, %s
      } else {
        yield %s, %xt
      }
      yield %t stack %u
    }
    %q = mul %parts, %parts
    %n = reduce_sum %q
    %m = reduce_sum %y
    %l = add %n, %m
    return %l
  }
  // A layer in a loop has one set of weights.
  func @deep(%x: f32[batch, 16]) {
    %h = for %i in 4 carry (%s = %x) {
      %a = call @std.dense(%s) as "cell", out = 16
      %c = tanh %a
      yield %c
    }
    %l = reduce_mean %h
    return %l
  }
  // A layer repeated, in a layer repeated: weights of its own each time.
  func @cell(%x: f32[batch, 16], %k: f32[]) {
    %a = call @std.dense(%x), out = 16
    %c = tanh %a
    %s = mul %c, %k
    %y = add %x, %s
    return %y
  }
  func @pair(%x: f32[batch, 16], %k: f32[]) {
    %y = repeat 2 @cell(%x, %k) as "cell"
    return %y
  }
  func @tower(%x: f32[batch, 16]) {
    %k = constant f32[] = 0.5
    %h = repeat 3 @pair(%x, %k) as "tower"
    %l = reduce_mean %h
    return %l
  }
  // Second order: the curvature of a loss that a loop makes.
  func @slope(%x: f32[4, 5], %w: f32[5, 5], %k: f32[], %v: f32[5, 5]) {
    %loss, %g = value_and_grad @nested(%x, %w, %k) wrt %w
    %gv = mul %g, %v
    %d = reduce_sum %gv
    return %d
  }
  func @curvature(%x: f32[4, 5], %w: f32[5, 5], %k: f32[], %v: f32[5, 5]) {
    %zx = sub %x, %x
    %zk = sub %k, %k
    %zv = sub %v, %v
    %d, %dd = jvp @slope(%x, %w, %k, %v, %zx, %v, %zk, %zv)
    return %dd
  }
  // Forward mode through a loop that has no limit.
  func @endless(%a: f32[]) {
    %one = constant f32[] = 1.0
    %most = constant f32[] = 100.0
    %y = while carry (%s = %a) {
      %go = compare lt, %s, %most
      yield %go
    } do {
      %t = mul %s, %s
      %u = add %t, %one
      yield %u
    }
    return %y
  }
  func @endless_slope(%a: f32[], %t: f32[]) {
    %y, %d = jvp @endless(%a, %t)
    return %y, %d
  }
  // Reverse mode keeps blocks of steps: 11 are two of four and three more.
  func @checkpointed(%x: f32[11, 3], %y: f32[3]) {
    %z, %all = for %i in 11, %xt in %x, checkpoint carry (%s = %y) {
      %n = cast %i, to = f32
      %a = mul %xt, %s
      %b = add %a, %n
      %c = sin %b
      yield %c stack %c
    }
    %w, %back = for %i in 11, %ct in %all, reverse, checkpoint carry (%s = %z) {
      %n = cast %i, to = f32
      %a = mul %ct, %s
      %b = add %a, %n
      %c = cos %b
      yield %c stack %a
    }
    %q = mul %back, %all
    %m = reduce_sum %q
    %l = reduce_sum %w
    %sum = add %l, %m
    return %sum
  }
  func @checkpointed_slope(%x: f32[11, 3], %y: f32[3]) {
    %l, %d.x, %d.y = value_and_grad @checkpointed(%x, %y) wrt %x, %y
    return %l, %d.x, %d.y
  }
}
