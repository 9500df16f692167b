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
  // Each channel by itself, then each pixel.
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

    %a.w = param f32[3, 3, 1, 32] = he_normal
    %a.c = conv %s, %a.w, groups = 32, padding = same
    %a = call @mix(%a.c) as "a.mix", out = 64

    %b.w = param f32[3, 3, 1, 64] = he_normal
    %b.rows = pad %a, axis = 1, low = 1, high = 1
    %b.x = pad %b.rows, axis = 2, low = 1, high = 1
    %b.c = conv %b.x, %b.w, groups = 64, stride = [2, 2]
    %b = call @mix(%b.c) as "b.mix", out = 128

    %c.w = param f32[3, 3, 1, 128] = he_normal
    %c.c = conv %b, %c.w, groups = 128, padding = same
    %c = call @mix(%c.c) as "c.mix", out = 128

    %d.w = param f32[3, 3, 1, 128] = he_normal
    %d.rows = pad %c, axis = 1, low = 1, high = 1
    %d.x = pad %d.rows, axis = 2, low = 1, high = 1
    %d.c = conv %d.x, %d.w, groups = 128, stride = [2, 2]
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
