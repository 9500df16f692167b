// A step whose launches are few, and of which many need not wait for each other: a layer norm, three layers of the same
// input, their sum's softmax.
graph.model @launches {
  func @loss(%x: f32[6, 8, 32], %y: f32[6, 8, 24]) {
    %n = call @std.norm(%x)
    %a = call @std.dense(%n) as "a", out = 24
    %b = call @std.dense(%n) as "b", out = 24
    %c = call @std.dense(%n) as "c", out = 24
    %d = tanh %b
    %e = mul %a, %d
    %f = add %e, %c
    %p = softmax %f
    %loss = mse %p, %y
    return %loss
  }
  train @fit minimizes @loss using adam(lr = 1.0e-3)
}
