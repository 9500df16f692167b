// Loops and branches print as they read, also by way of bytecode; their types follow from what they are given.
// RUN: gradus-opt %s -o %t.1 && gradus-opt %t.1 -o %t.2 && diff %t.1 %t.2
// RUN: gradus-opt %s --emit-bytecode -o %t.bc && gradus-opt %t.bc -o %t.3 && diff %t.1 %t.3
// RUN: gradus-opt %s | FileCheck %s
// RUN: gradus-opt %s --graph-gradient -o %t.4 && gradus-opt %t.4 -o %t.5 && diff %t.4 %t.5

graph.model @loops {
  %wx = param f32[8, 16] = glorot_uniform(seed = 1)
  %wh = param f32[16, 16] = glorot_uniform(seed = 2)

  // CHECK: func @scan(%x: f32[batch, time, 8], %h0: f32[batch, 16]) -> f32[batch, 16], f32[batch, time, 16]
  func @scan(%x: f32[batch, time, 8], %h0: f32[batch, 16]) {
    // CHECK: %h, %hs = for %i in time, %xt: f32[batch, 8] in %x, axis = 1, reverse carry (%s: f32[batch, 16] = %h0) {
    %h, %hs = for %i in time, %xt in %x, axis = 1, reverse carry (%s = %h0) {
      %u = matmul %xt, %wx
      %v = matmul %s, %wh
      %a = add %u, %v
      %n = cast %i, to = f32
      %b = add %a, %n
      %s2 = tanh %b
      // CHECK: yield %s2 stack %s2
      yield %s2 stack %s2
    // CHECK: } : f32[batch, 16], f32[batch, time, 16]
    }
    return %h, %hs
  }
  func @fixed(%x: f32[16], %eps: f32[]) {
    %one = constant f32[] = 1.0
    // CHECK: %y, %e = while limit = 100 carry (%s: f32[16] = %x, %err: f32[] = %one) {
    %y, %e = while limit = 100 carry (%s = %x, %err = %one) {
      %go = compare gt, %err, %eps
      yield %go
    // CHECK: } do {
    } do {
      %t = cos %s
      %d = sub %t, %s
      %q = mul %d, %d
      %n = reduce_max %q
      yield %t, %n
    // CHECK: } : f32[16], f32[]
    }
    %p = compare lt, %e, %eps
    // CHECK: %z = if %p {
    %z = if %p {
      %t = exp %y
      yield %t
    // CHECK: } else {
    } else {
      yield %y
    // CHECK: } : f32[16]
    }
    // A loop that only keeps, and one that only counts.
    // CHECK: %powers = for %i in 3 {
    %powers = for %i in 3 {
      %n = cast %i, to = f32
      %t = pow %z, %n
      yield stack %t
    // CHECK: } : f32[3, 16]
    }
    return %powers
  }
  // A body calls functions; a layer in it has one set of weights for all steps.
  func @twice(%x: f32[shape...]) {
    %y = add %x, %x
    return %y
  }
  func @cell(%x: f32[batch, 16]) {
    %a = call @std.dense(%x), out = 16
    %b = tanh %a
    return %b
  }
  func @deep(%x: f32[batch, 16]) {
    %h = for %i in 12 carry (%s = %x) {
      %a = call @std.dense(%s) as "cell", out = 16
      %b = call @twice(%a)
      %c = tanh %b
      yield %c
    }
    %l = reduce_sum %h
    return %l
  }
  // CHECK: func @stacked
  func @stacked(%x: f32[batch, 16]) {
    // CHECK: %y = repeat 12 @cell(%x) as "h" : f32[batch, 16]
    %y = repeat 12 @cell(%x) as "h"
    return %y
  }
}
