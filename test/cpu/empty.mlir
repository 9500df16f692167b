// Tensors without elements: computed code agrees with the reference, and what
// is known of them is a constant.
// RUN: gradus verify %s
// RUN: gradus verify %s --mcpu=x86-64-v2
// RUN: gradus compile %s --emit=linalg -o - | FileCheck %s

graph.model @m {
  // CHECK-LABEL: func.func @of_nothing
  // CHECK-NOT: linalg.generic
  // CHECK-DAG: dense<2.500000e+00> : tensor<3x1xf32>
  // CHECK-DAG: dense<0.000000e+00> : tensor<3x2xf32>
  // CHECK: return %arg2, {{.*}} tensor<6x0xf32>, tensor<3x1xf32>
  func @of_nothing(%x: f32[3, 0], %w: f32[0, 2], %y: f32[3]) {
    %s = reduce_sum %x, axes = [1]
    %p = matmul %x, %w
    %t = sigmoid %x
    %c = concat %x, %t, axis = 0
    %d = pad %x, axis = 1, low = 1, value = 2.5
    %g = add %s, %y
    return %g, %p, %c, %d
  }
  func @gradients(%x: f32[3, 0], %w: f32[0, 2], %y: f32[3]) {
    %a, %b, %c, %d = call @of_nothing(%x, %w, %y)
    %e = reduce_sum %a
    %f = reduce_sum %b
    %l = add %e, %f
    return %l
  }
  func @slopes(%x: f32[3, 0], %w: f32[0, 2], %y: f32[3]) {
    %l, %d:3 = value_and_grad @gradients(%x, %w, %y) wrt %x, %w, %y
    return %l, %d#0, %d#1, %d#2
  }
  // CHECK-LABEL: func.func @in_loops(
  // CHECK: call_for @in_loops.for0 in 4 carry(%arg2 : tensor<2xf32>) slices(%arg1 : tensor<4x2xf32>) : tensor<2xf32>
  func @in_loops(%x: f32[4, 2, 0], %y: f32[4, 2], %c: f32[2], %e: f32[2, 0]) {
    %last, %gone, %all = for %xt in %x, %yt in %y carry (%s = %c, %n = %e) {
      %m = add %xt, %n
      %r = reduce_sum %m, axes = [1]
      %t = mul %s, %yt
      %u = add %t, %r
      yield %u, %m stack %m
    }
    return %last, %gone, %all
  }
  func @no_steps(%x: f32[0, 2], %c: f32[2]) {
    %last, %all = for %xt in %x carry (%s = %c) {
      %t = mul %s, %xt
      yield %t stack %s
    }
    return %last, %all
  }
  func @mean(%x: f32[0]) {
    %m = reduce_mean %x
    return %m
  }
  func @sliced(%x: f32[3]) {
    %none = slice %x, axis = 0, start = 3, length = 0
    %padded = pad %none, axis = 0, low = 2, interior = 2
    %n = size %none
    return %padded, %n
  }
}
