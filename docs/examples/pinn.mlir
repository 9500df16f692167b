// A network that satisfies a differential equation (Raissi et al. 2019): the heat equation u_t = 0.1 u_xx on a rod of length
// 1 that starts as sin(pi x) and is kept at 0 on both ends; u = exp(-0.1 pi^2 t) sin(pi x). No data: each step draws points.
// Train it: gradus train docs/examples/pinn.mlir --epochs=5
graph.model @pinn {
  func @field(%t: f32[], %x: f32[]) {
    %a = reshape %t, to = f32[1]
    %b = reshape %x, to = f32[1]
    %p = concat %a, %b
    %h1 = call @std.dense(%p) as "hidden1", out = 32
    %a1 = tanh %h1
    %h2 = call @std.dense(%a1) as "hidden2", out = 32
    %a2 = tanh %h2
    %y = call @std.dense(%a2) as "value", out = 1
    %u = reshape %y, to = f32[]
    // 0 on both ends, whatever the network says.
    %one = constant f32[] = 1.0
    %left = sub %one, %x
    %ends = mul %x, %left
    %v = mul %u, %ends
    return %v
  }
  func @slope(%t: f32[], %x: f32[]) {
    %u, %u_x = value_and_grad @field(%t, %x) wrt %x
    return %u_x
  }
  // What is left of the equation at one point.
  func @residual(%t: f32[], %x: f32[]) {
    %zero = constant f32[] = 0.0
    %one = constant f32[] = 1.0
    %conductivity = constant f32[] = 0.1
    %u, %u_t = jvp @field(%t, %x, %one, %zero)
    %u_x, %u_xx = jvp @slope(%t, %x, %zero, %one)
    %flow = mul %u_xx, %conductivity
    %r = sub %u_t, %flow
    return %r
  }
  func @points(%seed: i32[]) {
    %p = uniform %seed, to = f32[2, 256]
    %ts, %xs = split %p, parts = 2, axis = 0
    %t = reshape %ts, to = f32[256]
    %x = reshape %xs, to = f32[256]
    return %t, %x
  }
  func @initial(%x: f32[256]) {
    %pi = constant f32[] = 3.14159265
    %angle = mul %x, %pi
    %u = sin %angle
    return %u
  }
  func @loss(%seed: i32[]) {
    %t, %x = call @points(%seed)
    %r = vmap @residual(%t, %x)
    %r2 = mul %r, %r
    %inside = reduce_mean %r2

    %now = constant f32[] = 0.0
    %u = vmap @field(%now, %x) over %x
    %want = call @initial(%x)
    %begin = mse %u, %want
    %weight = constant f32[] = 10.0
    %weighted = mul %begin, %weight
    %loss = add %inside, %weighted
    return %loss
  }
  // The mean squared distance from the solution.
  func @distance(%seed: i32[]) {
    %t, %x = call @points(%seed)
    %u = vmap @field(%t, %x)
    %rate = constant f32[] = -0.98696044
    %decay = mul %t, %rate
    %left = exp %decay
    %start = call @initial(%x)
    %want = mul %left, %start
    %d = mse %u, %want
    return %d
  }
  train @fit minimizes @loss using adam(lr = 3.0e-3) reports @distance
}
