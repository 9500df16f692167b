// Sums of a million numbers: one for each channel, and of all.
graph.model @sums {
  func @channels(%x: f32[64, 32, 32, 16], %g: f32[16]) {
    %m = reduce_mean %x, axes = [0, 1, 2]
    %c = sub %x, %m
    %q = mul %c, %c
    %v = reduce_mean %q, axes = [0, 1, 2]
    %s = mul %v, %g
    return %m, %s
  }
  func @all(%x: f32[1050000]) {
    %l = reduce_mean %x
    %m = reduce_max %x
    return %l, %m
  }
  func @inner(%x: f32[16, 36, 32, 64]) {
    %y = slice %x, axis = 1, start = 1, length = 33
    %s = reduce_sum %y, axes = [0, 1, 2]
    return %s
  }
}
