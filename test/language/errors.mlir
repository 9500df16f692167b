// Each mistake, in the model's own words.
// RUN: gradus-opt %s --split-input-file --verify-diagnostics

graph.model @m {
  // expected-note @below {{%w is declared as f32[785, 256]}}
  %w = param f32[785, 256] = zeros
  func @f(%x: f32[batch, 784]) {
    // expected-error @below {{cannot multiply f32[batch, 784] by f32[785, 256]: inner dimensions 784 and 785 differ}}
    %h = linear %x, %w
    return %h
  }
}

// -----

graph.model @m {
  func @f(%x: f32[4]) {
    // expected-error @below {{there is no op 'rleu'; did you mean 'relu'?}}
    %a = rleu %x
    return %a
  }
}

// -----

graph.model @m {
  %fc1.w = param f32[4] = ones
  func @f(%x: f32[4]) {
    // expected-error @below {{no value named '%fc1.W' is in scope; did you mean '%fc1.w'?}}
    %a = mul %x, %fc1.W
    return %a
  }
}

// -----

graph.model @m {
  func @f(%x: f32[4, 5]) {
    // expected-error @below {{'keepdims' takes no value: write 'keepdims', or leave it out}}
    %s = reduce_sum %x, axes = [1], keepdims = true
    return %s
  }
}

// -----

graph.model @m {
  func @f(%x: f32[1, 8, 8, 2], %w: f32[3, 3, 2, 4]) {
    // expected-error @below {{conv has no attribute 'strides'; did you mean 'stride'?}}
    // expected-note @below {{its attributes are: stride, padding, dilation, groups}}
    %a = conv %x, %w, strides = [2, 2]
    return %a
  }
}

// -----

graph.model @m {
  func @f(%x: f32[4, 4]) {
    // expected-error @below {{linear needs operand 'w'}}
    // expected-note @below {{usage: linear %x, %w, [%b]}}
    %a = linear %x
    return %a
  }
}

// -----

graph.model @m {
  func @f(%x: f32[4]) {
    // expected-error @below {{'%later' is used before it is defined}}
    %a = add %x, %later
    // expected-note @below {{it is defined here}}
    %later = neg %x
    return %a
  }
}

// -----

graph.model @m {
  // expected-error @below {{there is no initialiser 'he_norml'; did you mean 'he_normal'?}}
  // expected-note @below {{the initialisers are: zeros, ones, constant, normal}}
  %w = param f32[4] = he_norml
}

// -----

graph.model @m {
  // expected-note @below {{first declared here}}
  %a = param "w" f32[4] = ones
  // expected-error @below {{parameter 'w' is declared twice}}
  %b = param "w" f32[4] = ones
}

// -----

graph.model @m {
  // expected-note @below {{%x is an argument of shape f32[4]}}
  func @f(%x: f32[4]) {
    // expected-error @below {{axis 3 is out of range for f32[4]}}
    %a = softmax %x, axis = 3
    return %a
  }
}

// -----

graph.model @m {
  func @f(%x: f32[4]) {
    // expected-error @below {{the result is f32[4], not f32[5]}}
    %a = neg %x : f32[5]
    return %a
  }
}

// -----

graph.model @m {
  func @f(%x: f32[4, 6]) {
    // expected-error @below {{split makes 3 values, but 2 are named}}
    %a, %b = split %x, parts = 3
    return %a
  }
}

// -----

graph.model @m {
  func @f(%x: f32[4, 3]) {
    %a = neg %x
    return %a
  }
  func @g(%x: f32[4, 3]) {
    // expected-error @below {{only a scalar has a gradient, but @f returns f32[4, 3]}}
    %v, %d = value_and_grad @f(%x) wrt %x
    return %d
  }
}

// -----

graph.model @m {
  func @g(%x: f32[4, 3]) {
    // expected-error @below {{no function @std.dence is defined above; did you mean @std.dense?}}
    %v = call @std.dence(%x), out = 3
    return %v
  }
}

// -----

graph.model @m {
  func @g(%x: f32[4, 3]) {
    // expected-error @below {{the function has no dimension or argument 'outt'; did you mean 'out'?}}
    %v = call @std.dense(%x), outt = 3
    return %v
  }
}

// -----

graph.model @m {
  // expected-error @below {{a tensor this large fits no machine}}
  func @g(%x: f32[1000000000, 1000000000]) {
    return %x
  }
}

