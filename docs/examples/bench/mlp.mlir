// The three-layer classifier that `./dev bench` trains beside the peers': batch 128, Adam.
graph.model @mlp {
  func @logits(%x: f32[batch, 784]) -> f32[batch, 10] {
    %fc1 = call @std.dense(%x), out = 512
    %act1 = relu %fc1
    %fc2 = call @std.dense(%act1), out = 256
    %act2 = relu %fc2
    %fc3 = call @std.dense(%act2), out = 10
    return %fc3
  }
  func @loss(%x: f32[batch, 784], %label: i32[batch]) {
    %y = call @logits(%x)
    %loss = cross_entropy %y, %label
    return %loss
  }
  train @fit minimizes @loss using adam(lr = 1.0e-3)
}
