// What one convolution makes, the next reads between zeros, and the sum of both.
graph.model @images {
  func @images(%x: f32[2, 9, 7, 3], %v: f32[3, 3, 3, 16], %w: f32[3, 3, 16, 16], %b: f32[16], %z: f32[3, 3, 16, 24]) {
    %c = conv %x, %v, padding = same
    %d = add %c, %b
    %e = relu %d
    %f = conv %e, %w, padding = same
    %g = add %f, %e
    %h = relu %g
    %y = conv %h, %z, padding = same
    return %y
  }
}
