// A classifier of 4 x 4 images.
graph.model @tiny {
  func @logits(%x: f32[batch, 16]) {
    %h = call @std.dense(%x), out = 8
    %a = relu %h
    %y = call @std.dense(%a), out = 4
    return %y
  }
  func @loss(%x: f32[batch, 16], %label: i32[batch]) {
    %y = call @logits(%x)
    %loss = cross_entropy %y, %label
    return %loss
  }
  func @accuracy(%x: f32[batch, 16], %label: i32[batch]) {
    %y = call @logits(%x)
    %accuracy = call @std.accuracy(%y, %label)
    return %accuracy
  }
  train @fit minimizes @loss using adam(lr = 1.0e-2) reports @accuracy
}
