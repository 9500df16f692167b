// Axes that follow each other in all that a kernel reads and writes are one, and their loops one loop. What fuses does so
// before, so that no reshape is between.
// RUN: gradus compile %s --function=pixels --dims n=2 --emit=kernels -o - | FileCheck %s --check-prefix=PIXELS
// PIXELS-LABEL: func.func @pixels
// PIXELS: tensor.collapse_shape %{{.*}} {{\[\[}}0, 1, 2], [3]] : tensor<2x7x7x24xf32> into tensor<98x24xf32>
// PIXELS: call @[[KERNEL:kernel[0-9]+]]
// PIXELS: func.func private @[[KERNEL]](
// PIXELS: linalg.generic {{.*}}["parallel", "parallel", "reduction"]} ins({{.*}} : tensor<98x24xf32>, tensor<24x40xf32>)
// PIXELS: maximumf
//
// A filter of one row of taps has loops over its columns only: images and rows are one.
// RUN: gradus compile %s --function=line --dims n=2 --emit=kernels -o - | FileCheck %s --check-prefix=LINE
// LINE: linalg.generic {{.*}}["parallel", "parallel", "parallel", "reduction", "reduction"]} ins({{.*}} : tensor<12x8x3xf32>, tensor<3x3x5xf32>)
//
// One number for each image keeps the images apart, not their pixels.
// RUN: gradus compile %s --function=scaled --dims n=2 --emit=kernels -o - | FileCheck %s --check-prefix=SCALED
// SCALED: linalg.generic {{.*}}["parallel", "parallel"]} ins({{.*}} : tensor<2x1176xf32>, tensor<2x1x1x1xf32>)
//
// An image between zeros starts a pixel later: its rows, of pixels and channels, are one loop.
// RUN: gradus compile %s --function=padded --dims n=2 --emit=kernels -o - | FileCheck %s --check-prefix=PADDED
// PADDED: affine_map<(d0, d1, d2) -> (d0, d1 + 1, d2 + 3)>
// PADDED: linalg.generic {{.*}}["parallel", "parallel", "parallel"]} ins({{.*}} : tensor<2x5x21xf32>) outs({{.*}} : tensor<2x6x24xf32>)
//
// In a group that takes image after image, the pixels of one are one loop.
// RUN: gradus compile %s --function=gated --dims n=2 --emit=kernels -o - | FileCheck %s --check-prefix=GATED
// GATED: linalg.generic {{.*}}["parallel", "parallel", "parallel"]} ins({{.*}} : tensor<2x256x32xf32>, {{.*}}graph.row_loops = array<i64: 0>}
//
// Loops whose length a call gives stay as they are, and so do those that are turned.
// RUN: gradus compile %s --function=pixels --dims "n<=2" --emit=kernels -o - | FileCheck %s --check-prefix=BOUND
// BOUND: linalg.generic {{.*}}["parallel", "parallel", "parallel", "parallel", "reduction"]
// RUN: gradus compile %s --function=turned --dims n=2 --emit=kernels -o - | FileCheck %s --check-prefix=TURNED
// TURNED: linalg.generic {{.*}}["parallel", "parallel", "parallel"]} ins({{.*}} : tensor<7x2x168xf32>)
//
// RUN: gradus verify %s --dims n=2 --threads=1
// RUN: gradus verify %s --dims n=2 --threads=3 --march=x86-64-v3
// RUN: gradus verify %s --function=pixels --dims "n<=3"
graph.model @m {
  func @pixels(%x: f32[n, 7, 7, 24], %w: f32[1, 1, 24, 40], %b: f32[40]) {
    %c = conv %x, %w
    %s = add %c, %b
    %y = relu %s
    return %y
  }
  func @line(%x: f32[n, 6, 8, 3], %w: f32[1, 3, 3, 5]) {
    %y = conv %x, %w
    return %y
  }
  func @scaled(%x: f32[n, 7, 7, 24], %s: f32[n, 1, 1, 1]) {
    %y = mul %x, %s
    return %y
  }
  func @padded(%x: f32[n, 5, 7, 3]) {
    %rows = pad %x, axis = 1, low = 1
    %y = pad %rows, axis = 2, low = 1
    return %y
  }
  func @turned(%x: f32[n, 7, 7, 24]) {
    %y = transpose %x, perm = [1, 0, 2, 3]
    return %y
  }
  // A block of an image's rows: its pixels are one loop in a group, too.
  func @gated(%x: f32[n, 16, 16, 32], %v: f32[n, 16, 16, 32], %w: f32[1, 1, 32, 64]) {
    %g = sigmoid %x
    %a = mul %g, %v
    %y = conv %a, %w
    return %a, %y
  }
  func @loss(%x: f32[n, 6, 8, 4], %w: f32[1, 1, 4, 6], %v: f32[1, 3, 6, 2], %d: f32[1, 1, 1, 2], %e: f32[1, 1, 1, 4]) {
    %a = conv %x, %w
    %b = tanh %a
    %c = conv %b, %v, padding = same
    %h = conv %c, %d, groups = 2
    %f = conv %h, %e, groups = 2, stride = [2, 1]
    %q = mul %f, %f
    %s = reduce_sum %q
    return %s
  }
  func @gradients(%x: f32[n, 6, 8, 4], %w: f32[1, 1, 4, 6], %v: f32[1, 3, 6, 2], %d: f32[1, 1, 1, 2], %e: f32[1, 1, 1, 4]) {
    %l, %dx, %dw, %dv, %dd, %de = value_and_grad @loss(%x, %w, %v, %d, %e) wrt %x, %w, %v, %d, %e
    return %dx, %dw, %dv, %dd, %de
  }
}
