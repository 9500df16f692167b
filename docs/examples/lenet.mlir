// A convolutional classifier of 28 x 28 images (after LeCun et al. 1998).
graph.model @lenet {
  func @logits(%x: f32[batch, 784]) -> f32[batch, 10] {
    %image = reshape %x, to = f32[batch, 28, 28, 1]
    %conv1 = call @std.conv(%image), out = 16, kh = 5, kw = 5
    %act1 = relu %conv1
    %pool1 = max_pool %act1, window = [2, 2]
    %conv2 = call @std.conv(%pool1), out = 32, kh = 5, kw = 5
    %act2 = relu %conv2
    %pool2 = max_pool %act2, window = [2, 2]
    %flat = reshape %pool2, to = f32[batch, 1568]
    %fc1 = call @std.dense(%flat), out = 128
    %act3 = relu %fc1
    %fc2 = call @std.dense(%act3), out = 10
    return %fc2
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
