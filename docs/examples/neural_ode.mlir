// A network as the right-hand side of a differential equation (Chen et al. 2018), learned from where a spiral goes: the
// gradient goes back through the loop of a Runge-Kutta method. Each step draws other starting points.
// Train it: gradus train docs/examples/neural_ode.mlir --epochs=5 --steps=500
graph.model @neural_ode {
  // y' = A y^3, which is to be found.
  func @truth(%y: f32[32, 2]) {
    %a = constant f32[2, 2] = [[-0.1, 2.0], [-2.0, -0.1]]
    %y2 = mul %y, %y
    %y3 = mul %y2, %y
    %d = matmul %y3, %a
    return %d
  }
  func @network(%y: f32[32, 2]) {
    %y2 = mul %y, %y
    %y3 = mul %y2, %y
    %h = call @std.dense(%y3) as "hidden", out = 50
    %a = tanh %h
    %d = call @std.dense(%a) as "slope", out = 2
    return %d
  }
  // A fourth-order Runge-Kutta step of 0.05, from the slopes at its four places.
  func @moved(%y: f32[32, 2], %k: f32[32, 2], %by: f32[]) {
    %d = mul %k, %by
    %z = add %y, %d
    return %z
  }
  func @weighted(%y: f32[32, 2], %k1: f32[32, 2], %k2: f32[32, 2], %k3: f32[32, 2], %k4: f32[32, 2]) {
    %outer = add %k1, %k4
    %inner = add %k2, %k3
    %twice = add %inner, %inner
    %sum = add %outer, %twice
    %sixth = constant f32[] = 0.0083333333
    %z = call @moved(%y, %sum, %sixth)
    return %z
  }
  func @start(%seed: i32[]) {
    %r = uniform %seed, to = f32[32, 2]
    %four = constant f32[] = 4.0
    %two = constant f32[] = 2.0
    %s = mul %r, %four
    %y = sub %s, %two
    return %y
  }
  func @loss(%seed: i32[]) {
    %y0 = call @start(%seed)
    %half = constant f32[] = 0.025
    %whole = constant f32[] = 0.05
    %last, %path = for %i in 10 carry (%y = %y0) {
      %k1 = call @truth(%y)
      %y1 = call @moved(%y, %k1, %half)
      %k2 = call @truth(%y1)
      %y2 = call @moved(%y, %k2, %half)
      %k3 = call @truth(%y2)
      %y3 = call @moved(%y, %k3, %whole)
      %k4 = call @truth(%y3)
      %z = call @weighted(%y, %k1, %k2, %k3, %k4)
      yield %z stack %z
    }
    %found, %guess = for %i in 10 carry (%y = %y0) {
      %k1 = call @network(%y)
      %y1 = call @moved(%y, %k1, %half)
      %k2 = call @network(%y1)
      %y2 = call @moved(%y, %k2, %half)
      %k3 = call @network(%y2)
      %y3 = call @moved(%y, %k3, %whole)
      %k4 = call @network(%y3)
      %z = call @weighted(%y, %k1, %k2, %k3, %k4)
      yield %z stack %z
    }
    %loss = mse %guess, %path
    return %loss
  }
  train @fit minimizes @loss using adam(lr = 3.0e-3)
}
