// Where loops along vectors read windows of an image between zeros, they read the image: it is not copied.
// RUN: gradus verify %s | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --march=haswell --threads=1 | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --march=x86-64 | FileCheck %s --check-prefix=RIGHT
// RIGHT-NOT: WRONG
// RIGHT-COUNT-13: ok
// RUN: gradus compile %s --function=channels,slope,strided,cube,activated --emit=buffers -o - | FileCheck %s
// RUN: gradus compile %s --function=twice,same,lines --emit=buffers -o - | FileCheck %s --check-prefix=COPY
// Away from the borders nothing is asked.
// RUN: gradus compile %s --function=channels --threads=1 --march=x86-64-v4 --emit=buffers -o - | FileCheck %s --check-prefix=INSIDE
// INSIDE: scf.if
// INSIDE-NOT: maskedload
// INSIDE: } else {
// INSIDE: maskedload
// A large image's next row is asked for: the taps' last, at a place's own column. All nine taps are written out.
// RUN: gradus compile %s --function=large --threads=1 --march=x86-64-v4 --emit=buffers -o - | FileCheck %s --check-prefix=NEXT
// NEXT: func.func private @kernel0
// NEXT: scf.if
// NEXT: memref.prefetch {{.*}}locality<3>, data : memref<1x64x64x48xf32>
// NEXT-COUNT-9: vector.fma
// NEXT: vector.store
// RUN: gradus compile %s --function=channels --threads=1 --march=x86-64-v4 --emit=buffers -o - | FileCheck %s --check-prefix=SMALL --implicit-check-not=memref.prefetch
// SMALL: func.func @windows_channels
graph.model @windows {
  func @large(%x: f32[1, 64, 64, 48], %filter: f32[3, 3, 1, 48]) {
    %y = conv %x, %filter, padding = same, groups = 48
    return %y
  }
  // CHECK-LABEL: func.func @windows_channels
  // CHECK-SAME: graph.arena_bytes = 0
  func @channels(%x: f32[2, 9, 8, 40], %filter: f32[3, 3, 1, 40]) {
    %y = conv %x, %filter, padding = same, groups = 40
    return %y
  }
  // The sums run over the image, and a tap finds most of it.
  // CHECK-LABEL: func.func @windows_slope
  // CHECK-SAME: graph.arena_bytes = 0
  func @slope(%x: f32[2, 9, 8, 40], %g: f32[2, 9, 8, 40]) {
    %filter = conv_filter %x, %g, to = f32[5, 3, 1, 40], padding = same, groups = 40
    return %filter
  }
  // Zeros behind the last element alone.
  // CHECK-LABEL: func.func @windows_strided
  // CHECK-SAME: graph.arena_bytes = 0
  func @strided(%x: f32[1, 8, 10, 33], %filter: f32[3, 3, 1, 33]) {
    %y = conv %x, %filter, padding = same, stride = [2, 2], groups = 33
    return %y
  }
  // CHECK-LABEL: func.func @windows_cube
  // CHECK-SAME: graph.arena_bytes = 0
  func @cube(%x: f32[2, 5, 4, 6, 16], %filter: f32[3, 2, 3, 1, 16]) {
    %y = conv %x, %filter, padding = same, dilation = [1, 2, 1], groups = 16
    return %y
  }
  // What follows runs row by row with it, as ever.
  // CHECK-LABEL: func.func @windows_activated
  // CHECK-NOT: memref<2x11x
  func @activated(%x: f32[2, 9, 32, 64], %filter: f32[3, 3, 1, 64], %bias: f32[64]) {
    %c = conv %x, %filter, padding = same, groups = 64
    %b = add %c, %bias
    %y = relu %b
    return %y
  }
  // Images that a group has one of at a time, read in windows, and what each of them adds to the gradient.
  func @chain(%x: f32[4, 12, 12, 32], %f: f32[3, 3, 1, 32], %g: f32[5, 5, 1, 32]) {
    %a = conv %x, %f, padding = same, groups = 32
    %b = conv %a, %g, padding = same, groups = 32
    %s = add %a, %b
    %y = conv %s, %f, padding = same, groups = 32
    return %y
  }
  func @energy(%x: f32[4, 12, 12, 32], %f: f32[3, 3, 1, 32], %g: f32[5, 5, 1, 32]) {
    %y = call @chain(%x, %f, %g)
    %e = mul %y, %y
    %l = reduce_sum %e
    return %l
  }
  func @gradients(%x: f32[4, 12, 12, 32], %f: f32[3, 3, 1, 32], %g: f32[5, 5, 1, 32]) {
    %l, %dx, %df, %dg = value_and_grad @energy(%x, %f, %g) wrt %x, %f, %g
    return %dx, %df, %dg
  }
  // Written to where the image is: its windows are read before.
  %board = state f32[1, 12, 12, 32] = normal(seed = 3)
  func @step(%f: f32[3, 3, 1, 32]) {
    %c = conv %board, %f, padding = same, groups = 32
    %r = relu %c
    update %board, %r
    return %r
  }
  // Two ops read the image between zeros, which is there one image at a time.
  // COPY-LABEL: func.func @windows_twice
  // COPY-SAME: graph.arena_bytes = 7040
  func @twice(%x: f32[2, 9, 8, 16], %f: f32[3, 3, 1, 16], %g: f32[3, 3, 1, 16]) {
    %rows = pad %x, axis = 1, low = 1, high = 1
    %between = pad %rows, axis = 2, low = 1, high = 1
    %a = conv %between, %f, groups = 16
    %b = conv %between, %g, groups = 16
    return %a, %b
  }
  // Elements of a product are read one by one, and often.
  // COPY-LABEL: func.func @windows_same
  // COPY-SAME: graph.arena_bytes = 7040
  func @same(%x: f32[2, 9, 8, 16], %filter: f32[3, 3, 16, 32]) {
    %y = conv %x, %filter, padding = same
    return %y
  }
  // Vectors lie along the axis that has zeros around.
  // COPY-LABEL: func.func @windows_lines
  // COPY-SAME: graph.arena_bytes = 320
  func @lines(%x: f32[3, 64]) {
    %y = pad %x, axis = 1, low = 1, high = 1
    %z = exp %y
    return %z
  }
}
