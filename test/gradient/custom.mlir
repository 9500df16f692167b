// Functions with a gradient of their own, and bodies that are not kept.
// RUN: gradus run %s --function=slopes --input x=[0.3,1.7,-0.6] | FileCheck %s
// RUN: gradus check-grad %s --function=implicit | FileCheck %s --check-prefix=OK
// RUN: gradus check-grad %s --function=implicit_slope | FileCheck %s --check-prefix=OK
// RUN: gradus check-grad %s --function=kept_not | FileCheck %s --check-prefix=OK
// RUN: gradus check-grad %s --function=kept_not_slope | FileCheck %s --check-prefix=OK
// RUN: gradus verify %s | FileCheck %s --check-prefix=COMPILED --implicit-check-not=WRONG
// RUN: gradus-opt %s -o %t.1 && gradus-opt %t.1 -o %t.2 && diff %t.1 %t.2
// OK: ok
// COMPILED: @kept_not_slope: {{.*}}: ok

graph.model @custom {
  // Rounds forwards; backwards it lets the cotangent through.
  func @through(%x: f32[shape...], %d: f32[shape...]) {
    return %d
  }
  func @round(%x: f32[shape...]) gradient @through {
    %half = constant f32[] = 0.5
    %s = add %x, %half
    %y = floor %s
    return %y
  }
  func @rounded_loss(%x: f32[3]) {
    %r = call @round(%x)
    %q = mul %r, %r
    %l = reduce_sum %q
    return %l
  }
  // 2 round(x), in both modes.
  // CHECK: by_reverse
  // CHECK-NEXT: [0, 4, -2]
  // CHECK: by_forward = 2
  func @slopes(%x: f32[3]) {
    %l, %by_reverse = value_and_grad @rounded_loss(%x) wrt %x
    %ones = constant f32[3] = 1.0
    %same, %by_forward = jvp @rounded_loss(%x, %ones)
    return %by_reverse, %by_forward
  }

  // y = cos(w y) as a fixed point, by as many steps as it takes; its gradient
  // by the implicit function theorem: dy = -y' sin(w y) / (1 + w sin(w y)) dw.
  func @fixed(%w: f32[]) gradient @fixed_gradient {
    %one = constant f32[] = 1.0
    %small = constant f32[] = 1.0e-12
    %y, %gap = while carry (%s = %one, %e = %one) {
      %go = compare gt, %e, %small
      yield %go
    } do {
      %ws = mul %w, %s
      %t = cos %ws
      %d = sub %t, %s
      %d2 = mul %d, %d
      yield %t, %d2
    }
    return %y
  }
  func @fixed_gradient(%w: f32[], %d: f32[]) {
    %y = call @fixed(%w)
    %wy = mul %w, %y
    %s = sin %wy
    %ys = mul %y, %s
    %top = neg %ys
    %ws = mul %w, %s
    %one = constant f32[] = 1.0
    %below = add %one, %ws
    %slope = div %top, %below
    %g = mul %d, %slope
    return %g
  }
  func @implicit(%a: f32[]) {
    %half = constant f32[] = 0.5
    %w = mul %a, %half
    %y = call @fixed(%w)
    %l = exp %y
    return %l
  }
  func @implicit_slope(%a: f32[]) {
    %l, %d = value_and_grad @implicit(%a) wrt %a
    return %d
  }
  func @kept_not(%x: f32[4, 8], %w: f32[8, 8]) {
    %y = checkpoint {
      %a = matmul %x, %w
      %b = gelu %a
      %c = matmul %b, %w
      yield %c
    }
    %z = tanh %y
    %l = reduce_sum %z
    return %l
  }
  func @kept_not_slope(%x: f32[4, 8], %w: f32[8, 8]) {
    %l, %g = value_and_grad @kept_not(%x, %w) wrt %w
    %q = mul %g, %g
    %n = reduce_sum %q
    return %n
  }
}
