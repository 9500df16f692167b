// The standard library, in the model language: `call @std.NAME(...)`.
graph.model @std {

  //--- Optimisers: the next value of a parameter, given its gradient. A trainer passes the step's number (1, 2, ..)
  //--- to one that has an argument %step.

  func @mix(%old: f32[shape...], %new: f32[shape...], %keep: f32[]) {
    %one = constant f32[] = 1.0
    %take = sub %one, %keep
    %a = mul %old, %keep
    %b = mul %new, %take
    %r = add %a, %b
    return %r
  }
  func @debias(%x: f32[shape...], %beta: f32[], %step: f32[]) {
    %one = constant f32[] = 1.0
    %p = pow %beta, %step
    %c = sub %one, %p
    // Divides once, not each element.
    %inverse = div %one, %c
    %r = mul %x, %inverse
    return %r
  }
  func @sgd(%w: f32[shape...], %g: f32[shape...], %lr: f32[] = 1.0e-2) {
    %d = mul %g, %lr
    %next = sub %w, %d
    return %next
  }
  // Heavy ball (Polyak 1964).
  func @momentum(%w: f32[shape...], %g: f32[shape...], %lr: f32[] = 1.0e-2, %beta: f32[] = 0.9) {
    %v = state f32[shape...] = zeros
    %kept = mul %v, %beta
    %v.next = add %kept, %g
    update %v, %v.next
    %next = call @sgd(%w, %v.next, %lr)
    return %next
  }
  // Kingma and Ba 2014.
  func @adam.direction(%g: f32[shape...], %step: f32[], %beta1: f32[], %beta2: f32[], %eps: f32[]) {
    %m = state f32[shape...] = zeros
    %v = state f32[shape...] = zeros
    %m.next = call @mix(%m, %g, %beta1)
    %g2 = mul %g, %g
    %v.next = call @mix(%v, %g2, %beta2)
    update %m, %m.next
    update %v, %v.next
    %m.hat = call @debias(%m.next, %beta1, %step)
    %v.hat = call @debias(%v.next, %beta2, %step)
    %root = sqrt %v.hat
    %scale = add %root, %eps
    %direction = div %m.hat, %scale
    return %direction
  }
  func @adam(%w: f32[shape...], %g: f32[shape...], %step: f32[], %lr: f32[] = 1.0e-3,
             %beta1: f32[] = 0.9, %beta2: f32[] = 0.999, %eps: f32[] = 1.0e-8) {
    %direction = call @adam.direction(%g, %step, %beta1, %beta2, %eps) as ""
    %next = call @sgd(%w, %direction, %lr)
    return %next
  }
  // Adam with decoupled weight decay (Loshchilov and Hutter 2017).
  func @adamw(%w: f32[shape...], %g: f32[shape...], %step: f32[], %lr: f32[] = 1.0e-3, %decay: f32[] = 1.0e-2,
              %beta1: f32[] = 0.9, %beta2: f32[] = 0.999, %eps: f32[] = 1.0e-8) {
    %direction = call @adam.direction(%g, %step, %beta1, %beta2, %eps) as ""
    %shrink = mul %w, %decay
    %both = add %direction, %shrink
    %next = call @sgd(%w, %both, %lr)
    return %next
  }

  //--- Layers.

  func @dense(%x: f32[batch..., in]) {
    %w = param f32[in, out] = he_normal
    %b = param f32[out] = zeros
    %y = linear %x, %w, %b
    return %y
  }
  // A 3 x 3 or other odd filter is `call @std.conv(%x), out = 32, kh = 3, kw = 3`.
  func @conv(%x: f32[batch, height, width, in]) {
    %w = param f32[kh, kw, in, out] = he_normal
    %b = param f32[out] = zeros
    %c = conv %x, %w, padding = same
    %y = add %c, %b
    return %y
  }
  // Each channel by itself: `call @std.depthwise(%x), kh = 3, kw = 3`.
  func @depthwise(%x: f32[batch, height, width, channels]) {
    %w = param f32[kh, kw, 1, channels] = he_normal
    %b = param f32[channels] = zeros
    %c = conv %x, %w, groups = channels, padding = same
    %y = add %c, %b
    return %y
  }
  func @norm(%x: f32[batch..., width]) {
    %gain = param f32[width] = ones
    %bias = param f32[width] = zeros
    %y = layer_norm %x, %gain, %bias
    return %y
  }
  func @mlp(%x: f32[batch..., in]) {
    %up.w = param f32[in, hidden] = he_normal
    %up.b = param f32[hidden] = zeros
    %down.w = param f32[hidden, out] = glorot_uniform
    %down.b = param f32[out] = zeros
    %h = linear %x, %up.w, %up.b
    %a = gelu %h
    %y = linear %a, %down.w, %down.b
    return %y
  }
  func @scores(%q: f32[batch, heads, time, depth], %k: f32[batch, heads, time, depth]) {
    %s = einsum "bhqd,bhkd->bhqk", %q, %k
    %n = size %q, axis = 3
    %r = rsqrt %n
    %scaled = mul %s, %r
    return %scaled
  }
  // Multi-head attention (Vaswani et al. 2017): `call @std.attention(%x), heads = 4, depth = 16`.
  func @attention(%x: f32[batch, time, width]) {
    %q.w = param f32[width, heads, depth] = glorot_uniform
    %k.w = param f32[width, heads, depth] = glorot_uniform
    %v.w = param f32[width, heads, depth] = glorot_uniform
    %o.w = param f32[heads, depth, width] = glorot_uniform
    %q = einsum "btw,whd->bhtd", %x, %q.w
    %k = einsum "btw,whd->bhtd", %x, %k.w
    %v = einsum "btw,whd->bhtd", %x, %v.w
    %s = call @scores(%q, %k)
    %p = softmax %s
    %o = einsum "bhqk,bhkd->bqhd", %p, %v
    %y = einsum "bqhd,hdw->bqw", %o, %o.w
    return %y
  }
  // No position sees a later one.
  func @causal_attention(%x: f32[batch, time, width]) {
    %q.w = param f32[width, heads, depth] = glorot_uniform
    %k.w = param f32[width, heads, depth] = glorot_uniform
    %v.w = param f32[width, heads, depth] = glorot_uniform
    %o.w = param f32[heads, depth, width] = glorot_uniform
    %q = einsum "btw,whd->bhtd", %x, %q.w
    %k = einsum "btw,whd->bhtd", %x, %k.w
    %v = einsum "btw,whd->bhtd", %x, %v.w
    %s = call @scores(%q, %k)
    %row = iota to = i32[time, time], axis = 0
    %column = iota to = i32[time, time], axis = 1
    %seen = compare ge, %row, %column
    %never = constant f32[] = -1.0e30
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "bhqk,bhkd->bqhd", %p, %v
    %y = einsum "bqhd,hdw->bqw", %o, %o.w
    return %y
  }

  //--- Metrics.

  func @accuracy(%logits: f32[batch..., class], %labels: i32[batch...]) {
    %guess = argmax %logits
    %right = compare eq, %guess, %labels
    %hits = cast %right, to = f32
    %share = reduce_mean %hits
    return %share
  }
}
