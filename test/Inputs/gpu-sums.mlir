// Input of gpu/sums.test: places of a result to which several steps of the loops add.
graph.model @sums {
  // Look-ups: a row each, several of which may be the same; more and fewer than a warp has lanes.
  func @embedded(%table: f32[37, 40], %ids: i32[7, 11]) {
    %e = embedding %table, %ids
    %q = mul %e, %e
    %l = reduce_sum %q
    return %l
  }
  func @embedded_grad(%table: f32[37, 40], %ids: i32[7, 11]) {
    %l, %g = value_and_grad @embedded(%table, %ids) wrt %table
    return %l, %g
  }
  func @added(%g: f32[77, 40], %ids: i32[77]) {
    %y = scatter_add %g, %ids, to = f32[3, 40]
    return %y
  }
  // So many that a lane has several columns.
  func @many(%g: f32[700, 300], %ids: i32[700]) {
    %y = scatter_add %g, %ids, to = f32[50, 300]
    return %y
  }
  func @between(%x: f32[3, 20, 5], %ids: i32[70]) {
    %e = gather %x, %ids, axis = 1
    %q = mul %e, %e
    %l = reduce_sum %q
    return %l
  }
  func @between_grad(%x: f32[3, 20, 5], %ids: i32[70]) {
    %l, %g = value_and_grad @between(%x, %ids) wrt %x
    return %l, %g
  }
  func @last(%x: bf16[3, 9], %ids: i32[33]) {
    %e = gather %x, %ids, axis = 1
    %q = mul %e, %e
    %l = reduce_sum %q
    return %l
  }
  func @last_grad(%x: bf16[3, 9], %ids: i32[33]) {
    %l, %g = value_and_grad @last(%x, %ids) wrt %x
    return %l, %g
  }

  // Windows that overlap, with steps of one and more, at padded edges, along one, two and three axes.
  func @pooled(%x: f32[2, 13, 11, 5]) {
    %m = max_pool %x, window = [3, 3], stride = [2, 2]
    %a = avg_pool %x, window = [3, 2], stride = [1, 1], padding = same
    %p = mul %m, %m
    %q = mul %a, %a
    %s = reduce_sum %p
    %t = reduce_sum %q
    %l = add %s, %t
    return %l
  }
  func @pooled_grad(%x: f32[2, 13, 11, 5]) {
    %l, %g = value_and_grad @pooled(%x) wrt %x
    return %l, %g
  }
  func @line(%x: f32[3, 40, 4]) {
    %a = avg_pool %x, window = [7], stride = [3]
    %q = mul %a, %a
    %l = reduce_sum %q
    return %l
  }
  func @line_grad(%x: f32[3, 40, 4]) {
    %l, %g = value_and_grad @line(%x) wrt %x
    return %l, %g
  }
  func @cube(%x: f32[1, 7, 6, 5, 2]) {
    %m = max_pool %x, window = [3, 3, 3], stride = [2, 1, 2]
    %q = mul %m, %m
    %l = reduce_sum %q
    return %l
  }
  func @cube_grad(%x: f32[1, 7, 6, 5, 2]) {
    %l, %g = value_and_grad @cube(%x) wrt %x
    return %l, %g
  }
}
