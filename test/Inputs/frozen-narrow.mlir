// Weights of bf16 and i8, read as they are and turned, by layers that are ragged in every direction.
graph.model @narrow {
  %up = param bf16[300, 70] = zeros
  %bytes = param i8[131, 66] = zeros
  %taps = param bf16[3, 3, 32, 20] = zeros

  func @f(%seed: i64[]) {
    %n = normal %seed, to = f32[50, 300]
    %x = cast %n, to = bf16
    %u = uniform %seed, to = f32[40, 131], stream = 1
    %hundred = constant f32[] = 100.0
    %scaled = mul %u, %hundred
    %b = cast %scaled, to = i8
    %pixels = normal %seed, to = f32[2, 9, 30, 32], stream = 2
    %image = cast %pixels, to = bf16
    %h = matmul %x, %up
    %turned = transpose %up
    %y = matmul %h, %turned, to = f32
    %sums = matmul %b, %bytes, to = i32
    %conv = conv %image, %taps, padding = same
    %wide = cast %conv, to = f32
    return %y as "y", %sums as "sums", %wide as "wide"
  }
}
