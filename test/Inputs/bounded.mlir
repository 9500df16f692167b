// Input of bounded.test.
graph.model @bounded {
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
}
