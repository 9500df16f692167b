// Convolutions by themselves, and their gradients with respect to the image and to the filter, as `./dev bench` times them beside
// oneDNN's.
graph.model @convolution {
  func @plain(%x: f32[batch, size, size, in], %filter: f32[taps, taps, in, out]) {
    %y = conv %x, %filter, padding = same
    return %y
  }
  func @plain_image(%g: f32[batch, size, size, out], %filter: f32[taps, taps, in, out]) {
    %x = conv_input %g, %filter, to = f32[batch, size, size, in], padding = same
    return %x
  }
  func @plain_filter(%x: f32[batch, size, size, in], %g: f32[batch, size, size, out]) {
    %filter = conv_filter %x, %g, to = f32[taps, taps, in, out], padding = same
    return %filter
  }
  // What a stride leaves of a size is no name.
  func @strided(%x: f32[batch, 57, 57, in], %filter: f32[taps, taps, in, out]) {
    %y = conv %x, %filter, stride = [2, 2], padding = same
    return %y
  }
  func @strided_image(%g: f32[batch, 29, 29, out], %filter: f32[taps, taps, in, out]) {
    %x = conv_input %g, %filter, to = f32[batch, 57, 57, in], stride = [2, 2], padding = same
    return %x
  }
  func @strided_filter(%x: f32[batch, 57, 57, in], %g: f32[batch, 29, 29, out]) {
    %filter = conv_filter %x, %g, to = f32[taps, taps, in, out], stride = [2, 2], padding = same
    return %filter
  }
  func @dilated(%x: f32[batch, size, size, in], %filter: f32[taps, taps, in, out]) {
    %y = conv %x, %filter, dilation = [2, 2], padding = same
    return %y
  }
  func @dilated_image(%g: f32[batch, size, size, out], %filter: f32[taps, taps, in, out]) {
    %x = conv_input %g, %filter, to = f32[batch, size, size, in], dilation = [2, 2], padding = same
    return %x
  }
  func @dilated_filter(%x: f32[batch, size, size, in], %g: f32[batch, size, size, out]) {
    %filter = conv_filter %x, %g, to = f32[taps, taps, in, out], dilation = [2, 2], padding = same
    return %filter
  }
  func @grouped(%x: f32[batch, size, size, 128], %filter: f32[taps, taps, 32, 128]) {
    %y = conv %x, %filter, groups = 4, padding = same
    return %y
  }
  func @grouped_image(%g: f32[batch, size, size, 128], %filter: f32[taps, taps, 32, 128]) {
    %x = conv_input %g, %filter, to = f32[batch, size, size, 128], groups = 4, padding = same
    return %x
  }
  func @grouped_filter(%x: f32[batch, size, size, 128], %g: f32[batch, size, size, 128]) {
    %filter = conv_filter %x, %g, to = f32[taps, taps, 32, 128], groups = 4, padding = same
    return %filter
  }
  func @depthwise(%x: f32[batch, size, size, 64], %filter: f32[taps, taps, 1, 64]) {
    %y = conv %x, %filter, groups = 64, padding = same
    return %y
  }
  func @depthwise_image(%g: f32[batch, size, size, 64], %filter: f32[taps, taps, 1, 64]) {
    %x = conv_input %g, %filter, to = f32[batch, size, size, 64], groups = 64, padding = same
    return %x
  }
  func @depthwise_filter(%x: f32[batch, size, size, 64], %g: f32[batch, size, size, 64]) {
    %filter = conv_filter %x, %g, to = f32[taps, taps, 1, 64], groups = 64, padding = same
    return %filter
  }
}
