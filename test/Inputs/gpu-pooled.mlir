// Ops that hand each other small rows of large images.
graph.model @pooled {
  func @pooled(%x: f32[batch, 64, 64, 24]) {
    %p = max_pool %x, window = [32, 32]
    %q = tanh %p
    %s = reduce_sum %q, axes = [1, 2]
    return %s
  }
}