// -----

graph.model @m {
  // expected-error @below {{there are no tensors of i16; element types are f64, f32, f16, bf16, i64, i32, i8, i1}}
  func @g(%x: i16[4]) {
    return %x
  }
}

// -----

graph.model @m {
  func @g(%x: f32[4]) {
    // expected-error @below {{%x is no parameter or state; only those are updated}}
    update %x, %x
    return %x
  }
}

// -----

graph.model @m {
  func @g(%x: f32[4], %y: f32[3]) {
    // expected-error @below {{'i' is 4 and also 3}}
    // expected-note @-2 {{%y is an argument of shape f32[3]}}
    %v = einsum "i,i->", %x, %y
    return %v
  }
}

// -----

graph.model @m {
  func @g(%x: f32[6]) {
    // expected-error @below {{the size of 'b' or 'a' must be given, as in 'b = 8'}}
    // expected-note @-2 {{%x is an argument of shape f32[6]}}
    %v = rearrange "(a b) -> b a", %x
    return %v
  }
}

// -----

graph.model @m {
  func @g(%x: f32[4], %y: i32[4]) {
    // expected-error @below {{cannot combine i32[4] with f32[4]: element types differ}}
    // expected-note @-2 {{%y is an argument of shape i32[4]}}
    %v = add %x, %y
    return %v
  }
}

// -----

graph.model @m {
  func @g(%x: f32[4]) {
    // expected-error @below {{axis 0 of f32[3] has 3 elements, but 2 are given}}
    %v = constant f32[3] = [1.0, 2.0]
    return %v
  }
}

// -----

graph.model @m {
  func @g(%x: f32[4]) {
    return %x
  }
  // expected-error @below {{there are two functions @g}}
  func @g(%x: f32[4]) {
    return %x
  }
}

// -----

graph.model @m {
  // expected-error @below {{@g does not return}}
  func @g(%x: f32[4]) {
    %y = neg %x
  }
}

// -----

graph.model @m {
  func @g(%x: i8[4, 4], %y: f16[4, 4]) {
    // expected-error @below {{sums of products of i8 are no f32; 'cast' converts them}}
    %p = matmul %x, %x, to = f32
    return %p
  }
}

// -----

graph.model @m {
  func @g(%seed: i32[]) {
    // expected-error @below {{random numbers are f32 or f64, not bf16[4]; 'cast' rounds them}}
    %p = uniform %seed, to = bf16[4]
    return %p
  }
}

// -----

graph.model @m {
  func @g(%x: f32[2, 9, 3], %w: f32[3, 3, 4]) {
    // expected-error @below {{stride must be 1 positive number, one for each size}}
    %p = conv %x, %w, stride = [2, 2]
    return %p
  }
}

// -----

graph.model @m {
  func @g(%x: f32[2, 9]) {
    // expected-error @below {{expected [batch, sizes, channel] with one to three sizes, not f32[2, 9]}}
    // expected-note @above {{%x is an argument of shape f32[2, 9]}}
    %p = max_pool %x, window = [2]
    return %p
  }
}

// -----

graph.model @m {
  func @f(%x: f32[batch, h, w, channels], %k: f32[3, 3, 1, channels]) {
    // expected-error @below {{the filter takes 1 channels a group, but the image has channels in all, and there are wide groups}}
    // expected-note @-2 {{%k is an argument of shape f32[3, 3, 1, channels]}}
    %y = conv %x, %k, groups = wide
    return %y
  }
}

// -----

graph.model @m {
  func @f(%x: f32[batch, h, w, channels], %k: f32[3, 3, 1, channels]) {
    // expected-error @below {{expected a number or the name of a dimension}}
    %y = conv %x, %k, groups = %x
    return %y
  }
}

// -----

graph.model @m {
  func @f(%x: f32[batch, h, w, channels], %k: f32[3, 3, 1, channels]) {
    // expected-error @below {{expected a number that is not negative, or the name of a dimension}}
    %y = conv %x, %k, groups = -2
    return %y
  }
}

// -----

graph.model @m {
  func @scaled(%x: f32[n], %by: f32[] = 2.0) {
    %y = mul %x, %by
    return %y
  }
  func @f(%x: f32[n]) {
    // expected-error @below {{argument 'by' is a number, but 'n' is a dimension}}
    %y = call @scaled(%x), by = n
    return %y
  }
}
