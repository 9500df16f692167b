// A recurrent network (Hochreiter and Schmidhuber 1997) that learns to predict the next character of a text, from its
// bytes. Train it on any file: gradus train docs/examples/lstm.mlir --data=/usr/share/common-licenses/GPL-3 --epochs=20
graph.model @lstm {
  %letters = param f32[256, 64] = normal(std = 0.1)
  %wx = param f32[64, 512] = glorot_uniform
  %wh = param f32[128, 512] = glorot_uniform
  %bias = param f32[512] = zeros

  // What a step forgets, adds and shows of its memory.
  func @gates(%x: f32[batch, 64], %h: f32[batch, 128]) {
    %from_x = linear %x, %wx, %bias
    %from_h = matmul %h, %wh
    %all = add %from_x, %from_h
    %forget, %input, %output, %new = split %all, parts = 4
    %f = sigmoid %forget
    %i = sigmoid %input
    %o = sigmoid %output
    %n = tanh %new
    return %f, %i, %o, %n
  }
  func @logits(%text: i32[batch, time]) {
    %x = embedding %letters, %text
    %zero = constant f32[] = 0.0
    %h0 = broadcast %zero, to = f32[batch, 128]
    %h, %m, %hs = for %xt in %x, axis = 1 carry (%s = %h0, %memory = %h0) {
      %f, %i, %o, %n = call @gates(%xt, %s)
      %kept = mul %f, %memory
      %added = mul %i, %n
      %memory2 = add %kept, %added
      %shown = tanh %memory2
      %s2 = mul %o, %shown
      yield %s2, %memory2 stack %s2
    }
    %y = call @std.dense(%hs) as "head", out = 256
    return %y
  }
  func @loss(%text: i32[batch, 65]) {
    %x = slice %text, axis = 1, start = 0, length = 64
    %next = slice %text, axis = 1, start = 1, length = 64
    %y = call @logits(%x)
    %l = cross_entropy %y, %next
    return %l
  }
  train @fit minimizes @loss using adam(lr = 3.0e-3)
}
