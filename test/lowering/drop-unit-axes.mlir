// A pool's gradient divides by a count that keeps its window's axes, of size 1: no reshape parts the ops on one image, so that
// they are one kernel together with the product before them.
// RUN: gradus compile %s --emit=linalg -o - | FileCheck %s
// RUN: gradus verify %s
graph.model @pool {
  func @loss(%x: f32[4, 8, 8, 16], %w: f32[3, 3, 16, 16]) {
    %p = max_pool %x, window = [2, 2]
    %c = conv %p, %w, padding = same
    %s = mul %c, %c
    %l = reduce_sum %s
    return %l
  }
  // CHECK-LABEL: func.func @slope
  // CHECK: linalg.generic {{.*}} ins({{.*}}tensor<4x8x8x16xf32>, tensor<4x4x4x16xf32>, tensor<2x2xf32>) outs({{.*}}tensor<4x4x4x16xf32>) attrs = {{.*}}graph.group = [[G:[0-9]+]]
  // CHECK-NOT: tensor.expand_shape
  // CHECK: linalg.generic {{.*}} outs({{.*}}tensor<4x8x8x16xf32>) attrs = {{.*}}graph.group = [[G]]
  func @slope(%x: f32[4, 8, 8, 16], %w: f32[3, 3, 16, 16]) {
    %l, %d = value_and_grad @loss(%x, %w) wrt %x
    return %d
  }
  // A number as a tensor of one axis: the loop over it stays.
  func @sum(%x: f32[]) {
    %y = reshape %x, to = f32[1]
    %t = tanh %y
    %s = reduce_sum %t, axes = [0]
    return %s
  }
}
