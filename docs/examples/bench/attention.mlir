// Causal attention of four heads, each 64 wide, and its gradient, as `./dev bench` times them beside the peers' own.
graph.model @attention {
  func @attend(%q: f32[batch, time, 4, 64], %k: f32[batch, time, 4, 64], %v: f32[batch, time, 4, 64]) {
    %s = einsum "bqhd,bkhd->bhqk", %q, %k
    %scale = constant f32[] = 0.125
    %scaled = mul %s, %scale
    %row = iota to = i32[time, time], axis = 0
    %column = iota to = i32[time, time], axis = 1
    %seen = compare ge, %row, %column
    %never = constant f32[] = -1.0e30
    %masked = select %seen, %scaled, %never
    %p = softmax %masked
    %o = einsum "bhqk,bkhd->bqhd", %p, %v
    return %o
  }
  func @squares(%q: f32[batch, time, 4, 64], %k: f32[batch, time, 4, 64], %v: f32[batch, time, 4, 64]) {
    %o = call @attend(%q, %k, %v)
    %square = mul %o, %o
    %sum = reduce_sum %square
    return %sum
  }
  func @gradient(%q: f32[batch, time, 4, 64], %k: f32[batch, time, 4, 64], %v: f32[batch, time, 4, 64]) {
    %sum, %d.q, %d.k, %d.v = value_and_grad @squares(%q, %k, %v) wrt %q, %k, %v
    return %d.q, %d.k, %d.v
  }
}
