// Results that are put together, or reshaped, are written where they are to be: nothing is copied, and no memory needed.
// RUN: gradus compile %s --emit=buffers --threads=1 -o - | FileCheck %s
// CHECK-NOT: kernel_copy
// CHECK-NOT: memref.view
// RUN: gradus verify %s --threads=2
graph.model @m {
  func @joined(%a: f32[30, 40], %b: f32[30, 24]) {
    %y = concat %a, %b, axis = 1
    %z = concat %a, %a, axis = 0
    return %y, %z
  }
  func @reshaped(%a: f32[30, 40], %b: f32[40, 24]) {
    %p = matmul %a, %b
    %y = reshape %p, to = f32[5, 6, 24]
    %c = concat %a, %a, axis = 0
    %z = reshape %c, to = f32[2400]
    return %y, %z
  }
}
