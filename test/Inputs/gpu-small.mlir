// Few numbers, without a row that all ops share.
graph.model @small {
  func @vector(%x: f32[90]) {
    %y = softmax %x
    %m = reduce_max %y
    return %y, %m
  }
  func @columns(%x: f32[40, 30]) {
    %m = reduce_mean %x, axes = [0]
    %c = sub %x, %m
    %q = mul %c, %c
    %s = reduce_sum %q, axes = [1]
    %r = sqrt %s
    return %c, %r
  }
  func @large(%x: f32[400, 30]) {
    %m = reduce_mean %x, axes = [0]
    %c = sub %x, %m
    %q = mul %c, %c
    %s = reduce_sum %q, axes = [1]
    return %s
  }
}
