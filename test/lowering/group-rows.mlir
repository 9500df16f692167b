// What a row's ops hand on is one row large, and only what is read elsewhere is written out.
// RUN: gradus compile %s --emit=linalg -o - | FileCheck %s --check-prefix=LINALG
// RUN: gradus compile %s --emit=kernels -o - | FileCheck %s --check-prefix=KERNELS
// RUN: gradus compile %s --emit=buffers --threads=1 -o - | FileCheck %s --check-prefix=BUFFERS

// Softmax: the maximum, the powers and their sum, the quotient.
// LINALG: func.func @attend
// LINALG: graph.group = [[G:[0-9]+]] : i64, graph.row_loops = array<i64: 0>
// LINALG: graph.group = [[G]]

// KERNELS: func.func @attend
// KERNELS-COUNT-1: call @kernel
// KERNELS-NOT: call @kernel
// KERNELS: return

// One head's scores, 64 x 64, in place of six heads' ones.
// BUFFERS: memref.view {{.*}} to memref<1x64x64xf32>
// BUFFERS-NOT: memref<6x64x64xf32>
graph.model @m {
  func @attend(%q: f32[6, 64, 16], %k: f32[6, 64, 16], %v: f32[6, 64, 16]) {
    %s = einsum "hqd,hkd->hqk", %q, %k
    %p = softmax %s
    %o = einsum "hqk,hkd->hqd", %p, %v
    return %o
  }
}
