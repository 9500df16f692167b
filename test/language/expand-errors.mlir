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
