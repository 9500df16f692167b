// Ridge regression whose penalty is learned: the weights are the solution of (x'x + penalty) w = x'y, found by conjugate
// gradients, and their gradient is that of the solution, not of the steps that found it (implicit differentiation).
// Train it: gradus train docs/examples/ridge.mlir --data=fashion-mnist --batch=1000 --epochs=2
graph.model @ridge {
  %log_penalty = param f32[] = zeros

  // (x'x + penalty) v
  func @normal(%x: f32[rows, columns], %penalty: f32[], %v: f32[columns, classes]) {
    %xv = matmul %x, %v
    %xt = transpose %x
    %xxv = matmul %xt, %xv
    %pv = mul %v, %penalty
    %y = add %xxv, %pv
    return %y
  }
  // The solution of (x'x + penalty) w = b (Hestenes and Stiefel 1952), all columns at once.
  func @solve(%x: f32[rows, columns], %penalty: f32[], %b: f32[columns, classes]) gradient @solve_gradient {
    %zero = constant f32[] = 0.0
    %small = constant f32[] = 1.0e-9
    %w0 = broadcast %zero, to = f32[columns, classes]
    %bb = mul %b, %b
    %r0 = reduce_sum %bb
    %goal = mul %r0, %small
    %w, %r, %p, %rr = while limit = 200 carry (%w = %w0, %r = %b, %p = %b, %rr = %r0) {
      %go = compare gt, %rr, %goal
      yield %go
    } do {
      %ap = call @normal(%x, %penalty, %p)
      %pap = mul %p, %ap
      %curve = reduce_sum %pap
      %alpha = div %rr, %curve
      %step = mul %p, %alpha
      %w2 = add %w, %step
      %change = mul %ap, %alpha
      %r2 = sub %r, %change
      %squares = mul %r2, %r2
      %rr2 = reduce_sum %squares
      %beta = div %rr2, %rr
      %along = mul %p, %beta
      %p2 = add %r2, %along
      yield %w2, %r2, %p2, %rr2
    }
    return %w
  }
  // With u the solution for d in the place of b: d.b = u, and u' d((x'x + penalty) w) = 0 gives the others.
  func @solve_gradient(%x: f32[rows, columns], %penalty: f32[], %b: f32[columns, classes], %d: f32[columns, classes]) {
    %w = call @solve(%x, %penalty, %b)
    %u = call @solve(%x, %penalty, %d)
    %xu = matmul %x, %u
    %xw = matmul %x, %w
    %ut = transpose %u
    %wt = transpose %w
    %one_side = matmul %xu, %wt
    %other_side = matmul %xw, %ut
    %both = add %one_side, %other_side
    %dx = neg %both
    %uw = mul %u, %w
    %dot = reduce_sum %uw
    %dpenalty = neg %dot
    return %dx, %dpenalty, %u
  }
  // Fits one half of the examples, and returns how well the weights fit the other.
  func @halves(%x: f32[1000, 784], %label: i32[1000]) {
    %middle = constant f32[] = 0.5
    %centred = sub %x, %middle
    %hot = one_hot %label, to = f32[1000, 10]
    %x1, %x2 = split %centred, parts = 2, axis = 0
    %y1, %y2 = split %hot, parts = 2, axis = 0
    %penalty = exp %log_penalty
    %xt = transpose %x1
    %b = matmul %xt, %y1
    %w = call @solve(%x1, %penalty, %b)
    %guess = matmul %x2, %w
    return %guess, %y2
  }
  func @loss(%x: f32[1000, 784], %label: i32[1000]) {
    %guess, %y = call @halves(%x, %label)
    %loss = mse %guess, %y
    return %loss
  }
  func @accuracy(%x: f32[1000, 784], %label: i32[1000]) {
    %guess, %y = call @halves(%x, %label)
    %class = argmax %y
    %a = call @std.accuracy(%guess, %class)
    return %a
  }
  train @fit minimizes @loss using adam(lr = 0.1) reports @accuracy
}
