// What is printed reads back as the same text, also by way of bytecode.
// RUN: gradus-opt %s -o %t.1 && gradus-opt %t.1 -o %t.2 && diff %t.1 %t.2
// RUN: gradus-opt %s --emit-bytecode -o %t.bc && gradus-opt %t.bc -o %t.3 && diff %t.1 %t.3
// RUN: gradus-opt %s | FileCheck %s
// RUN: gradus-opt %examples/mlp.mlir --graph-gradient -o %t.4 && gradus-opt %t.4 -o %t.5 && diff %t.4 %t.5
// RUN: gradus-opt %examples/lenet.mlir --graph-gradient -o %t.6 && gradus-opt %t.6 -o %t.7 && diff %t.6 %t.7

graph.model @m {
  // CHECK: %{{.*}} = param "h.0/attn weight" f32[4, 3] = normal(mean = 0.0, seed = 3, std = 0.02)
  %w = param "h.0/attn weight" f32[4, 3] = normal(std = 0.02, mean = 0.0, seed = 3)
  // CHECK: %n = state i64[] = zeros
  %n = state i64[] = zeros
  // CHECK: func @f(%x: f32[batch, 4], %scale: f32[] = 0.5) -> f32[batch, 3], i1[batch, 3]
  func @f(%x: f32[batch, 4], %scale: f32[] = 0.5) -> f32[batch, 3], i1[batch, 3] {
    // CHECK: %h = matmul %x, %{{.*}} : f32[batch, 3]
    %h = matmul %x, %w : f32[batch, 3]
    // CHECK: constant f32[2, 2] = {{\[\[}}1.0, -2.5], [1.0e-08, 3.0]]
    %c = constant f32[2, 2] = [[1, -2.5], [1.0e-8, 3.0]]
    // CHECK: constant i1[3] = [true, false, true]
    %t = constant i1[3] = [true, false, true]
    // CHECK: constant f32[8] = 0.1
    %s = constant f32[8] = 0.1
    // CHECK: compare ge, %h, %scale : i1[batch, 3]
    %p = compare ge, %h, %scale
    // CHECK: reduce_sum %h, axes = [1], keepdims : f32[batch, 1]
    %r = reduce_sum %h, axes = [1], keepdims
    // CHECK: rearrange "(a b) -> b a", %s, a = 2 : f32[4, 2]
    %e = rearrange "(a b) -> b a", %s, a = 2
    // CHECK: return %h, %p as "above/half"
    return %h, %p as "above/half"
  }
  func @pack(%x: f32[shape...], %y: f32[first, rest...]) {
    %z = neg %x
    return %z, %y
  }
}
