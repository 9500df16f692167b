// What a group makes for each image and only sums over all images read is summed image by image, while it is in the cache,
// and not written to memory: the gradients of a bias and of a filter of one channel.
// RUN: gradus compile %s --function=slopes --emit=linalg -o - | FileCheck %s
// RUN: gradus compile %s --function=slopes --emit=kernels -o - | FileCheck %s --check-prefix=KERNEL
// RUN: gradus compile %s --function=few --emit=linalg -o - | FileCheck %s --check-prefix=FEW

// Sums of each image as members, and then over images.
// CHECK: tensor<40x28x28x32xf32>) outs(%{{.*}} : tensor<40x32xf32>) attrs = {graph.group = [[GROUP:[0-9]+]] : i64, graph.row_loops = array<i64: 0>}
// CHECK: tensor<40x28x28x32xf32>) outs(%{{.*}} : tensor<40x3x3x1x32xf32>) attrs = {graph.group = [[GROUP]] : i64, graph.row_loops = array<i64: 4>}
// CHECK: ins(%{{.*}} : tensor<40x32xf32>) outs(%{{.*}} : tensor<32xf32>)
// CHECK: ins(%{{.*}} : tensor<40x3x3x1x32xf32>) outs(%{{.*}} : tensor<3x3x1x32xf32>)
// The kernel hands on the sums alone.
// KERNEL: -> (tensor<40x32xf32>, tensor<40x3x3x1x32xf32>) attributes {graph.kernel}
// Little, and so in a cache anyway.
// FEW-NOT: tensor<4x3x3x1x32xf32>

// RUN: gradus verify %s --function=slopes --threads=3
// RUN: gradus verify %s --function=slopes --march=x86-64-v3
// RUN: gradus check-grad %s --function=few_loss
graph.model @m {
  func @pooled(%x: f32[n, 28, 28, 1], %w: f32[3, 3, 1, 32], %b: f32[32]) {
    %c = conv %x, %w, padding = same
    %z = add %c, %b
    %y = relu %z
    %p = max_pool %y, window = [2, 2]
    return %p
  }
  func @loss(%x: f32[40, 28, 28, 1], %w: f32[3, 3, 1, 32], %b: f32[32]) {
    %p = call @pooled(%x, %w, %b)
    %square = mul %p, %p
    %l = reduce_sum %square
    return %l
  }
  func @slopes(%x: f32[40, 28, 28, 1], %w: f32[3, 3, 1, 32], %b: f32[32]) {
    %l, %d.w, %d.b = value_and_grad @loss(%x, %w, %b) wrt %w, %b
    return %l, %d.w, %d.b
  }
  func @few_loss(%x: f32[4, 28, 28, 1], %w: f32[3, 3, 1, 32], %b: f32[32]) {
    %p = call @pooled(%x, %w, %b)
    %square = mul %p, %p
    %l = reduce_sum %square
    return %l
  }
  func @few(%x: f32[4, 28, 28, 1], %w: f32[3, 3, 1, 32], %b: f32[32]) {
    %l, %d.w, %d.b = value_and_grad @few_loss(%x, %w, %b) wrt %w, %b
    return %l, %d.w, %d.b
  }
}
