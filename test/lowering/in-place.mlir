// An update writes the variable's own memory: no copy, no second buffer, one operand for reading and writing.
// RUN: gradus compile %s --emit=buffers -o - | FileCheck %s
// CHECK-LABEL: func.func @m_step(%arg0: memref<64xi8>, %arg1: memref<3xf32>
// CHECK: %[[W:.*]] = memref.view %arg0
// CHECK-NOT: memref.copy
// CHECK: call @kernel0(%{{.*}}, %[[W]])
// CHECK-NOT: memref.alloc
graph.model @m {
  %w = param f32[3] = ones
  func @step(%g: f32[3]) {
    %next = call @std.sgd(%w, %g), lr = 0.5
    update %w, %next
    return
  }
}
