// A variational autoencoder of 28 x 28 images (Kingma and Welling 2013): 16 numbers an image, from which it is drawn again.
// Train it: gradus train docs/examples/vae.mlir --data=fashion-mnist --epochs=5 --batch=128
graph.model @vae {
  // Where an image lies, and the logarithm of how surely.
  func @encode(%x: f32[batch, 784]) {
    %h = call @std.dense(%x) as "encoder.hidden", out = 256
    %a = relu %h
    %mean = call @std.dense(%a) as "encoder.mean", out = 16
    %logvar = call @std.dense(%a) as "encoder.logvar", out = 16
    return %mean, %logvar
  }
  func @decode(%z: f32[batch, 16]) {
    %h = call @std.dense(%z) as "decoder.hidden", out = 256
    %a = relu %h
    %logits = call @std.dense(%a) as "decoder.image", out = 784
    return %logits
  }
  func @noise(%x: f32[batch, 784], %seed: i32[]) {
    %e = normal %seed, to = f32[batch, 16]
    return %e
  }
  // The evidence lower bound, negated: nats an image, on average.
  func @loss(%x: f32[batch, 784], %seed: i32[]) {
    %mean, %logvar = call @encode(%x)
    %half = constant f32[] = 0.5
    %one = constant f32[] = 1.0
    %halflog = mul %logvar, %half
    %std = exp %halflog
    %e = call @noise(%x, %seed)
    %spread = mul %std, %e
    %z = add %mean, %spread
    %y = call @decode(%z)

    // Binary cross entropy of pixels: log(1 + e^y) - x y.
    %magnitude = abs %y
    %minus = neg %magnitude
    %small = exp %minus
    %more = add %small, %one
    %log = log %more
    %positive = relu %y
    %softplus = add %positive, %log
    %xy = mul %x, %y
    %pixels = sub %softplus, %xy
    %images = reduce_sum %pixels, axes = [1]
    %redrawn = reduce_mean %images

    // How far the code is from the standard normal distribution.
    %variance = exp %logvar
    %square = mul %mean, %mean
    %sum = add %variance, %square
    %excess = sub %sum, %logvar
    %terms = sub %excess, %one
    %codes = reduce_sum %terms, axes = [1]
    %code = reduce_mean %codes
    %divergence = mul %code, %half
    %loss = add %redrawn, %divergence
    return %loss
  }
  train @fit minimizes @loss using adam(lr = 1.0e-3)
}
