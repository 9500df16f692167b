// A Hessian-vector product forward-over-reverse and reverse-over-reverse: the same numbers.
// RUN: gradus run %s --function=both --input x=[0.5,-0.3,0.8] --input t=[1,2,-1] | FileCheck %s
// CHECK: gap = {{[0-9.]+(e-0[6-9]|e-[1-9][0-9])?$}}
// CHECK: close = true

graph.model @hvp {
  func @f(%x: f32[3]) {
    %t = tanh %x
    %g = gelu %x
    %m = mul %t, %g
    %p = softmax %m
    %q = mul %p, %x
    %s = reduce_sum %q
    return %s
  }
  func @df(%x: f32[3]) {
    %v, %d = value_and_grad @f(%x) wrt %x
    return %d
  }
  func @dot(%x: f32[3], %t: f32[3]) {
    %d = call @df(%x)
    %m = mul %d, %t
    %s = reduce_sum %m
    return %s
  }
  func @both(%x: f32[3], %t: f32[3]) {
    %d, %forward = jvp @df(%x, %t)
    %v, %reverse = value_and_grad @dot(%x, %t) wrt %x
    %gaps = sub %forward, %reverse
    %sizes = abs %gaps
    %gap = reduce_max %sizes
    %small = constant f32[] = 1.0e-5
    %close = compare lt, %gap, %small
    return %gap, %close
  }
}
