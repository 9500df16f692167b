// Winograd's convolution, its input gradient and its filter gradient against sums over explicit windows, with random
// numbers; at two machines, with and without threads, and switched off.
// RUN: gradus run %s --function=errors --input seed=3 | FileCheck %s --check-prefix=NEAR
// RUN: gradus run %s --function=errors --input seed=4 --threads=3 | FileCheck %s --check-prefix=NEAR
// RUN: gradus run %s --function=errors --input seed=5 --march=x86-64-v3 --threads=1 | FileCheck %s --check-prefix=NEAR
// RUN: gradus run %s --function=errors --input seed=3 --winograd=off | FileCheck %s --check-prefix=NEAR
// NEAR: result = true
// NEAR: image = true
// NEAR: filter = true

// By rule: 16 matrix products of 20 tiles by 32 channels, and only where it is on and the channels suffice.
// RUN: gradus compile %s --emit=buffers --march=x86-64-v3 -o - | FileCheck %s --check-prefix=ON
// RUN: gradus compile %s --emit=buffers --march=x86-64-v3 --winograd=off -o - | FileCheck %s --check-prefix=OFF
// ON: dense<5.000000e-01>
// OFF-NOT: dense<5.000000e-01>

graph.model @winograd {
  func @by_taps(%x: f32[2, 8, 10, 32], %w: f32[3, 3, 32, 48], %g: f32[2, 8, 10, 48]) {
    %y = conv %x, %w, padding = same
    %p = mul %y, %g
    %s = reduce_sum %p
    return %s
  }
  func @by_windows(%x: f32[2, 8, 10, 32], %w: f32[3, 3, 32, 48], %g: f32[2, 8, 10, 48]) {
    %rows = pad %x, axis = 1, low = 1, high = 1
    %padded = pad %rows, axis = 2, low = 1, high = 1
    %windows = windows %padded, window = [3, 3]
    %y = einsum "nhwijc,ijcd->nhwd", %windows, %w
    %p = mul %y, %g
    %s = reduce_sum %p
    return %s
  }
  func @near(%a: f32[shape...], %b: f32[shape...]) {
    %d = sub %a, %b
    %size = abs %d
    %worst = reduce_max %size
    %bound = constant f32[] = 1.0e-3
    %ok = compare lt, %worst, %bound
    return %ok
  }
  func @errors(%seed: i64[]) {
    %x = normal %seed, to = f32[2, 8, 10, 32]
    %w = normal %seed, to = f32[3, 3, 32, 48], stream = 1
    %g = normal %seed, to = f32[2, 8, 10, 48], stream = 2
    %s1, %dx1, %dw1, %y1 = value_and_grad @by_taps(%x, %w, %g) wrt %x, %w, %g
    %s2, %dx2, %dw2, %y2 = value_and_grad @by_windows(%x, %w, %g) wrt %x, %w, %g
    // The derivative with respect to g is the convolution itself.
    %result = call @near(%y1, %y2)
    %image = call @near(%dx1, %dx2)
    %filter = call @near(%dw1, %dw2)
    return %result as "result", %image as "image", %filter as "filter"
  }
}
