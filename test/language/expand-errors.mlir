// RUN: gradus-opt %s --split-input-file --verify-diagnostics --graph-gradient

graph.model @m {
  %w = param f32[4] = ones
  func @loss(%x: f32[4]) {
    %p = mul %x, %w
    %s = reduce_sum %p
    return %s
  }
  // expected-error @below {{there is no optimiser 'adan'; did you mean 'adam'?}}
  train @fit minimizes @loss using adan
}

// -----

graph.model @m {
  %w = param f32[4] = ones
  func @loss(%x: f32[4]) {
    %p = mul %x, %w
    return %p
  }
  // expected-error @below {{only a scalar can be minimized, but @loss returns f32[4]}}
  train @fit minimizes @loss using sgd
}

// -----

graph.model @m {
  %w = param f32[4] = ones
  func @loss(%x: f32[4]) {
    %s = reduce_sum %x
    return %s
  }
  // expected-error @below {{@loss uses no parameter, so there is nothing to train}}
  train @fit minimizes @loss using sgd
}

// -----

graph.model @m {
  %w = param f32[4] = ones
  // expected-warning @below {{@loss does not use parameter 'unused': training leaves it as it is}}
  %unused = param f32[4] = ones
  func @loss(%x: f32[4]) {
    %p = mul %x, %w
    %s = reduce_sum %p
    return %s
  }
  train @fit minimizes @loss using sgd
}

// -----

graph.model @m {
  %w = param f32[4] = ones
  func @loss(%x: f32[4]) {
    %p = mul %x, %w
    %s = reduce_sum %p
    return %s
  }
  // expected-error @below {{the function has no dimension or argument 'rate'}}
  train @fit minimizes @loss using sgd(rate = 1)
}

// -----

graph.model @m {
  func @f(%x: f32[]) gradient @g {
    %y = tanh %x
    return %y
  }
  func @slope(%x: f32[]) {
    // expected-error @below {{there is no function @g, which is to be the gradient}}
    // expected-note @below {{its gradient is asked for here}}
    %y, %d = value_and_grad @f(%x) wrt %x
    return %d
  }
}

// -----

graph.model @m {
  func @g(%x: f32[4], %d: f32[4]) {
    %l = reduce_sum %d
    return %l
  }
  func @f(%x: f32[4]) gradient @g {
    %y = tanh %x
    return %y
  }
  func @loss(%x: f32[4]) {
    // expected-error @below {{@g is to be the gradient: it returns a cotangent for each float argument, of its shape}}
    %y = call @f(%x)
    %l = reduce_sum %y
    return %l
  }
  func @slope(%x: f32[4]) {
    // expected-note @below {{its gradient is asked for here}}
    %y, %d = value_and_grad @loss(%x) wrt %x
    return %d
  }
}

// -----

graph.model @m {
  %w = param f32[4] = ones
  func @g(%x: f32[4], %d: f32[4]) {
    return %d
  }
  func @f(%x: f32[4]) gradient @g {
    // expected-error @below {{@f has a gradient of its own: parameters and states reach it as arguments}}
    %y = mul %x, %w
    return %y
  }
}

// -----

// Gradients that are zero whatever the numbers.
graph.model @m {
  func @steps(%x: f32[4], %y: f32[4]) {
    // expected-note @below {{floor here}}
    %f = floor %x
    %l = reduce_sum %f
    return %l
  }
  func @slope(%x: f32[4], %y: f32[4]) {
    // expected-warning @below {{the gradient with respect to %x is zero: on every path to the loss something has no slope}}
    // expected-warning @below {{the gradient with respect to %y is zero: the loss does not depend on it}}
    %l, %dx, %dy = value_and_grad @steps(%x, %y) wrt %x, %y
    return %dx, %dy
  }
}

// -----

graph.model @m {
  func @stage(%x: f32[batch, in]) {
    // expected-error @below {{calls of @stage share 'y.w', but each gives it a size 'in'}}
    %y = call @std.dense(%x), out = 4
    return %y
  }
  func @f(%x: f32[batch, 3]) {
    // expected-note @below {{called with a name, `call @stage(..) as "a"`, it has one of its own}}
    %y = call @stage(%x)
    return %y
  }
}

// -----

graph.model @m {
  // expected-error @below {{@f is a layer, as it has parameters of its own, and nothing calls it; move its parameters in front of it, or call it from a function that has none}}
  func @f(%x: f32[batch, 3]) {
    %w = param f32[3, 4] = zeros
    %y = matmul %x, %w
    return %y
  }
}
