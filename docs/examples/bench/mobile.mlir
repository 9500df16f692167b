// A network of separable convolutions for 224 x 224 images (Howard et al. 2017) for inference, its batch norms folded into the
// convolutions.
graph.model @mobile {
  // Each channel by itself, with as many rows and columns or half of them; then each pixel.
  func @each(%x: f32[batch, height, width, channels]) {
    %w = param f32[3, 3, 1, channels] = he_normal
    %b = param f32[channels] = zeros
    %c = conv %x, %w, groups = channels, padding = same
    %s = add %c, %b
    %y = relu %s
    return %y
  }
  func @half(%x: f32[batch, height, width, channels]) {
    %w = param f32[3, 3, 1, channels] = he_normal
    %b = param f32[channels] = zeros
    %rows = pad %x, axis = 1, low = 1, high = 1
    %padded = pad %rows, axis = 2, low = 1, high = 1
    %c = conv %padded, %w, groups = channels, stride = [2, 2]
    %s = add %c, %b
    %y = relu %s
    return %y
  }
  func @mix(%x: f32[batch, height, width, in]) {
    %w = param f32[1, 1, in, out] = he_normal
    %b = param f32[out] = zeros
    %c = conv %x, %w
    %s = add %c, %b
    %y = relu %s
    return %y
  }
  func @stem(%x: f32[batch, 224, 224, 3]) {
    %w = param f32[3, 3, 3, 32] = he_normal
    %b = param f32[32] = zeros
    %rows = pad %x, axis = 1, low = 1, high = 1
    %padded = pad %rows, axis = 2, low = 1, high = 1
    %c = conv %padded, %w, stride = [2, 2]
    %s = add %c, %b
    %y = relu %s
    return %y
  }
  func @logits(%x: f32[batch, 224, 224, 3]) -> f32[batch, 1000] {
    %stem = call @stem(%x)
    %d1 = call @each(%stem)
    %p1 = call @mix(%d1), out = 64
    %d2 = call @half(%p1)
    %p2 = call @mix(%d2), out = 128
    %d3 = call @each(%p2)
    %p3 = call @mix(%d3), out = 128
    %d4 = call @half(%p3)
    %p4 = call @mix(%d4), out = 256
    %d5 = call @each(%p4)
    %p5 = call @mix(%d5), out = 256
    %d6 = call @half(%p5)
    %p6 = call @mix(%d6), out = 512
    %d7 = call @each(%p6)
    %p7 = call @mix(%d7), out = 512
    %d8 = call @each(%p7)
    %p8 = call @mix(%d8), out = 512
    %d9 = call @each(%p8)
    %p9 = call @mix(%d9), out = 512
    %d10 = call @each(%p9)
    %p10 = call @mix(%d10), out = 512
    %d11 = call @each(%p10)
    %p11 = call @mix(%d11), out = 512
    %d12 = call @half(%p11)
    %p12 = call @mix(%d12), out = 1024
    %d13 = call @each(%p12)
    %p13 = call @mix(%d13), out = 1024
    %pooled = reduce_mean %p13, axes = [1, 2]
    %fc = call @std.dense(%pooled), out = 1000
    return %fc
  }
}
