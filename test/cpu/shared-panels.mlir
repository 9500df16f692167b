// Threads that share rows of a product whose right-hand side is turned copy it to panels together, in a loop of parts
// before that over the rows. Results are those of one thread.
// RUN: gradus compile %s --function=turned --emit=buffers --threads=2 -o - | FileCheck %s
// RUN: gradus compile %s --function=turned --emit=buffers --threads=1 -o - | FileCheck %s --check-prefix=ALONE
// CHECK-LABEL: func.func private @kernel0.part0
// CHECK: vector.shuffle
// CHECK-NOT: vector.fma
// CHECK-LABEL: func.func private @kernel0.part1
// CHECK-NOT: vector.shuffle
// CHECK: vector.fma
// ALONE-NOT: .part
// RUN: gradus verify %s --threads=2
// RUN: gradus verify %s --threads=3
// RUN: gradus verify %s --threads=2 --march=x86-64-v3
graph.model @m {
  func @turned(%x: f32[600, 500], %w: f32[210, 500]) {
    %y = einsum "mk,nk->mn", %x, %w
    return %y
  }
  // Words of several elements, and an epilogue.
  func @halves(%x: bf16[600, 301], %w: bf16[210, 301], %b: bf16[210]) {
    %p = einsum "mk,nk->mn", %x, %w
    %s = add %p, %b
    %y = relu %s
    return %y
  }
  func @bytes(%x: i8[600, 301], %w: i8[210, 301]) {
    %wt = transpose %w
    %y = matmul %x, %wt, to = i32
    return %y
  }
}
