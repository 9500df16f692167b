// The gradient of attention needs the softmax: of 34 MB, its rows are made again of queries, keys and each row's maximum
// and sum,
// rather than kept.
// RUN: gradus compile %s --function=slopes --emit=linalg -o - | FileCheck %s
// RUN: gradus compile %s --function=slopes --memory -o %t.o 2>&1 | FileCheck %s --check-prefix=MEMORY
// RUN: gradus compile %s --function=small --emit=linalg -o - | FileCheck %s --check-prefix=SMALL

// The exponential, and in the same op what it is multiplied with.
// CHECK: math.exp
// CHECK: iterator_types = ["parallel", "parallel", "parallel"]{{.*}}graph.group = 1
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.subf
// CHECK-NEXT: math.exp
// CHECK-NEXT: arith.mulf
// CHECK-NEXT: linalg.yield
// MEMORY: arena {{[0-9]{7} }}bytes

// What a cache may have is kept.
// SMALL: graph.group = 1
// SMALL-NOT: math.exp

// RUN: gradus verify %s --function=slopes --threads=2
// A result that the last cache holds is made again if that takes few steps: those of a filter of nine numbers.
// RUN: gradus compile %examples/bench/cnn.mlir --dims batch=64 --function=fit.step --emit=linalg -o - \
// RUN:   | FileCheck %s --check-prefix=NEAR
// NEAR-COUNT-2: ins(%{{.*}}, %arg0 : tensor<64x30x30x1xf32>, tensor<3x3x1x32xf32>) outs({{.*}} attrs = {graph.group
graph.model @m {
  func @loss(%q: f64[4, 1030, 32], %k: f64[4, 1030, 32], %v: f64[4, 1030, 32]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %p = softmax %s
    %o = einsum "hqk,hkd->hqd", %p, %v
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @slopes(%q: f64[4, 1030, 32], %k: f64[4, 1030, 32], %v: f64[4, 1030, 32]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
  func @loss_small(%q: f64[4, 700, 32], %k: f64[4, 700, 32], %v: f64[4, 700, 32]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %p = softmax %s
    %o = einsum "hqk,hkd->hqd", %p, %v
    %square = mul %o, %o
    %l = reduce_sum %square
    return %l
  }
  func @small(%q: f64[4, 700, 32], %k: f64[4, 700, 32], %v: f64[4, 700, 32]) {
    %l, %d.q, %d.k, %d.v = value_and_grad @loss_small(%q, %k, %v) wrt %q, %k, %v
    return %l, %d.q, %d.k, %d.v
  }
}
