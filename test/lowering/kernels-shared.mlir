// Two layers of one shape share their kernels.
// RUN: gradus compile %s --emit=kernels -o - | FileCheck %s
// CHECK-COUNT-2: call @kernel0
// CHECK: func.func private @kernel0
graph.model @m {
  func @f(%x: f32[4, 4], %a: f32[4, 4], %b: f32[4, 4]) {
    %h = matmul %x, %a
    %y = matmul %h, %b
    return %y
  }
}
