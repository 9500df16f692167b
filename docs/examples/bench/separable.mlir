// A network of separable convolutions (after Howard et al. 2017) with batch norms, trained on 64 x 64 images: SGD, batch 16.
graph.model @separable {
  func @norm(%x: f32[batch, height, width, channels]) {
    %gain = param f32[channels] = ones
    %bias = param f32[channels] = zeros
    %mean = reduce_mean %x, axes = [0, 1, 2]
    %centred = sub %x, %mean
    %square = mul %centred, %centred
    %variance = reduce_mean %square, axes = [0, 1, 2]
    %eps = constant f32[] = 1.0e-5
    %positive = add %variance, %eps
    %inverse = rsqrt %positive
    %scaled = mul %centred, %inverse
    %wide = mul %scaled, %gain
    %y = add %wide, %bias
    return %y
  }
  // Each channel by itself, with as many rows and columns or half of them.
  func @each(%x: f32[batch, height, width, channels]) {
    %w = param f32[3, 3, 1, channels] = he_normal
    %y = conv %x, %w, groups = channels, padding = same
    return %y
  }
  func @half(%x: f32[batch, height, width, channels]) {
    %w = param f32[3, 3, 1, channels] = he_normal
    %rows = pad %x, axis = 1, low = 1, high = 1
    %padded = pad %rows, axis = 2, low = 1, high = 1
    %y = conv %padded, %w, groups = channels, stride = [2, 2]
    return %y
  }
  // Then each pixel.
  func @mix(%x: f32[batch, height, width, in]) {
    %w = param f32[1, 1, in, out] = he_normal
    %n = call @norm(%x) as "before"
    %a = relu %n
    %c = conv %a, %w
    %m = call @norm(%c) as "after"
    %y = relu %m
    return %y
  }
  func @logits(%x: f32[batch, 64, 64, 3]) {
    %stem = call @std.conv(%x), out = 32, kh = 3, kw = 3
    %n = call @norm(%stem) as "stem"
    %s = relu %n

    %a.c = call @each(%s) as "a"
    %a = call @mix(%a.c) as "a.mix", out = 64
    %b.c = call @half(%a) as "b"
    %b = call @mix(%b.c) as "b.mix", out = 128
    %c.c = call @each(%b) as "c"
    %c = call @mix(%c.c) as "c.mix", out = 128
    %d.c = call @half(%c) as "d"
    %d = call @mix(%d.c) as "d.mix", out = 256

    %pooled = reduce_mean %d, axes = [1, 2]
    %fc = call @std.dense(%pooled), out = 10
    return %fc
  }
  func @loss(%x: f32[batch, 64, 64, 3], %label: i32[batch]) {
    %y = call @logits(%x) as ""
    %loss = cross_entropy %y, %label
    return %loss
  }
  train @fit minimizes @loss using sgd(lr = 1.0e-2)
}
