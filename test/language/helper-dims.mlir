// A helper's dimensions take the sizes of each call, also in a gradient; on its own it is not compiled.
// RUN: gradus-opt %s --pass-pipeline='builtin.module(graph.model(graph-differentiate))' | FileCheck %s
// RUN: gradus run %s --function=slope --input x=[[1,2],[3,4],[5,6]] | FileCheck %s --check-prefix=VALUE

// CHECK-LABEL: func @slope
// CHECK: broadcast %x, to = f32[5, 3, 2] : f32[5, 3, 2]
// CHECK: return

// VALUE: slope = f32[3, 2]
// VALUE-NEXT: {{\[\[}}2, 4],
// VALUE-NEXT: [6, 8],
// VALUE-NEXT: [10, 12]]

graph.model @helper {
  func @flat(%x: f32[n, 2]) {
    %z = broadcast %x, to = f32[5, n, 2]
    %y = reduce_mean %z, axes = [0]
    return %y
  }
  func @loss(%x: f32[3, 2]) {
    %f = call @flat(%x)
    %v = reshape %f, to = f32[6]
    %s = mul %v, %v
    %y = reduce_sum %s
    return %y
  }
  func @slope(%x: f32[3, 2]) {
    %y, %slope = value_and_grad @loss(%x) wrt %x
    return %slope
  }
}
