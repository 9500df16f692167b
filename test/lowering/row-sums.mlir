// The gradients of keys and values are sums over all queries: a group that takes queries in blocks adds each block to
// them while the cache has it, and what they are made of is never written.
// RUN: gradus compile %s --function=slopes --emit=linalg -o - | FileCheck %s --check-prefix=SLOPES
// RUN: gradus compile %s --function=slopes --emit=kernels -o - | FileCheck %s --check-prefix=KERNELS
// RUN: gradus compile %s --function=few --emit=linalg -o - | FileCheck %s --check-prefix=FEW
// RUN: gradus compile %examples/bench/attention.mlir --dims batch=1,time=520 --function=gradient --emit=buffers --threads=1 -o - | FileCheck %s --check-prefix=APART

// The last of the loops over the rows is the one along which they add up.
// SLOPES: iterator_types = ["parallel", "parallel", "parallel", "reduction"]{{.*}}graph.group = 1 : i64, graph.row_block = 128 : i64, graph.row_loops = array<i64: 0, 3>
// SLOPES: iterator_types = ["parallel", "parallel", "parallel", "reduction"]{{.*}}graph.group = 1 : i64, graph.row_block = 128 : i64, graph.row_loops = array<i64: 0, 3>
// The gradient of the scores leaves no kernel.
// KERNELS: call @kernel{{.*}} -> (tensor<5x400x16xf32>, tensor<5x400x16xf32>, tensor<5x400x16xf32>)
// Threads share heads alone: three are too few.
// FEW-NOT: graph.row_loops = array<i64: 0, 3>
// Where a head's sums do not lie together, they are added up elsewhere.
// APART-COUNT-2: memref.view {{.*}} to memref<1x520x1x64xf32>

// RUN: gradus verify %s --function=slopes
// RUN: gradus verify %s --function=slopes --march=x86-64-v3 --threads=2
// RUN: gradus verify %s --function=narrow --threads=2
// RUN: gradus verify %s --function=narrow --march=x86-64-v3
// RUN: gradus verify %s --function=halves
// RUN: gradus verify %s --function=halves --march=x86-64-v3
// RUN: gradus verify %s --function=doubles
// RUN: gradus run %s --function=seeded --input seed=1 --threads=1 > %t.1
// RUN: gradus run %s --function=seeded --input seed=1 --threads=2 > %t.2
// RUN: gradus run %s --function=seeded --input seed=1 --threads=5 > %t.5
// RUN: cmp %t.1 %t.2
// RUN: cmp %t.1 %t.5
graph.model @m {
  func @loss(%q: f32[5, 400, 16], %k: f32[5, 400, 16], %v: f32[5, 400, 16]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %p = softmax %s
    %o = einsum "hqk,hkd->hqd", %p, %v
    %square = mul %o, %o
    %l = reduce_mean %square
    return %l
  }
  func @slopes(%q: f32[5, 400, 16], %k: f32[5, 400, 16], %v: f32[5, 400, 16]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @seeded(%seed: i32[]) {
    %q = normal %seed, to = f32[5, 400, 16], stream = 1
    %k = normal %seed, to = f32[5, 400, 16], stream = 2
    %v = normal %seed, to = f32[5, 400, 16], stream = 3
    %l, %d.q, %d.k, %d.v = call @slopes(%q, %k, %v)
    %a = reduce_sum %d.k, axes = [2]
    %b = reduce_sum %d.v, axes = [2]
    return %l, %a, %b
  }
  func @loss_few(%q: f32[3, 400, 16], %k: f32[3, 400, 16], %v: f32[3, 400, 16]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %p = softmax %s
    %o = einsum "hqk,hkd->hqd", %p, %v
    %square = mul %o, %o
    %l = reduce_mean %square
    return %l
  }
  func @few(%q: f32[3, 400, 16], %k: f32[3, 400, 16], %v: f32[3, 400, 16]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_few(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  // One column, and a number of rows that blocks do not divide.
  func @loss_narrow(%q: f32[500, 4, 3], %k: f32[333, 4, 3], %v: f32[333, 4, 1]) {
    %s = einsum "qhd,khd->hqk", %q, %k
    %p = softmax %s
    %o = einsum "hqk,khe->qhe", %p, %v
    %square = mul %o, %o
    %l = reduce_mean %square
    return %l
  }
  func @narrow(%q: f32[500, 4, 3], %k: f32[333, 4, 3], %v: f32[333, 4, 1]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_narrow(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_halves(%q: bf16[384, 4, 32], %k: bf16[384, 4, 32], %v: bf16[384, 4, 32]) {
    %s = einsum "qhd,khd->hqk", %q, %k
    %p = softmax %s
    %o = einsum "hqk,khe->qhe", %p, %v
    %square = mul %o, %o
    %l = reduce_mean %square
    return %l
  }
  func @halves(%q: bf16[384, 4, 32], %k: bf16[384, 4, 32], %v: bf16[384, 4, 32]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_halves(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_doubles(%q: f64[4, 350, 8], %k: f64[4, 350, 8], %v: f64[4, 350, 8]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %row = iota to = i32[350, 350], axis = 0
    %column = iota to = i32[350, 350], axis = 1
    %seen = compare ge, %row, %column
    %never = constant f64[] = -1.0e30
    %masked = select %seen, %s, %never
    %p = softmax %masked
    %o = einsum "hqk,hkd->hqd", %p, %v
    %square = mul %o, %o
    %l = reduce_mean %square
    return %l
  }
  func @doubles(%q: f64[4, 350, 8], %k: f64[4, 350, 8], %v: f64[4, 350, 8]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_doubles(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
}
