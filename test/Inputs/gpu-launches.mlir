// A step whose launches are few, and of which many need not wait for each other: a layer norm, three layers of the same
// input, their sum's softmax.
graph.model @launches {
  func @loss(%x: f32[6, 8, 32], %y: f32[6, 8, 96]) {
    %n = call @std.norm(%x)
    %a = call @std.dense(%n) as "a", out = 96
    %b = call @std.dense(%n) as "b", out = 96
    %c = call @std.dense(%n) as "c", out = 96
    %d = tanh %b
    %e = mul %a, %d
    %f = add %e, %c
    %p = softmax %f
    %loss = mse %p, %y
    return %loss
  }
  train @fit minimizes @loss using adam(lr = 1.0e-3)
}
