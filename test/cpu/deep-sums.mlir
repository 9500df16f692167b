// A filter's gradient adds up over images, rows and columns. All of the result is added up over a few rows of an image, then over
// the next ones, or memory would be read again for each tile of it.
// RUN: gradus verify %s | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --march=haswell --threads=2 | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --function=slope,channels --march=x86-64 --threads=1 | FileCheck %s --implicit-check-not=WRONG --check-prefix=OLD
// OLD-COUNT-2: ok
// RIGHT-NOT: WRONG
// RIGHT-COUNT-9: ok
// RUN: gradus verify %examples/bench/convolution.mlir --dims batch=1,size=7,in=3,out=18,taps=3
// RUN: gradus verify %examples/bench/convolution.mlir --dims batch=1,size=7,in=3,out=18,taps=3 --march=haswell
// Each block of 7 rows goes on from the sums before; the first takes zeros, and behind the last comes the optimiser's step.
// RUN: gradus compile %s --function=update --threads=1 --march=x86-64-v4 --emit=buffers -o - | FileCheck %s --check-prefix=BUFFERS
// BUFFERS: func.func @deep_update
// BUFFERS: call @[[STEP:kernel[0-9]+]](%{{[a-z_0-9]+}}, %{{[a-z_0-9]+}}, %arg1, %arg2
// BUFFERS: func.func private @[[STEP]]
// BUFFERS: scf.for %[[IMAGE:.*]] = %c0{{.*}} to %c7{{.*}} step %c1
// BUFFERS: scf.for %[[ROW:.*]] = %c0{{.*}} to %c28{{.*}} step %c7
// BUFFERS: scf.for %{{.*}} = %c0{{.*}} to %c3{{.*}} step %c1
// BUFFERS: arith.select
// BUFFERS: vector.fma
// BUFFERS: scf.if
// BUFFERS: arith.subf
// RUN: gradus compile %s --function=channels --threads=1 --march=x86-64-v3 --emit=buffers -o - | FileCheck %s --check-prefix=CHANNELS
// CHANNELS: func.func private @{{.*}}memref<3x3x1x64xf32>
// CHANNELS: scf.for %{{.*}} = %c0{{.*}} to %c2{{.*}} step %c1
// CHANNELS: arith.cmpi eq
// CHANNELS: arith.select
// With registers for the sums of all taps, two vectors of each, images are read once.
// RUN: gradus compile %s --function=channels --threads=1 --march=x86-64-v4 --emit=buffers -o - | FileCheck %s --check-prefix=TAPS
// TAPS: func.func private @{{.*}}memref<3x3x1x64xf32>
// TAPS: scf.for {{.*}} -> ({{((vector<16xf32>, ){17})}}vector<16xf32>)
// The same bits for any number of threads.
// RUN: gradus run %s --function=noise --input seed=1 --threads=1 > %t.1
// RUN: gradus run %s --function=noise --input seed=1 --threads=2 > %t.2
// RUN: cmp %t.1 %t.2
graph.model @deep {
  func @energy(%x: f32[7, 28, 28, 1], %filter: f32[3, 3, 1, 32]) {
    %y = conv %x, %filter, padding = same
    %s = mul %y, %y
    %t = reduce_sum %s
    return %t
  }
  func @slope(%x: f32[7, 28, 28, 1], %filter: f32[3, 3, 1, 32]) {
    %v, %g = value_and_grad @energy(%x, %filter) wrt %filter
    return %g
  }
  func @update(%x: f32[7, 28, 28, 1], %filter: f32[3, 3, 1, 32]) {
    %v, %g = value_and_grad @energy(%x, %filter) wrt %filter
    %rate = constant f32[] = 0.1
    %step = mul %g, %rate
    %next = sub %filter, %step
    return %next
  }
  // Rows of a prime number, blocks of one; columns that are no whole vectors.
  func @odd(%x: f32[3, 37, 41, 9], %g: f32[3, 37, 41, 70]) {
    %f = conv_filter %x, %g, to = f32[3, 3, 9, 70], padding = same
    return %f
  }
  func @strided(%x: f32[2, 57, 57, 24], %g: f32[2, 29, 29, 96]) {
    %f = conv_filter %x, %g, to = f32[5, 3, 24, 96], stride = [2, 2], padding = same
    return %f
  }
  func @groups(%x: f32[2, 40, 40, 64], %g: f32[2, 40, 40, 128]) {
    %f = conv_filter %x, %g, to = f32[3, 3, 32, 128], padding = same, groups = 2
    return %f
  }
  func @halves(%x: bf16[2, 48, 50, 16], %g: bf16[2, 48, 50, 64]) {
    %f = conv_filter %x, %g, to = bf16[1, 1, 16, 64]
    return %f
  }
  // No product of matrices; the loop over images is the outermost all the same.
  func @channels(%x: f32[2, 44, 44, 64], %g: f32[2, 44, 44, 64]) {
    %f = conv_filter %x, %g, to = f32[3, 3, 1, 64], padding = same, groups = 64
    return %f
  }
  func @noise(%seed: i32[]) {
    %x = normal %seed, to = f32[6, 40, 40, 24]
    %g = normal %seed, to = f32[6, 40, 40, 48]
    %f = conv_filter %x, %g, to = f32[3, 3, 24, 48], padding = same
    return %f
  }
}
