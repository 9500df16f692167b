// An op that reads two results of a kernel is fused with it once: each function is computed once, and chains of such ops
// stay as long as they are.
// RUN: gradus compile %s --emit=linalg -o - | FileCheck %s
// CHECK-LABEL: func.func @f
// CHECK-COUNT-1: math.exp
// CHECK-NOT: math.exp
// CHECK-COUNT-1: math.sin
// CHECK-NOT: math.sin
// CHECK: return
graph.model @m {
  func @f(%x: f32[8, 32], %y: f32[32]) {
    %a = exp %x
    %b = sin %a
    %c = add %a, %b
    %d = mul %c, %a
    %e = add %d, %b
    %f = mul %e, %c
    %g = sub %f, %a
    %h = mul %g, %y
    return %h, %a, %b, %c, %d, %e, %f
  }
}
