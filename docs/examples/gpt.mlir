// A decoder-only transformer (after Radford et al. 2019): 4 layers of width 256, 4 heads; it learns to predict the next
// of 512 tokens.
graph.model @gpt {
  %tokens = param f32[512, 256] = normal(std = 2.0e-2)
  %positions = param f32[128, 256] = normal(std = 2.0e-2)
  %head = param f32[256, 512] = glorot_uniform

  func @heads(%x: f32[batch, time, 256]) {
    %y = reshape %x, to = f32[batch, time, 4, 64]
    return %y
  }
  func @attention(%x: f32[batch, time, 256]) {
    %q = call @std.dense(%x), out = 256
    %k = call @std.dense(%x), out = 256
    %v = call @std.dense(%x), out = 256
    %qh = call @heads(%q)
    %kh = call @heads(%k)
    %vh = call @heads(%v)
    %s = einsum "bqhd,bkhd->bhqk", %qh, %kh
    %scale = constant f32[] = 0.125
    %scaled = mul %s, %scale
    %row = iota to = i32[time, time], axis = 0
    %column = iota to = i32[time, time], axis = 1
    %seen = compare ge, %row, %column
    %never = constant f32[] = -1.0e30
    %masked = select %seen, %scaled, %never
    %p = softmax %masked
    %o = einsum "bhqk,bkhd->bqhd", %p, %vh
    %flat = reshape %o, to = f32[batch, time, 256]
    %proj = call @std.dense(%flat), out = 256
    return %proj
  }
  func @feed_forward(%x: f32[batch, time, 256]) {
    %fc = call @std.dense(%x), out = 1024
    %a = gelu %fc
    %out = call @std.dense(%a), out = 256
    return %out
  }
  func @block(%x: f32[batch, time, 256]) {
    %ln1 = call @std.norm(%x)
    %a = call @attention(%ln1) as "attention"
    %x1 = add %x, %a
    %ln2 = call @std.norm(%x1)
    %f = call @feed_forward(%ln2) as "feed_forward"
    %x2 = add %x1, %f
    return %x2
  }
  func @logits(%x: i32[batch, 128]) -> f32[batch, 128, 512] {
    %t = embedding %tokens, %x
    %h = add %t, %positions
    %h0 = call @block(%h) as "h.0"
    %h1 = call @block(%h0) as "h.1"
    %h2 = call @block(%h1) as "h.2"
    %h3 = call @block(%h2) as "h.3"
    %norm = call @std.norm(%h3)
    %y = linear %norm, %head
    return %y
  }
  func @loss(%x: i32[batch, 128], %next: i32[batch, 128]) {
    %y = call @logits(%x)
    %loss = cross_entropy %y, %next
    return %loss
  }
  train @fit minimizes @loss using adam(lr = 1.0e-3)

  // A text, of which every next byte is to be told. Train it on any file:
  // gradus train docs/examples/gpt.mlir --function=read --data=/usr/share/common-licenses/GPL-3 --batch=8 --epochs=5
  func @next_byte(%text: i32[batch, 129]) {
    %x = slice %text, axis = 1, start = 0, length = 128
    %next = slice %text, axis = 1, start = 1, length = 128
    %loss = call @loss(%x, %next)
    return %loss
  }
  train @read minimizes @next_byte using adam(lr = 1.0e-3)
}
