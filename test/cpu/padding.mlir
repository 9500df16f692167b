// A padded image is written once: zeros around, elements between. It is in the kernel of what reads it, an image at a time.
// RUN: gradus verify %s | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --march=haswell --threads=1 | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --march=x86-64 | FileCheck %s --check-prefix=RIGHT
// RIGHT-NOT: WRONG
// RIGHT-COUNT-9: ok
// RUN: gradus compile %s --function=convolve,between,spread --emit=kernels -o - | FileCheck %s --check-prefix=KERNELS
// KERNELS: func.func @convolve
// KERNELS-COUNT-1: call @kernel
// KERNELS-NOT: call @kernel
// KERNELS: return
// Zeros behind the last element alone are needed; the image still is in the kernel of what reads it.
// RUN: gradus compile %s --function=even --emit=kernels -o - | FileCheck %s --check-prefix=EVEN
// EVEN: func.func @even
// EVEN-COUNT-1: call @kernel
// EVEN-NOT: call @kernel
// EVEN: return
// Nothing is added, and zeros are written where no elements come: rows before and behind, and in each row lines.
// RUN: gradus compile %s --function=between --threads=1 --march=x86-64-v4 --emit=buffers -o - | FileCheck %s --check-prefix=BUFFERS
// BUFFERS: func.func private @kernel0
// BUFFERS: scf.for {{.*}} to %c64
// BUFFERS-COUNT-4: vector.store %{{.*}}, %arg0
// BUFFERS: %[[X:.*]] = vector.load %arg1
// BUFFERS: vector.store %[[X]], %arg0
// BUFFERS-NOT: vector.store
// Where elements lie apart, all is filled.
// RUN: gradus compile %s --function=spread --threads=1 --march=x86-64-v4 --emit=buffers -o - | FileCheck %s --check-prefix=SPREAD
// SPREAD: func.func private @kernel0
// SPREAD-COUNT-1: vector.store %{{.*}}, %arg0
// SPREAD: %[[X:.*]] = vector.load %arg1
// SPREAD: vector.store %[[X]], %arg0
// SPREAD-NOT: vector.store
graph.model @padding {
  func @convolve(%x: f32[6, 14, 14, 32], %filter: f32[3, 3, 32, 48]) {
    %y = conv %x, %filter, padding = same
    return %y
  }
  func @even(%x: f32[6, 14, 12, 32], %filter: f32[3, 2, 32, 48]) {
    %y = conv %x, %filter, padding = same, stride = [2, 1]
    return %y
  }
  func @between(%x: f32[64, 8, 10, 16]) {
    %a = pad %x, axis = 1, low = 1, high = 1
    %y = pad %a, axis = 2, low = 1, high = 1
    return %y
  }
  func @spread(%x: f32[4, 8, 10, 16]) {
    %a = pad %x, axis = 1, low = 1, interior = 2
    %y = pad %a, axis = 2, high = 3, interior = 1
    return %y
  }
  func @after(%x: f32[5, 7, 19]) {
    %y = pad %x, axis = 1, high = 4
    return %y
  }
  func @first(%x: f32[5, 7, 19], %b: f32[19]) {
    %s = add %x, %b
    %r = relu %s
    %y = pad %r, axis = 0, low = 2, high = 1
    %z = mul %y, %b
    return %z
  }
  func @little(%x: f32[3, 2, 3]) {
    %a = pad %x, axis = 1, low = 20, high = 30
    %y = pad %a, axis = 2, low = 17
    return %y
  }
  func @whole(%x: i32[3, 9], %z: f32[3, 9]) {
    %y = pad %x, axis = 1, low = 1, high = 1
    %w = pad %z, axis = 1, low = 1, high = 1, value = 2.0
    return %y, %w
  }
  func @half(%x: bf16[4, 9, 32]) {
    %y = pad %x, axis = 1, low = 2, high = 1
    return %y
  }
}
