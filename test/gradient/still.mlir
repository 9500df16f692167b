// What does not move has no tangent, and nothing is computed of it.
// RUN: gradus-opt %s --graph-differentiate --canonicalize | FileCheck %s
graph.model @m {
  func @f(%x: f32[2, 3], %w: f32[3, 4]) {
    %y = matmul %x, %w
    return %y
  }
  // CHECK-LABEL: func @slope
  // CHECK: %[[Y:.*]] = matmul %x, %w
  // CHECK-NEXT: %[[D:.*]] = matmul %x, %v
  // CHECK-NEXT: return %[[Y]], %[[D]]
  func @slope(%x: f32[2, 3], %w: f32[3, 4], %v: f32[3, 4]) {
    %zero = constant f32[] = 0.0
    %still = broadcast %zero, to = f32[2, 3]
    %y, %d = jvp @f(%x, %w, %still, %v)
    return %y, %d
  }
}
