// RUN: gradus-opt %s --split-input-file --verify-diagnostics --graph-gradient

graph.model @m {
  func @f(%x: f32[3], %y: f32[]) {
    %z = mul %x, %y
    return %z
  }
  func @g(%x: f32[4, 3], %y: f32[], %z: f32[5]) { // expected-note {{%y is an argument}}
    // expected-error @below {{%y is f32[]: it has no axis of examples; 'over' names those that have one}}
    %r = vmap @f(%x, %y)
    return %r
  }
}

// -----

graph.model @m {
  func @f(%x: f32[3], %y: f32[]) {
    %z = mul %x, %y
    return %z
  }
  func @g(%x: f32[4, 3], %y: f32[], %z: f32[5]) { // expected-note {{%z is an argument}}
    // expected-error @below {{there are 4 examples, but %z has 5}}
    %r = vmap @f(%x, %z)
    return %r
  }
}

// -----

graph.model @m {
  func @f(%x: f32[3], %y: f32[]) {
    %z = mul %x, %y
    return %z
  }
  func @g(%x: f32[4, 3], %y: f32[], %z: f32[5]) { // expected-note {{%z is an argument}}
    // expected-error @below {{the function takes f32[3] here, not f32[]}}
    %r = vmap @f(%z, %y) over %z
    return %r
  }
}

// -----

graph.model @m {
  func @f(%x: f32[3], %y: f32[]) {
    %z = mul %x, %y
    return %z
  }
  func @g(%x: f32[4, 3], %y: f32[], %z: f32[5]) {
    // expected-error @below {{%z is no argument of this vmap of @f}}
    %r = vmap @f(%x, %y) over %z
    return %r
  }
}

// -----

graph.model @m {
  func @f(%x: f32[3], %y: f32[]) {
    %z = mul %x, %y
    return %z
  }
  func @g(%x: f32[4, 3], %y: f32[], %z: f32[5]) {
    // expected-error @below {{no function @g is defined above; did you mean @f?}}
    %r = vmap @g(%x, %y) over %x
    return %r
  }
}

// -----

graph.model @m {
  func @f(%x: f32[3], %y: f32[]) {
    %z = mul %x, %y
    return %z
  }
  func @g(%x: f32[4, 3], %y: f32[], %z: f32[3]) {
    // expected-error @below {{only a scalar has a hessian, but @f returns f32[3]}}
    %r = hessian @f(%z, %y)
    return %r
  }
}

// -----

graph.model @m {
  func @f(%x: f32[3]) {
    return %x, %x
  }
  func @g(%x: f32[3]) {
    // expected-error @below {{a jacobian is of a function with one float result, but @f returns 2 values}}
    %r = jacobian @f(%x)
    return %r
  }
}

// -----

graph.model @m {
  %n = state f32[] = zeros
  func @f(%x: f32[]) {
    %z = add %n, %x
    // expected-error @below {{the next value of %n differs from example to example}}
    update %n, %z
    return %z
  }
  func @g(%x: f32[4]) {
    // expected-note @below {{of this vmap}}
    %r = vmap @f(%x)
    return %r
  }
}
