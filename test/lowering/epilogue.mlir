// What follows a product runs on its blocks, in its kernel. Bias and activation of a ragged layer; a residual behind
// reshapes and a reduction of several blocks. The bits are those of kernels of their own, for any number of threads.
// RUN: gradus compile %s --emit=linalg -o - | FileCheck %s --check-prefix=LINALG
// LINALG-LABEL: func.func @fused
// LINALG-COUNT-2: graph.epilogue
// LINALG-LABEL: func.func @apart
// LINALG-NOT: graph.epilogue
// LINALG-LABEL: func.func @loss
// RUN: gradus run %s --function=fused --input seed=7 --threads=1 --output small=@%t.1.npy --output deep=@%t.2.npy
// RUN: gradus run %s --function=apart --input seed=7 --threads=1 --output small=@%t.3.npy --output deep=@%t.4.npy
// RUN: gradus run %s --function=fused --input seed=7 --threads=3 --output small=@%t.5.npy --output deep=@%t.6.npy
// RUN: cmp %t.1.npy %t.3.npy
// RUN: cmp %t.2.npy %t.4.npy
// RUN: cmp %t.1.npy %t.5.npy
// RUN: cmp %t.2.npy %t.6.npy

// A gradient that only an update reads has no memory of its own.
// RUN: gradus compile %s --emit=buffers --march=x86-64-v3 --threads=1 -o - | FileCheck %s --check-prefix=UPDATE
// UPDATE-NOT: memref.view {{.*}} to memref<96x200xf32>
// UPDATE-LABEL: func.func @m_fused

// What it will read and write is asked for while the sums are made: the residual and the result, not the bias.
// RUN: gradus compile %s --function=residual --emit=buffers --march=x86-64-v4 --threads=1 -o - | FileCheck %s --check-prefix=ASKS
// ASKS: func.func private @kernel0(%{{.*}}: memref<300x96xf32>, %{{.*}}: memref<96x200xf32>, %{{.*}}: memref<200xf32>, %[[RESIDUAL:[a-z0-9]*]]: memref<300x200xf32>, %[[RESULT:[a-z0-9]*]]:
// ASKS-DAG: %[[FROM:.*]] = memref.collapse_shape %[[RESIDUAL]]
// ASKS-DAG: %[[TO:.*]] = memref.collapse_shape %[[RESULT]]
// ASKS: iter_args
// ASKS-NOT: locality<2>
// ASKS: memref.prefetch %[[FROM]]{{.*}}locality<2>
// ASKS-NOT: locality<2>
// ASKS: memref.prefetch %[[TO]]{{.*}}locality<2>
// ASKS-NOT: locality<2>
// ASKS: vector.fma

// What overwrites an operand of the product waits for all of it: 600 times 1, halved, in every place.
// RUN: gradus run %s --function=overwrite | FileCheck %s --check-prefix=OVERWRITE
// OVERWRITE: low = 300
// OVERWRITE-NEXT: high = 300
graph.model @m {
  %w = param f32[96, 200] = normal(std = 0.1)
  %square = param f32[600, 600] = ones

  func @fused(%seed: i64[]) {
    %x = normal %seed, to = f32[37, 70]
    %v = normal %seed, to = f32[70, 45], stream = 1
    %b = normal %seed, to = f32[45], stream = 2
    %y = normal %seed, to = f32[2, 150, 1500], stream = 3
    %u = normal %seed, to = f32[1500, 200], stream = 4
    %r = normal %seed, to = f32[2, 150, 200], stream = 5
    %p = linear %x, %v, %b
    %small = gelu %p
    %q = linear %y, %u
    %deep = sub %r, %q
    return %small as "small", %deep as "deep"
  }
  // The products are read elsewhere first.
  func @apart(%seed: i64[]) {
    %x = normal %seed, to = f32[37, 70]
    %v = normal %seed, to = f32[70, 45], stream = 1
    %b = normal %seed, to = f32[45], stream = 2
    %y = normal %seed, to = f32[2, 150, 1500], stream = 3
    %u = normal %seed, to = f32[1500, 200], stream = 4
    %r = normal %seed, to = f32[2, 150, 200], stream = 5
    %p = matmul %x, %v
    %p.max = reduce_max %p
    %pb = add %p, %b
    %small = gelu %pb
    %q = linear %y, %u
    %q.max = reduce_max %q
    %deep = sub %r, %q
    return %small as "small", %deep as "deep", %p.max as "p.max", %q.max as "q.max"
  }
  func @loss(%x: f32[300, 96]) {
    %y = linear %x, %w
    %l = reduce_mean %y
    return %l
  }
  train @fit minimizes @loss using sgd(lr = 1.0e-2)

  func @residual(%x: f32[300, 96], %b: f32[200], %r: f32[300, 200]) {
    %y = linear %x, %w, %b
    %o = add %y, %r
    return %o
  }

  func @overwrite() {
    %one = constant f32[600, 600] = 1.0
    %s = matmul %square, %square
    %half = constant f32[] = 0.5
    %next = mul %s, %half
    update %square, %next
    %low = reduce_min %next
    %high = reduce_max %next
    return %low as "low", %high as "high"
  }
}
