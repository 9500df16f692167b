// Input of bounded.test.
graph.model @bounded {
  %table = param f32[9, 4] = normal

  func @mean(%x: f32[batch, 2]) {
    %m = reduce_mean %x
    %n = size %x
    return %m, %n as "n"
  }
  func @two(%x: f32[batch, 2], %y: f32[batch, 2]) {
    %s = add %x, %y
    return %s
  }
  func @turned(%x: f32[batch, 2]) {
    %y = reverse %x, axes = [0]
    return %y
  }
  func @second(%x: f32[2, batch]) {
    %y = exp %x
    return %y
  }

  // Two dimensions, results that are arguments, copies, look-ups, sums and loops along such a dimension.
  func @cross(%x: f32[n, 3], %y: f32[m, 3]) {
    %yt = transpose %y
    %p = matmul %x, %yt
    %s = reduce_sum %p, axes = [1]
    %t = reduce_sum %p
    return %s, %t
  }
  func @pass(%x: f32[n, 3]) {
    return %x
  }
  func @both(%x: f32[n, 3]) {
    %a, %b, %c = split %x, parts = 3
    %d = concat %c, %a
    %e = pad %d, axis = 1, low = 1
    return %e, %x as "x2"
  }
  func @look(%i: i32[n]) {
    %e = embedding %table, %i
    %g = reduce_sum %e, axes = [0]
    return %e, %g
  }
  func @loss(%i: i32[n]) {
    %e = embedding %table, %i
    %q = mul %e, %e
    %l = reduce_mean %q
    return %l
  }
  func @grad(%i: i32[n]) {
    %l, %g = value_and_grad @loss(%i) wrt %table
    return %l, %g
  }
  func @soft(%x: f32[n, 3]) {
    %s = softmax %x, axis = 0
    %m = argmax %x, axis = 0
    return %s, %m
  }
  func @outer(%x: f32[n, 3]) {
    %t = transpose %x
    %p = matmul %x, %t
    %q = matmul %p, %x
    return %q
  }
  func @scan(%x: f32[n, 3]) {
    %z = constant f32[3] = 0.0
    %s, %all = for %xt in %x carry (%c = %z) {
      %d = add %c, %xt
      yield %d stack %d
    }
    return %s, %all
  }
}
