// Weights read in every way that a product reads them: as they are, turned, twice, and elementwise.
graph.model @frozen {
  %up = param f32[300, 40] = he_normal
  %bias = param f32[40] = normal
  %square = param f32[40, 40] = he_normal
  %taps = param f32[3, 3, 32, 32] = he_normal
  %steps = state f32[] = zeros

  func @f(%seed: i64[]) {
    %x = normal %seed, to = f32[3, 50, 300]
    %h = linear %x, %up, %bias
    %a = gelu %h
    %turned = transpose %square
    %b = linear %a, %turned
    %c = linear %b, %square
    %up.turned = transpose %up
    %y = linear %c, %up.turned
    %w2 = mul %up, %up
    %norm = reduce_sum %w2
    %one = constant f32[] = 1.0
    %next = add %steps, %one
    // One image, so that threads share its columns.
    %pixels = normal %seed, to = f32[1, 12, 12, 32], stream = 1
    %conv = conv %pixels, %taps, padding = same
    %image = neg %conv
    %half = conv %pixels, %taps, stride = [2, 2]
    return %y as "y", %norm as "norm", %image as "image", %half as "half"
  }
  func @count() {
    %one = constant f32[] = 1.0
    %next = add %steps, %one
    update %steps, %next
    return %next
  }
}
