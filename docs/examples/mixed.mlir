// The classifier of mlp.mlir in mixed precision: parameters and sums in f32, products of bf16.
graph.model @mixed {
  func @dense(%x: f32[batch, in]) -> f32[batch, out] {
    %w = param f32[in, out] = he_normal(seed = 1)
    %b = param f32[out] = zeros
    %x16 = cast %x, to = bf16
    %w16 = cast %w, to = bf16
    %p = matmul %x16, %w16, to = f32
    %y = add %p, %b
    return %y
  }
  func @logits(%x: f32[batch, 784]) -> f32[batch, 10] {
    %h = call @dense(%x) as "fc1", out = 256
    %a = relu %h
    %y = call @dense(%a) as "fc2", out = 10
    return %y
  }
  func @loss(%x: f32[batch, 784], %label: i32[batch]) {
    %y = call @logits(%x)
    %loss = cross_entropy %y, %label
    return %loss
  }
  func @accuracy(%x: f32[batch, 784], %label: i32[batch]) {
    %y = call @logits(%x)
    %accuracy = call @std.accuracy(%y, %label)
    return %accuracy
  }
  train @fit minimizes @loss using adam(lr = 1.0e-3) reports @accuracy
}
