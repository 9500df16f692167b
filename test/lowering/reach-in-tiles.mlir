// Heads that fit the cache whole are computed whole, but their products leave out what a mask hides from all rows of a
// tile: tiles of scores, and steps of the sums over keys or queries, in the gradient as well.
// RUN: gradus compile %s --dims time=70 --function=causal --emit=linalg -o - | FileCheck %s --check-prefix=CAUSAL
// RUN: gradus compile %s --dims time=70 --function=slopes_causal --emit=linalg -o - | FileCheck %s --check-prefix=SLOPES
// RUN: gradus compile %s --dims time=70 --function=window --emit=linalg -o - | FileCheck %s --check-prefix=WINDOW
// RUN: gradus compile %s --dims time=70 --function=lower --emit=linalg -o - | FileCheck %s --check-prefix=LOWER
// RUN: gradus compile %s --dims time=20 --function=causal --emit=linalg -o - | FileCheck %s --check-prefix=SHORT

// The loop that is cut and that of the rows, how far below and above its row it runs; which operand is to be zero beyond.
// CAUSAL-NOT: graph.row_block
// CAUSAL: graph.reach = array<i64: 3, 2, 70, 0, 0, -1, 0>
// CAUSAL: graph.reach = array<i64: 3, 2, 70, 0, 1, 3, 0>
// CAUSAL: graph.reach = array<i64: 4, 1, 70, 0, 0, -1, 0>
// Six products, of which some add up rows.
// SLOPES-COUNT-6: graph.reach = array<i64: {{[0-9]+, [0-9]+, (70, 0|0, 70)}}, 0, {{-1|1}}
// WINDOW: graph.reach = array<i64: 3, 2, 19, 0, 0, -1, 0>
// A product by itself.
// LOWER: graph.reach = array<i64: 1, 3, 0, 70, 0, -1, 0>, graph.row_loops = array<i64: 0>}
// SHORT-NOT: graph.reach

// Right where it hides little after all, or a row has nothing else; with words of two elements nothing is left out.
// RUN: gradus verify %s --dims time=70 --threads=2
// RUN: gradus verify %s --dims time=70 --march=x86-64-v3
// RUN: gradus verify %s --dims time=33
// RUN: gradus verify %s --dims time=128
graph.model @m {
  func @masked(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24], %seen: i1[time, time], %never: f32[]) {
    %s = einsum "bqhd,bkhd->bhqk", %q, %k
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "bhqk,bkhd->bqhd", %p, %v
    return %o
  }
  func @causal(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %row = iota to = i32[time, time], axis = 0
    %column = iota to = i32[time, time], axis = 1
    %seen = compare ge, %row, %column
    %never = constant f32[] = -1.0e30
    %o = call @masked(%q, %k, %v, %seen, %never)
    return %o
  }
  // The first rows see nothing but padding.
  func @padded(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %row = iota to = i32[time, time], axis = 0
    %column = iota to = i32[time, time], axis = 1
    %causal = compare ge, %row, %column
    %first = constant i32[] = 7
    %real = compare ge, %column, %first
    %seen = and %causal, %real
    %never = constant f32[] = -1.0e9
    %o = call @masked(%q, %k, %v, %seen, %never)
    return %o
  }
  // A number that hides little.
  func @faint(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %row = iota to = i32[time, time], axis = 0
    %column = iota to = i32[time, time], axis = 1
    %seen = compare ge, %row, %column
    %never = constant f32[] = -3.0
    %o = call @masked(%q, %k, %v, %seen, %never)
    return %o
  }
  func @window(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %row = iota to = i32[time, time], axis = 0
    %column = iota to = i32[time, time], axis = 1
    %causal = compare ge, %row, %column
    %width = constant i32[] = 20
    %back = sub %row, %width
    %near = compare gt, %column, %back
    %seen = and %causal, %near
    %never = constant f32[] = -1.0e30
    %o = call @masked(%q, %k, %v, %seen, %never)
    return %o
  }
  // The last row sees nothing.
  func @ahead(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %row = iota to = i32[time, time], axis = 0
    %column = iota to = i32[time, time], axis = 1
    %seen = compare lt, %row, %column
    %never = constant f32[] = -1.0e30
    %o = call @masked(%q, %k, %v, %seen, %never)
    return %o
  }
  func @lower(%a: f32[5, time, time], %b: f32[5, time, 24]) {
    %row = iota to = i32[time, time], axis = 0
    %column = iota to = i32[time, time], axis = 1
    %below = compare ge, %row, %column
    %zero = constant f32[] = 0.0
    %lower = select %below, %a, %zero
    %y = einsum "bij,bjd->bid", %lower, %b
    return %y
  }
  func @halves(%q: bf16[5, time, 2, 24], %k: bf16[5, time, 2, 24], %v: bf16[5, time, 2, 24]) {
    %s = einsum "bqhd,bkhd->bhqk", %q, %k
    %row = iota to = i32[time, time], axis = 0
    %column = iota to = i32[time, time], axis = 1
    %seen = compare ge, %row, %column
    %never = constant bf16[] = -1.0e30
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "bhqk,bkhd->bqhd", %p, %v
    return %o
  }
  func @loss_causal(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %o = call @causal(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes_causal(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_causal(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_padded(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %o = call @padded(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes_padded(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_padded(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_faint(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %o = call @faint(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes_faint(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_faint(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_window(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %o = call @window(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes_window(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_window(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_ahead(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %o = call @ahead(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes_ahead(%q: f32[5, time, 2, 24], %k: f32[5, time, 2, 24], %v: f32[5, time, 2, 24]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_ahead(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
}
