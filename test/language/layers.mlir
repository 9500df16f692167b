// RUN: gradus-opt %s --pass-pipeline='builtin.module(graph.model(graph-instantiate-layers))' | FileCheck %s
// Layers get parameters of their own under the call's name; one prefix twice is one set of weights.

graph.model @m {
  // CHECK: %one.w = param f32[8, 16] = he_normal
  // CHECK: %one.b = param f32[16] = zeros
  // CHECK: %h.0.up.w = param f32[16, 4] = he_normal
  // CHECK-NOT: = param f32[16, 4]
  func @block(%x: f32[batch, in]) {
    %up = call @std.dense(%x), out = 4
    %scale = param f32[4] = ones
    %y = mul %up, %scale
    return %y
  }
  // CHECK: func @f(%x: f32[batch, 8]) -> f32[batch, 4], f32[batch, 4]
  func @f(%x: f32[batch, 8]) {
    // CHECK: %one = linear %x, %one.w, %one.b : f32[batch, 16]
    %one = call @std.dense(%x), out = 16
    // CHECK: %a = mul %h.0.up, %h.0.scale
    %a = call @block(%one) as "h.0"
    // CHECK: %b = mul %{{.*}}, %h.0.scale
    %b = call @block(%one) as "h.0"
    return %a, %b
  }
  // CHECK-NOT: func @block
}
