// A small encoder (after Devlin et al. 2018): 2 layers of width 128, 2 heads; the last layer's states of 128 tokens.
graph.model @bert {
  %tokens = param f32[30522, 128] = normal(std = 2.0e-2)
  %positions = param f32[128, 128] = normal(std = 2.0e-2)

  func @attention(%x: f32[batch, time, 128]) {
    %q = call @std.dense(%x), out = 128
    %k = call @std.dense(%x), out = 128
    %v = call @std.dense(%x), out = 128
    %qh = rearrange "b t (h d) -> b h t d", %q, h = 2
    %kh = rearrange "b t (h d) -> b h t d", %k, h = 2
    %vh = rearrange "b t (h d) -> b h t d", %v, h = 2
    %s = call @std.scores(%qh, %kh)
    %p = softmax %s
    %o = einsum "bhqk,bhkd->bqhd", %p, %vh
    %flat = rearrange "b t h d -> b t (h d)", %o
    %proj = call @std.dense(%flat), out = 128
    return %proj
  }
  func @block(%x: f32[batch, time, 128]) {
    %a = call @attention(%x) as "attention"
    %xa = add %x, %a
    %ln1 = call @std.norm(%xa)
    %fc = call @std.dense(%ln1), out = 512
    %g = gelu %fc
    %out = call @std.dense(%g), out = 128
    %xf = add %ln1, %out
    %ln2 = call @std.norm(%xf)
    return %ln2
  }
  func @logits(%x: i32[batch, 128]) -> f32[batch, 128, 128] {
    %t = embedding %tokens, %x
    %h = add %t, %positions
    %norm = call @std.norm(%h)
    %h0 = call @block(%norm) as "h.0"
    %h1 = call @block(%h0) as "h.1"
    return %h1
  }
}
