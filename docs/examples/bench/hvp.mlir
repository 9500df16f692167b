// A Hessian times a vector, forward over reverse, beside the loss and its gradient: gradus bench tells what each costs.
graph.model @hvp {
  func @loss(%x: f32[batch, 784], %label: i32[batch], %w1: f32[784, 512], %w2: f32[512, 256], %w3: f32[256, 10]) {
    %h1 = linear %x, %w1
    %a1 = tanh %h1
    %h2 = linear %a1, %w2
    %a2 = tanh %h2
    %y = linear %a2, %w3
    %l = cross_entropy %y, %label
    return %l
  }
  func @gradient(%x: f32[batch, 784], %label: i32[batch], %w1: f32[784, 512], %w2: f32[512, 256], %w3: f32[256, 10]) {
    %l, %g1, %g2, %g3 = value_and_grad @loss(%x, %label, %w1, %w2, %w3) wrt %w1, %w2, %w3
    return %g1, %g2, %g3
  }
  func @product(%x: f32[batch, 784], %label: i32[batch], %w1: f32[784, 512], %w2: f32[512, 256], %w3: f32[256, 10],
                %v1: f32[784, 512], %v2: f32[512, 256], %v3: f32[256, 10]) {
    %zero = constant f32[] = 0.0
    %still = broadcast %zero, to = f32[batch, 784]
    %g1, %g2, %g3, %h1, %h2, %h3 = jvp @gradient(%x, %label, %w1, %w2, %w3, %still, %label, %v1, %v2, %v3)
    return %h1, %h2, %h3
  }
}
