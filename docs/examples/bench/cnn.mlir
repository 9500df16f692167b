// The convolutional classifier that `./dev bench` trains beside the peers': batch 64, SGD.
graph.model @cnn {
  func @logits(%x: f32[batch, 28, 28, 1]) -> f32[batch, 10] {
    %c1 = call @std.conv(%x), out = 32, kh = 3, kw = 3
    %act1 = relu %c1
    %pool1 = max_pool %act1, window = [2, 2]
    %c2 = call @std.conv(%pool1), out = 64, kh = 3, kw = 3
    %act2 = relu %c2
    %pool2 = max_pool %act2, window = [2, 2]
    %flat = reshape %pool2, to = f32[batch, 3136]
    %fc1 = call @std.dense(%flat), out = 128
    %act3 = relu %fc1
    %fc2 = call @std.dense(%act3), out = 10
    return %fc2
  }
  func @loss(%x: f32[batch, 28, 28, 1], %label: i32[batch]) {
    %y = call @logits(%x)
    %loss = cross_entropy %y, %label
    return %loss
  }
  train @fit minimizes @loss using sgd(lr = 1.0e-2)
}
