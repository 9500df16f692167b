// y = a^2 x + b x + c, its gradient as text, symbolically in the batch.
// RUN: gradus grad %examples/quadratic.mlir | FileCheck %s
// CHECK: func @gradient
// CHECK: %da = add
// CHECK: return %y, %da as "dy/da", %x as "dy/db", %{{.*}} as "dy/dc"

// RUN: gradus grad %s --function=loss | FileCheck %s --check-prefix=SYMBOLIC
graph.model @m {
  %w = param f32[3] = ones
  func @loss(%x: f32[batch, 3]) {
    %p = mul %x, %w
    %t = tanh %p
    %m = reduce_mean %t
    return %m
  }
  // SYMBOLIC: func @loss.gradient(%x: f32[batch, 3]) -> f32[], f32[3], f32[batch, 3]
  // SYMBOLIC: size %{{.*}} : f32[]
  // SYMBOLIC: %d.w = reduce_sum %{{.*}}, axes = [0] : f32[3]
  // SYMBOLIC: return %m as "m", %d.w as "d.w", %d.x as "d.x"
}
