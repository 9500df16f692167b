// A value that is read after its update is the old one: what bufferisation must keep apart.
// RUN: gradus run %s --input g=[1,2,3] | FileCheck %s
// CHECK: old = f32[3]
// CHECK-NEXT: [2, 3, 4]
graph.model @m {
  %w = param f32[3] = ones
  func @step(%g: f32[3]) {
    %next = mul %w, %g
    update %w, %next
    %turned = reverse %w, axes = [0]
    %old = add %turned, %g
    return %old
  }
}
