// Products of f64, in tensor cores: edges that tiles do not divide, every way that operands lie, a sum that is split, large tiles.
graph.model @doubles {
  func @odd(%a: f64[37, 53], %b: f64[53, 70], %bias: f64[70]) {
    %c = matmul %a, %b
    %y = add %c, %bias
    return %y
  }
  func @turned(%a: f64[3, 56, 104], %b: f64[3, 88, 56]) {
    %at = transpose %a
    %bt = transpose %b
    %c = matmul %at, %bt
    return %c
  }
  func @deep(%a: f64[20, 3000], %b: f64[24, 3000]) {
    %t = transpose %b
    %c = matmul %a, %t
    return %c
  }
  func @image(%x: f64[2, 9, 11, 5], %w: f64[3, 3, 5, 20]) {
    %c = conv %x, %w, stride = [2, 1], padding = same
    return %c
  }
  func @large(%a: f64[1410, 24], %b: f64[24, 1420]) {
    %c = matmul %a, %b
    return %c
  }
}
