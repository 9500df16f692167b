// A pool's gradient: which element of a window is the largest is never a tensor; what puts the windows back computes it, and the
// gradient of what comes before, for each element of the image. Where windows overlap or leave something out, sums are as written.
// RUN: gradus compile %s --emit=linalg -o - | FileCheck %s
// RUN: gradus verify %s
// RUN: %interpreted gradus verify %s --target=nvptx64
graph.model @pool {
  func @loss(%x: f32[4, 8, 6, 16]) {
    %a = relu %x
    %p = max_pool %a, window = [2, 3]
    %s = mul %p, %p
    %l = reduce_sum %s
    return %l
  }
  func @mean(%x: f32[2, 9, 16]) {
    %a = tanh %x
    %p = avg_pool %a, window = [3]
    %s = mul %p, %p
    %l = reduce_sum %s
    return %l
  }
  func @overlap(%x: f32[2, 9, 9, 8]) {
    %a = relu %x
    %p = max_pool %a, window = [3, 3], stride = [2, 2]
    %s = mul %p, %p
    %l = reduce_sum %s
    return %l
  }
  func @rest(%x: f32[2, 9, 11, 8]) {
    %a = relu %x
    %p = max_pool %a, window = [2, 2]
    %s = mul %p, %p
    %l = reduce_sum %s
    return %l
  }
  // CHECK-LABEL: func.func @slope
  // CHECK-NOT: tensor<4x4x2x2x3x16x
  // CHECK: [[SIZES:%.*]] = tensor.empty() : tensor<2x3xf32>
  // CHECK: linalg.generic {{.*}}"parallel", "parallel", "parallel", "parallel", "parallel", "parallel"]} {{.*}} outs({{.*}}tensor<4x8x6x16xf32>)
  // CHECK: arith.cmpf oeq
  // CHECK: arith.cmpf ogt
  // CHECK-NOT: linalg.generic
  // CHECK: return
  func @slope(%x: f32[4, 8, 6, 16]) {
    %l, %d = value_and_grad @loss(%x) wrt %x
    return %d
  }
  func @mean_slope(%x: f32[2, 9, 16]) {
    %l, %d = value_and_grad @mean(%x) wrt %x
    return %d
  }
  // CHECK-LABEL: func.func @overlap_slope
  // CHECK: linalg.generic {{.*}}"reduction"{{.*}}outs({{.*}}tensor<2x9x9x8xf32>)
  func @overlap_slope(%x: f32[2, 9, 9, 8]) {
    %l, %d = value_and_grad @overlap(%x) wrt %x
    return %d
  }
  func @rest_slope(%x: f32[2, 9, 11, 8]) {
    %l, %d = value_and_grad @rest(%x) wrt %x
    return %d
  }
}
