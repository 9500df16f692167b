// Mistakes in loops and branches, in the model's own words.
// RUN: gradus-opt %s --split-input-file --verify-diagnostics

graph.model @m {
  %w = param f32[16, 32] = he_normal
  func @run(%h0: f32[batch, 16]) {
    // expected-note @below {{%s starts here}}
    %h = for %i in 12 carry (%s = %h0) {
      %s2 = matmul %s, %w
      // expected-error @below {{the carry %s is f32[batch, 16], but f32[batch, 32] after one step: axis 1 is 16 before and 32 after}}
      yield %s2
    }
    return %h
  }
}

// -----

graph.model @m {
  func @run(%x: f32[batch, 10, 8], %h0: f32[batch, 16]) {
    %h, %ys = for %xt in %x, axis = 1 carry (%s = %h0) {
      %s2 = tanh %s
      // expected-error @below {{the loop carries 1 value (%s), but 2 are yielded}}
      // expected-note @below {{a value to keep of every step is written after 'stack'}}
      yield %s2, %s2
    }
    return %h
  }
}

// -----

graph.model @m {
  // expected-note @below {{%z is an argument of shape f32[batch, 12, 8]}}
  func @run(%x: f32[batch, 10, 8], %z: f32[batch, 12, 8]) {
    // expected-error @below {{the loop has 10 steps, but axis 1 of %z, f32[batch, 12, 8], has 12}}
    %ys = for %xt in %x, %zt in %z, axis = 1 {
      yield stack %xt
    }
    return %ys
  }
}

// -----

graph.model @m {
  // expected-note @below {{%x is an argument of shape f32[4]}}
  func @run(%x: f32[4]) {
    // expected-error @below {{axis 1 is out of range for f32[4]}}
    %ys = for %xt in %x, axis = 1 {
      yield stack %xt
    }
    return %ys
  }
}

// -----

graph.model @m {
  func @run(%x: f32[4]) {
    // expected-error @below {{for has no attribute 'reversed'; did you mean 'reverse'?}}
    // expected-note @below {{its attributes are: axis, reverse, checkpoint}}
    %ys = for %xt in %x, reversed {
      yield stack %xt
    }
    return %ys
  }
}

// -----

graph.model @m {
  func @run(%x: f32[4], %y: f32[5], %p: i1[]) {
    %h = if %p {
      // expected-note @below {{the other branch}}
      yield %x
    } else {
      %z = tanh %y
      // expected-error @below {{this branch yields f32[5], the other f32[4]: the branches of an 'if' agree}}
      yield %z
    }
    return %h
  }
}

// -----

graph.model @m {
  // expected-note @below {{%p is an argument of shape f32[4]}}
  func @run(%x: f32[4], %p: f32[4]) {
    // expected-error @below {{the condition of 'if' is i1[], not f32[4]}}
    %h = if %p {
      yield %x
    } else {
      yield %x
    }
    return %h
  }
}

// -----

graph.model @m {
  func @run(%x: f32[4], %p: i1[]) {
    %h = if %p {
      yield %x
    // expected-error @below {{an 'if' is a value: it needs an 'else { ... yield ... }'}}
    }
    return %h
  }
}

// -----

graph.model @m {
  func @run(%x: f32[4], %e: f32[4]) {
    %h = while carry (%s = %x) {
      %p = compare lt, %s, %e
      // expected-error @below {{the condition yields one i1[], not i1[4]}}
      yield %p
    } do {
      yield %s
    }
    return %h
  }
}

// -----

graph.model @m {
  func @run(%x: f32[10, 4], %e: f32[4]) {
    %h, %ys = for %xt in %x carry (%state = %e) {
      // expected-error @below {{no value named '%stat' is in scope; did you mean '%state'?}}
      %z = add %xt, %stat
      yield %z stack %z
    }
    return %h
  }
}

// -----

graph.model @m {
  func @run(%x: f32[4]) {
    // expected-error @below {{this body of 'for' does not yield}}
    %h = for %i in 3 carry (%s = %x) {
      %z = tanh %s
    }
    return %h
  }
}

// -----

graph.model @m {
  %n = state f32[] = zeros
  func @run(%x: f32[]) {
    %h = for %i in 3 carry (%s = %x) {
      // expected-error @below {{%n is updated once a call of the function, not in a loop or branch: carry its value there and update it with the last one}}
      update %n, %s
      yield %s
    }
    return %h
  }
}

// -----

graph.model @m {
  func @run(%x: f32[4]) {
    %h = for %i in 3 carry (%s = %x) {
      // expected-error @below {{a param is declared in a model or function, outside its loops and branches; they may use it}}
      %w = param f32[4] = zeros
      yield %w
    }
    return %h
  }
}

// -----

graph.model @m {
  func @run(%x: f32[4]) {
    // expected-error @below {{a loop cannot have -1 steps}}
    %h = while limit = -1 carry (%s = %x) {
      %t = constant i1[] = true
      yield %t
    } do {
      yield %s
    }
    return %h
  }
}

// -----

graph.model @m {
  func @half(%x: f32[batch, 16]) {
    %y = call @std.dense(%x), out = 8
    return %y
  }
  func @run(%x: f32[batch, 16]) {
    // expected-error @below {{what is repeated takes what it returns: argument 0 is f32[batch, 16], but result 0 is f32[batch, 8]}}
    %y = repeat 3 @half(%x)
    return %y
  }
}

// -----

graph.model @m {
  func @run(%x: f32[batch, 16]) {
    // expected-error @below {{a function is repeated once at least, not 0 times}}
    %y = repeat 0 @std.dense(%x), out = 16
    return %y
  }
}
