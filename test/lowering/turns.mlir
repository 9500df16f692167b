// Elements that are put by turns, along one axis or several, are written once, to where they are to be: the gradient of a
// convolution with a stride is so handed back to its image.
// RUN: gradus compile %s --function=image --emit=linalg -o - | FileCheck %s
// RUN: gradus compile %s --function=shared --emit=linalg -o - | FileCheck %s --check-prefix=SHARED
// CHECK-COUNT-4: tensor.insert_slice {{.*}} [1, 2, 2, 1] : {{.*}} into tensor<2x11x13x8xf32>
// CHECK-NOT: tensor.insert_slice
// What someone else reads is made for itself.
// SHARED: tensor.insert_slice {{.*}} into tensor<6x2x4xf32>
// SHARED: tensor.insert_slice {{.*}} into tensor<12x4x2xf32>
// RUN: gradus verify %s --dims batch=3 --threads=1
// RUN: gradus verify %s --dims batch=3 --threads=3 --march=x86-64-v3
// RUN: gradus verify %s --function=rows --dims "batch<=5"
graph.model @m {
  func @image(%g: f32[2, 5, 6, 32], %f: f32[3, 3, 8, 32]) {
    %x = conv_input %g, %f, to = f32[2, 11, 13, 8], stride = [2, 2]
    return %x
  }
  func @space(%g: f32[1, 4, 5, 3, 8], %f: f32[3, 4, 3, 8, 8]) {
    %x = conv_input %g, %f, to = f32[1, 9, 16, 9, 8], stride = [2, 3, 3]
    return %x
  }
  func @twice(%x: f32[6, 4], %y: f32[6, 4], %z: f32[6, 4]) {
    %xa = reshape %x, to = f32[6, 1, 4]
    %ya = reshape %y, to = f32[6, 1, 4]
    %za = reshape %z, to = f32[6, 1, 4]
    %c = concat %xa, %ya, %za, axis = 1
    %all = reshape %c, to = f32[18, 4]
    %some = slice %all, axis = 0, start = 4, length = 13
    return %some
  }
  func @shared(%x: f32[6, 4], %y: f32[6, 4]) {
    %xa = reshape %x, to = f32[6, 1, 4]
    %ya = reshape %y, to = f32[6, 1, 4]
    %rows = concat %xa, %ya, axis = 1
    %all = reshape %rows, to = f32[12, 4]
    %square = mul %all, %all
    %aa = reshape %all, to = f32[12, 4, 1]
    %sa = reshape %square, to = f32[12, 4, 1]
    %columns = concat %aa, %sa, axis = 2
    %both = reshape %columns, to = f32[12, 8]
    return %both
  }
  // As many as a call says.
  func @rows(%x: f32[batch, 4], %y: f32[batch, 4]) {
    %xa = reshape %x, to = f32[batch, 4, 1]
    %ya = reshape %y, to = f32[batch, 4, 1]
    %c = concat %xa, %ya, axis = 2
    %z = reshape %c, to = f32[batch, 8]
    return %z
  }
}
