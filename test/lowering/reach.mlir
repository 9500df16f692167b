// What a mask hides from all rows of a block is not computed. Nothing names attention: of the elements in a triangle of
// two axes it is known that they are a number, or the same along the row, which is asked when the code runs.
// RUN: gradus compile %s --function=causal --emit=linalg -o - | FileCheck %s --check-prefix=CAUSAL
// RUN: gradus compile %examples/bench/attention.mlir --dims batch=1,time=520 --function=gradient --emit=linalg -o - | FileCheck %s --check-prefix=SLOPES
// RUN: gradus compile %s --function=window --emit=linalg -o - | FileCheck %s --check-prefix=WINDOW
// RUN: gradus compile %s --function=ahead --emit=linalg -o - | FileCheck %s --check-prefix=AHEAD
// RUN: gradus compile %s --function=unmasked --emit=linalg -o - | FileCheck %s --check-prefix=UNMASKED

// Loop and that of the rows, how far below the first row and above the last one it runs, whether it runs at the farthest index as well, and
// which operand has to be zero there: the exponentials.
// CAUSAL: graph.reach = array<i64: 2, 1, 333, 0, 0, -1, 0>
// CAUSAL: graph.reach = array<i64: 2, 1, 333, 0, 1, -1, 0>
// CAUSAL: graph.reach = array<i64: 2, 1, 333, 0, 1, 3, 0>
// CAUSAL: graph.reach = array<i64: 2, 1, 333, 0, 1, -1, 0>
// CAUSAL: graph.reach = array<i64: 3, 1, 333, 0, 0, -1, 0>
// In the gradient what the softmax was is asked, before a block.
// SLOPES-COUNT-5: graph.group = 0 : i64, graph.reach
// SLOPES: graph.group = 1 : i64, graph.reach = array<i64: 3, 2, 520, 0, 0, -1, 0>
// SLOPES: graph.group = 1 : i64, graph.reach = array<i64: 1, 4, 520, 0, 0, 1, 0>
// SLOPES: graph.group = 1 : i64, graph.reach = array<i64: 3, 2, 520, 0, 0, -1, 0>
// SLOPES: graph.group = 1 : i64, graph.reach = array<i64: 3, 2, 520, 0, 1, -1, 0>
// SLOPES: graph.group = 1 : i64, graph.reach = array<i64: 4, 1, 520, 0, 0, -1, 0>
// SLOPES: graph.group = 1 : i64, graph.reach = array<i64: 1, 4, 520, 0, 0, -1, 0>
// A window has two ends.
// WINDOW: graph.reach = array<i64: 2, 1, 49, 0, 0, -1, 0>
// AHEAD: graph.reach = array<i64: 2, 1, -1, 333, 0, -1, 0>
// UNMASKED-NOT: graph.reach

// Right where the mask hides little after all, or a row has nothing else: such blocks run again as a whole.
// RUN: gradus verify %s --function=slopes_causal --threads=2
// RUN: gradus verify %s --function=slopes_causal --march=x86-64-v3
// RUN: gradus verify %s --function=slopes_padded --threads=2
// RUN: gradus verify %s --function=slopes_padded --march=x86-64-v3
// RUN: gradus verify %s --function=slopes_faint --threads=2
// RUN: gradus verify %s --function=slopes_faint --march=x86-64-v3
// RUN: gradus verify %s --function=slopes_window --threads=2
// RUN: gradus verify %s --function=slopes_window --march=x86-64-v3
// RUN: gradus verify %s --function=slopes_ahead --threads=2
// RUN: gradus verify %s --function=slopes_ahead --march=x86-64-v3
// RUN: gradus verify %examples/bench/attention.mlir --dims batch=1,time=520 --function=gradient --threads=2
// RUN: gradus verify %s --function=halves
// RUN: gradus verify %s --function=halves --march=x86-64-v3
graph.model @m {
  func @causal(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %row = iota to = i32[333, 333], axis = 0
    %column = iota to = i32[333, 333], axis = 1
    %seen = compare ge, %row, %column
    %never = constant f32[] = -1.0e30
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "hqk,hkd->hqd", %p, %v
    return %o
  }
  // The first rows see nothing but padding.
  func @padded(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %row = iota to = i32[333, 333], axis = 0
    %column = iota to = i32[333, 333], axis = 1
    %causal = compare ge, %row, %column
    %first = constant i32[] = 70
    %real = compare ge, %column, %first
    %seen = and %causal, %real
    %never = constant f32[] = -1.0e9
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "hqk,hkd->hqd", %p, %v
    return %o
  }
  // A number that hides little.
  func @faint(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %row = iota to = i32[333, 333], axis = 0
    %column = iota to = i32[333, 333], axis = 1
    %seen = compare ge, %row, %column
    %never = constant f32[] = -3.0
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "hqk,hkd->hqd", %p, %v
    return %o
  }
  func @window(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %row = iota to = i32[333, 333], axis = 0
    %column = iota to = i32[333, 333], axis = 1
    %causal = compare ge, %row, %column
    %width = constant i32[] = 50
    %back = sub %row, %width
    %near = compare gt, %column, %back
    %seen = and %causal, %near
    %never = constant f32[] = -1.0e30
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "hqk,hkd->hqd", %p, %v
    return %o
  }
  // The last row sees nothing.
  func @ahead(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %row = iota to = i32[333, 333], axis = 0
    %column = iota to = i32[333, 333], axis = 1
    %seen = compare lt, %row, %column
    %never = constant f32[] = -1.0e30
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "hqk,hkd->hqd", %p, %v
    return %o
  }
  // No comparison of the row with the column.
  func @unmasked(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %row = iota to = i32[333, 333], axis = 0
    %column = iota to = i32[333, 333], axis = 1
    %first = constant i32[] = 70
    %seen = compare ge, %column, %first
    %never = constant f32[] = -1.0e30
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "hqk,hkd->hqd", %p, %v
    return %o
  }
  func @loss_causal(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %o = call @causal(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes_causal(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_causal(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_padded(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %o = call @padded(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes_padded(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_padded(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_faint(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %o = call @faint(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes_faint(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_faint(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_window(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %o = call @window(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes_window(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_window(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_ahead(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %o = call @ahead(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes_ahead(%q: f32[2, 333, 16], %k: f32[2, 333, 16], %v: f32[2, 333, 16]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_ahead(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @halves(%q: bf16[2, 384, 32], %k: bf16[2, 384, 32], %v: bf16[2, 384, 32]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %row = iota to = i32[384, 384], axis = 0
    %column = iota to = i32[384, 384], axis = 1
    %seen = compare ge, %row, %column
    %never = constant bf16[] = -1.0e30
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "hqk,hkd->hqd", %p, %v
    return %o
  }
}
