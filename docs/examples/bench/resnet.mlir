// A residual network of 18 layers (He et al. 2015) for inference, its batch norms folded into the convolutions.
graph.model @resnet {
  func @same(%x: f32[batch, height, width, channels]) {
    %w = param f32[3, 3, channels, channels] = he_normal
    %b = param f32[channels] = zeros
    %c = conv %x, %w, padding = same
    %y = add %c, %b
    return %y
  }
  // Half as many rows and columns.
  func @down(%x: f32[batch, height, width, in]) {
    %w = param f32[3, 3, in, out] = he_normal
    %b = param f32[out] = zeros
    %rows = pad %x, axis = 1, low = 1, high = 1
    %padded = pad %rows, axis = 2, low = 1, high = 1
    %c = conv %padded, %w, stride = [2, 2]
    %y = add %c, %b
    return %y
  }
  func @project(%x: f32[batch, height, width, in]) {
    %w = param f32[1, 1, in, out] = he_normal
    %b = param f32[out] = zeros
    %c = conv %x, %w, stride = [2, 2]
    %y = add %c, %b
    return %y
  }
  func @block(%x: f32[batch, height, width, channels]) {
    %c1 = call @same(%x)
    %a = relu %c1
    %c2 = call @same(%a)
    %s = add %c2, %x
    %y = relu %s
    return %y
  }
  func @stem(%x: f32[batch, 224, 224, 3]) {
    %w = param f32[7, 7, 3, 64] = he_normal
    %b = param f32[64] = zeros
    %rows = pad %x, axis = 1, low = 3, high = 3
    %padded = pad %rows, axis = 2, low = 3, high = 3
    %c = conv %padded, %w, stride = [2, 2]
    %s = add %c, %b
    %a = relu %s
    // Zeros do no harm behind a relu.
    %r = pad %a, axis = 1, low = 1, high = 1
    %p = pad %r, axis = 2, low = 1, high = 1
    %y = max_pool %p, window = [3, 3], stride = [2, 2]
    return %y
  }
  func @logits(%x: f32[batch, 224, 224, 3]) -> f32[batch, 1000] {
    %stem = call @stem(%x)
    %a0 = call @block(%stem) as "a.0"
    %a1 = call @block(%a0) as "a.1"
    %b.down = call @down(%a1), out = 128
    %b.act = relu %b.down
    %b.same = call @same(%b.act)
    %b.project = call @project(%a1), out = 128
    %b.sum = add %b.same, %b.project
    %b0 = relu %b.sum
    %b1 = call @block(%b0) as "b.1"
    %c.down = call @down(%b1), out = 256
    %c.act = relu %c.down
    %c.same = call @same(%c.act)
    %c.project = call @project(%b1), out = 256
    %c.sum = add %c.same, %c.project
    %c0 = relu %c.sum
    %c1 = call @block(%c0) as "c.1"
    %d.down = call @down(%c1), out = 512
    %d.act = relu %d.down
    %d.same = call @same(%d.act)
    %d.project = call @project(%c1), out = 512
    %d.sum = add %d.same, %d.project
    %d0 = relu %d.sum
    %d1 = call @block(%d0) as "d.1"
    %pooled = reduce_mean %d1, axes = [1, 2]
    %fc = call @std.dense(%pooled), out = 1000
    return %fc
  }
}
