// Long rows of attention are taken in blocks: of what a head's ops hand on, a block's part is all that there ever is.
// RUN: gradus compile %s --function=attend --emit=linalg -o - | FileCheck %s --check-prefix=LINALG
// RUN: gradus compile %s --function=attend --emit=buffers --threads=1 -o - | FileCheck %s --check-prefix=BUFFERS
// RUN: gradus compile %s --function=slopes --emit=linalg -o - | FileCheck %s --check-prefix=SLOPES
// RUN: gradus compile %s --function=layer --emit=linalg -o - | FileCheck %s --check-prefix=LAYER

// The mask is the same for all heads, and no member.
// LINALG-COUNT-6: graph.group = 0 : i64, {{.*}}graph.row_block = 64 : i64, graph.row_loops
// LINALG-NOT: graph.row_block

// 400 queries are six blocks of 64 and one of 16. What all blocks read is copied to panels once.
// BUFFERS-NOT: memref<3x400x400xf32>
// BUFFERS: memref.view {{.*}} to memref<1x64x400xf32>
// BUFFERS: memref.view {{.*}} to memref<1x16x400xf32>

// The gradient with respect to the scores is made in blocks, which the gradient of the queries is made of.
// SLOPES: graph.group = 1 : i64, {{.*}}graph.row_block = 128 : i64

// A layer is a product and its epilogue.
// LAYER-NOT: graph.row_block
// LAYER: graph.epilogue

// Right in every bit that the reference has, with a rest of rows and without, on any number of threads.
// RUN: gradus verify %s --function=slopes
// RUN: gradus verify %s --function=slopes --march=x86-64-v3 --threads=2
// RUN: gradus verify %s --function=halves
// RUN: gradus verify %s --function=halves --march=x86-64-v3 --threads=3
// RUN: gradus verify %examples/bench/attention.mlir --dims batch=1,time=370 --function=gradient
// The rest of rows is too few for words of two halves.
// RUN: gradus verify %s --function=few_left
// RUN: gradus run %s --function=sums --input seed=1 --threads=1 > %t.1
// RUN: gradus run %s --function=sums --input seed=1 --threads=2 > %t.2
// RUN: gradus run %s --function=sums --input seed=1 --threads=5 > %t.5
// RUN: cmp %t.1 %t.2
// RUN: cmp %t.1 %t.5
graph.model @m {
  %w = param f32[300, 200] = normal(seed = 1)
  func @attend(%q: f32[3, 400, 16], %k: f32[3, 400, 16], %v: f32[3, 400, 16]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %row = iota to = i32[400, 400], axis = 0
    %column = iota to = i32[400, 400], axis = 1
    %seen = compare ge, %row, %column
    %never = constant f32[] = -1.0e30
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "hqk,hkd->hqd", %p, %v
    return %o
  }
  func @loss(%q: f32[3, 400, 16], %k: f32[3, 400, 16], %v: f32[3, 400, 16]) {
    %o = call @attend(%q, %k, %v)
    %square = mul %o, %o
    %l = reduce_mean %square
    return %l
  }
  func @slopes(%q: f32[3, 400, 16], %k: f32[3, 400, 16], %v: f32[3, 400, 16]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @sums(%seed: i32[]) {
    %q = normal %seed, to = f32[3, 400, 16], stream = 1
    %k = normal %seed, to = f32[3, 400, 16], stream = 2
    %v = normal %seed, to = f32[3, 400, 16], stream = 3
    %l, %d.q, %d.k, %d.v = value_and_grad @loss(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  // One sequence by itself, in 16 bits.
  func @halves(%q: bf16[600, 32], %k: bf16[600, 32], %v: bf16[600, 32]) {
    %s = einsum "qd,kd->qk", %q, %k
    %p = softmax %s
    %o = einsum "qk,kd->qd", %p, %v
    return %o
  }
  func @layer(%x: f32[2000, 300], %b: f32[200]) {
    %h = matmul %x, %w
    %y = add %h, %b
    %z = relu %y
    return %z
  }
  func @few_left(%x: bf16[2, 520, 520], %v: bf16[2, 520, 40]) {
    %row = iota to = i32[520, 520], axis = 0
    %column = iota to = i32[520, 520], axis = 1
    %seen = compare ge, %row, %column
    %zero = constant bf16[] = 0.0
    %m = select %seen, %x, %zero
    %o = einsum "bqk,bke->bqe", %m, %v
    %square = mul %o, %o
    %l = reduce_mean %square, axes = [0, 2]
    return %l
  }
}
