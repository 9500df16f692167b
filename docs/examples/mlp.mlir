// A classifier of 28 x 28 images with one hidden layer, and how to train it.
graph.model @mlp {
  %fc1.w = param f32[784, 256] = he_normal(seed = 1)
  %fc1.b = param f32[256] = zeros
  %fc2.w = param f32[256, 10] = glorot_uniform(seed = 2)
  %fc2.b = param f32[10] = zeros

  func @logits(%x: f32[batch, 784]) -> f32[batch, 10] {
    %h = linear %x, %fc1.w, %fc1.b
    %a = relu %h
    %y = linear %a, %fc2.w, %fc2.b
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
