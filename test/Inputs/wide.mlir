// A classifier of 4 x 4 images whose kernels are large enough for several threads: a convolution, products that fall
// unevenly into parts, a row-wise norm.
graph.model @wide {
  func @logits(%x: f32[batch, 16]) {
    %image = reshape %x, to = f32[batch, 4, 4, 1]
    %c = call @std.conv(%image), out = 50, kh = 3, kw = 3
    %a = relu %c
    %p = max_pool %a, window = [2, 2]
    %flat = reshape %p, to = f32[batch, 200]
    %h = call @std.dense(%flat), out = 413
    %n = call @std.norm(%h)
    %g = gelu %n
    %y = call @std.dense(%g), out = 4
    return %y
  }
  func @loss(%x: f32[batch, 16], %label: i32[batch]) {
    %y = call @logits(%x)
    %loss = cross_entropy %y, %label
    return %loss
  }
  train @fit minimizes @loss using adam(lr = 1.0e-2)
}
