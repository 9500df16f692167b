// A generator of 28 x 28 images against a critic whose slope is kept at 1 (Gulrajani et al. 2017): a gradient inside the loss.
// Train it: gradus train docs/examples/wgan_gp.mlir --data=fashion-mnist --epochs=5 --batch=64
graph.model @wgan_gp {
  %critic.w1 = param f32[784, 256] = glorot_uniform
  %critic.b1 = param f32[256] = zeros
  %critic.w2 = param f32[256, 128] = glorot_uniform
  %critic.b2 = param f32[128] = zeros
  %critic.w3 = param f32[128, 1] = glorot_uniform

  func @generate(%z: f32[batch, 64]) {
    %h1 = call @std.dense(%z) as "generator.hidden1", out = 128
    %a1 = relu %h1
    %h2 = call @std.dense(%a1) as "generator.hidden2", out = 256
    %a2 = relu %h2
    %y = call @std.dense(%a2) as "generator.image", out = 784
    %image = sigmoid %y
    return %image
  }
  // How real an image looks; the weights are arguments, for the generator's loss holds them still.
  func @judge(%x: f32[784], %w1: f32[784, 256], %b1: f32[256], %w2: f32[256, 128], %b2: f32[128], %w3: f32[128, 1]) {
    %h1 = linear %x, %w1, %b1
    %a1 = silu %h1
    %h2 = linear %a1, %w2, %b2
    %a2 = silu %h2
    %y = linear %a2, %w3
    %score = reshape %y, to = f32[]
    return %score
  }
  func @critic(%x: f32[784]) {
    %score = call @judge(%x, %critic.w1, %critic.b1, %critic.w2, %critic.b2, %critic.w3)
    return %score
  }
  func @steepness(%x: f32[784]) {
    %score, %slope = value_and_grad @critic(%x) wrt %x
    %squares = mul %slope, %slope
    %sum = reduce_sum %squares
    %tiny = constant f32[] = 1.0e-12
    %safe = add %sum, %tiny
    %norm = sqrt %safe
    return %norm
  }
  func @noise(%x: f32[batch, 784], %seed: i32[]) {
    %z = normal %seed, to = f32[batch, 64]
    %mix = uniform %seed, to = f32[batch, 1], stream = 1
    return %z, %mix
  }
  // How much more real the critic finds images than what is drawn.
  func @difference(%x: f32[batch, 784], %fake: f32[batch, 784]) {
    %real_scores = vmap @critic(%x)
    %fake_scores = vmap @critic(%fake)
    %real = reduce_mean %real_scores
    %drawn = reduce_mean %fake_scores
    %d = sub %real, %drawn
    return %d
  }
  func @loss(%x: f32[batch, 784], %seed: i32[]) {
    %z, %mix = call @noise(%x, %seed)
    %image = call @generate(%z)

    // The critic's loss holds the images still, ...
    %fake = stop_gradient %image
    %gain = call @difference(%x, %fake)
    %apart = sub %fake, %x
    %part = mul %apart, %mix
    %between = add %x, %part
    %norms = vmap @steepness(%between)
    %one = constant f32[] = 1.0
    %excess = sub %norms, %one
    %squares = mul %excess, %excess
    %penalty = reduce_mean %squares
    %ten = constant f32[] = 10.0
    %weighted = mul %penalty, %ten
    %critic_loss = sub %weighted, %gain

    // ... and the generator's the critic.
    %w1 = stop_gradient %critic.w1
    %b1 = stop_gradient %critic.b1
    %w2 = stop_gradient %critic.w2
    %b2 = stop_gradient %critic.b2
    %w3 = stop_gradient %critic.w3
    %scores = vmap @judge(%image, %w1, %b1, %w2, %b2, %w3) over %image
    %score = reduce_mean %scores
    %loss = sub %critic_loss, %score
    return %loss
  }
  // The critic's estimate of how far the images are from what is drawn: it falls as they get better.
  func @distance(%x: f32[batch, 784], %seed: i32[]) {
    %z, %mix = call @noise(%x, %seed)
    %image = call @generate(%z)
    %d = call @difference(%x, %image)
    return %d
  }
  train @fit minimizes @loss using adam(lr = 2.0e-4, beta1 = 0.0, beta2 = 0.9) reports @distance
}
