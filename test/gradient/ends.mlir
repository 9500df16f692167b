// Paths that end where others go on to the result are remarked on.
// RUN: gradus-opt %s --verify-diagnostics --split-input-file --graph-differentiate -o /dev/null

graph.model @m {
  func @loss(%x: f32[4], %t: f32[]) {
    // expected-remark @below {{floor has no slope: derivatives take %whole for a constant, though what is asked for depends on it}}
    %whole = floor %x
    %part = sub %x, %whole
    // expected-remark @below {{compare has no slope: derivatives take %far for a constant}}
    %far = compare gt, %x, %t
    %y = select %far, %part, %x
    // No word on what is meant so, nor on what the result does not depend on.
    %still = stop_gradient %x
    %places = argmax %x
    %z = mul %y, %still
    %l = reduce_sum %z
    return %l
  }
  func @slope(%x: f32[4], %t: f32[]) {
    %l, %d = value_and_grad @loss(%x, %t) wrt %x
    return %l, %d
  }
  func @curvature(%x: f32[4], %t: f32[], %u: f32[4], %v: f32[]) {
    %h:4 = jvp @slope(%x, %t, %u, %v)
    return %h#3
  }
}

// -----

// Whether a loop goes on is no number; which branch is taken is decided by one.
graph.model @m {
  func @steps(%x: f32[]) {
    %one = constant f32[] = 1.0
    %y = while limit = 9 carry (%c = %x) {
      %go = compare gt, %c, %one
      yield %go
    } do {
      %h = mul %c, %c
      // expected-remark @below {{compare has no slope}}
      %small = compare lt, %h, %one
      %n = if %small {
        %a = tanh %h
        yield %a
      } else {
        yield %h
      }
      yield %n
    }
    return %y
  }
  func @slope(%x: f32[]) {
    %l, %d = value_and_grad @steps(%x) wrt %x
    return %d
  }
}
