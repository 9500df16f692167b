// Sums of products leave out rows and columns of zeros around an image, where the kernel that reads it knows of them.
// RUN: gradus verify %s --dims=batch=3 | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --dims=batch=3 --march=haswell --threads=3 | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --dims=batch=3 --march=x86-64-v4 --threads=1 --winograd=off | FileCheck %s --check-prefix=RIGHT
// RIGHT-NOT: WRONG
// RIGHT-COUNT-9: ok
// RUN: gradus compile %s --dims=batch=3 --function=filter --emit=kernels -o - | FileCheck %s --check-prefix=MARK
// RUN: gradus compile %s --dims=batch=3 --function=both --emit=kernels -o - | FileCheck %s --check-prefix=BOTH
// RUN: gradus compile %s --dims=batch=3 --function=filter --emit=buffers --threads=1 -o - | FileCheck %s --check-prefix=LOOPS
graph.model @boxes {
  // The image is padded in [batch, 14, 14 * 20], and read in [batch, 18, 18, 20].
  // MARK-LABEL: func.func private @kernel1
  // MARK-SAME: tensor<3x18x18x20xf32> {graph.box = array<i64: 0, 3, 2, 14, 2, 14, 0, 20>}
  // Rows and columns that a tap finds: two loops to ends that are computed.
  // LOOPS-LABEL: func.func private @kernel1
  // LOOPS: %[[LAST:.*]] = arith.minsi
  // LOOPS: %[[END:.*]] = arith.minsi
  // LOOPS: scf.for {{.*}} to %[[LAST]] {{.*}} iter_args
  // LOOPS: scf.for {{.*}} to %[[END]] {{.*}} iter_args
  func @filter(%x: f32[batch, 14, 14, 20], %g: f32[batch, 14, 14, 40]) {
    %f = conv_filter %x, %g, to = f32[5, 5, 20, 40], padding = same
    return %f
  }
  // One kernel for what has zeros around and what has none knows of no zeros.
  // BOTH-LABEL: func.func private
  // BOTH-NOT: graph.box
  func @both(%x: f32[batch, 14, 14, 20], %y: f32[batch, 18, 18, 20], %f: f32[5, 5, 20, 40]) {
    %a = conv %x, %f, padding = same
    %b = conv %y, %f
    return %a, %b
  }
  func @plain(%x: f32[batch, 14, 14, 20], %f: f32[5, 5, 20, 40]) {
    %y = conv %x, %f, padding = same
    return %y
  }
  func @image(%g: f32[batch, 14, 14, 40], %f: f32[5, 5, 20, 40]) {
    %x = conv_input %g, %f, to = f32[batch, 14, 14, 20], padding = same
    return %x
  }
  func @dilated(%x: f32[batch, 13, 15, 20], %f: f32[3, 3, 20, 40]) {
    %y = conv %x, %f, padding = same, dilation = [3, 2]
    return %y
  }
  func @strided(%x: f32[batch, 13, 15, 20], %f: f32[5, 3, 20, 40], %g: f32[batch, 7, 8, 40]) {
    %y = conv %x, %f, padding = same, stride = [2, 2]
    %df = conv_filter %x, %g, to = f32[5, 3, 20, 40], padding = same, stride = [2, 2]
    return %y, %df
  }
  // More zeros than there is image: some places have no tap at all.
  func @outside(%x: f32[batch, 4, 3, 20], %f: f32[3, 3, 20, 40], %bias: f32[40]) {
    %rows = pad %x, axis = 1, low = 4, high = 5
    %p = pad %rows, axis = 2, low = 3, high = 3
    %c = conv %p, %f
    %b = add %c, %bias
    %y = relu %b
    return %y
  }
  // Sums too long for one block, and a sum over a line.
  func @deep(%x: f32[batch, 6, 6, 160], %f: f32[5, 5, 160, 180]) {
    %y = conv %x, %f, padding = same
    return %y
  }
  func @line(%x: f32[batch, 70, 20], %g: f32[batch, 70, 40]) {
    %f = conv_filter %x, %g, to = f32[9, 20, 40], padding = same
    return %f
  }
}
