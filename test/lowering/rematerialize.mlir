// What several loops read and few operations make of one tensor is computed in each of them; what takes longer than to be
// read, and what products read, is stored.
// RUN: gradus compile %s --emit=linalg -o - | FileCheck %s
// RUN: gradus verify %s --function=normal
// RUN: gradus verify %s --function=slope
// RUN: gradus verify %s --function=diamonds
// RUN: gradus verify %s --function=pool.slope
graph.model @m {
  // A batch norm: the deviations are never written. Two passes over the image for its statistics, one for the result.
  // CHECK-LABEL: func.func @normal
  // CHECK: linalg.generic {{.*}}"reduction"{{.*}} ins(%arg0 : tensor<64x32x32x24xf32>)
  // CHECK: linalg.generic {{.*}}"reduction"{{.*}} ins(%arg0, %{{[0-9]+}} : tensor<64x32x32x24xf32>, tensor<24xf32>)
  // CHECK-NEXT: ^bb0
  // CHECK-NEXT: arith.subf
  // CHECK-NEXT: arith.mulf
  // CHECK: linalg.generic {{.*}}["parallel", "parallel", "parallel", "parallel"]} ins(%arg0, {{.*}}outs(%{{[0-9]+}} : tensor<64x32x32x24xf32>)
  // CHECK-NOT: linalg.generic
  // CHECK: return
  func @normal(%x: f32[64, 32, 32, 24], %gain: f32[24], %bias: f32[24]) {
    %mean = reduce_mean %x, axes = [0, 1, 2]
    %d = sub %x, %mean
    %d2 = mul %d, %d
    %var = reduce_mean %d2, axes = [0, 1, 2]
    %eps = constant f32[] = 1.0e-5
    %v = add %var, %eps
    %r = rsqrt %v
    %n = mul %d, %r
    %s = mul %n, %gain
    %y = add %s, %bias
    return %y
  }
  func @loss(%x: f32[64, 32, 32, 24], %gain: f32[24], %bias: f32[24], %k: f32[64, 32, 32, 24]) {
    %y = call @normal(%x, %gain, %bias)
    %y2 = mul %y, %y
    %weighted = mul %y2, %k
    %l = reduce_sum %weighted
    return %l
  }
  // The gradients of the gain, the bias and the deviation are one pass; no image but the gradient is written.
  // CHECK-LABEL: func.func @slope
  // CHECK-NOT: outs({{.*}} tensor<64x32x32x24xf32>
  // CHECK: outs({{.*}} : tensor<24xf32>, tensor<24xf32>, tensor<24xf32>)
  // CHECK-NOT: outs({{.*}} tensor<64x32x32x24xf32>
  // CHECK: linalg.generic {{.*}} outs({{.*}} : tensor<64x32x32x24xf32>)
  // CHECK-NOT: linalg.generic
  // CHECK: return
  func @slope(%x: f32[64, 32, 32, 24], %gain: f32[24], %bias: f32[24], %k: f32[64, 32, 32, 24]) {
    %l, %dx, %dgain, %dbias = value_and_grad @loss(%x, %gain, %bias, %k) wrt %x, %gain, %bias
    return %dx, %dgain, %dbias
  }
  // Two ops read each value, and one reads both: 16 steps, and not two to the 16th.
  // CHECK-LABEL: func.func @diamonds
  // CHECK-COUNT-16: arith.mulf
  // CHECK-NOT: arith.mulf
  // CHECK: return
  func @diamonds(%s0: f32[1024, 1024]) {
    %half = constant f32[] = 0.5
    %t0 = mul %s0, %half
    %s1 = sub %s0, %t0
    %t1 = mul %s1, %half
    %s2 = sub %s1, %t1
    %t2 = mul %s2, %half
    %s3 = sub %s2, %t2
    %t3 = mul %s3, %half
    %s4 = sub %s3, %t3
    %t4 = mul %s4, %half
    %s5 = sub %s4, %t4
    %t5 = mul %s5, %half
    %s6 = sub %s5, %t5
    %t6 = mul %s6, %half
    %s7 = sub %s6, %t6
    %t7 = mul %s7, %half
    %s8 = sub %s7, %t7
    %t8 = mul %s8, %half
    %s9 = sub %s8, %t8
    %t9 = mul %s9, %half
    %s10 = sub %s9, %t9
    %t10 = mul %s10, %half
    %s11 = sub %s10, %t10
    %t11 = mul %s11, %half
    %s12 = sub %s11, %t11
    %t12 = mul %s12, %half
    %s13 = sub %s12, %t12
    %t13 = mul %s13, %half
    %s14 = sub %s13, %t13
    %t14 = mul %s14, %half
    %s15 = sub %s14, %t14
    %t15 = mul %s15, %half
    %s16 = sub %s15, %t15
    return %s16
  }
  // exp is computed once.
  // CHECK-LABEL: func.func @exponential
  // CHECK-COUNT-1: math.exp
  // CHECK-NOT: math.exp
  // CHECK: return
  func @exponential(%x: f32[1024, 1024]) {
    %e = exp %x
    %total = reduce_sum %e, axes = [0]
    %y = div %e, %total
    return %y
  }
  // A window's length is known from the mask alone: the sum that counts the largest elements does not compute it.
  func @pool(%x: f32[16, 64, 64, 16]) {
    %a = relu %x
    %p = max_pool %a, window = [2, 2]
    %s = mul %p, %p
    %l = reduce_sum %s
    return %l
  }
  func @pool.slope(%x: f32[16, 64, 64, 16]) {
    %l, %dx = value_and_grad @pool(%x) wrt %x
    return %dx
  }
}
