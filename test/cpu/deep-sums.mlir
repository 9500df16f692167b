// A filter's gradient adds up over images, rows and columns, and reads the result's gradient for each row of the filter: some
// images at a time, or memory would be read again and again.
// RUN: gradus verify %s | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --march=haswell --threads=2 | FileCheck %s --check-prefix=RIGHT
// RIGHT-NOT: WRONG
// RIGHT-COUNT-3: ok
// Two images of 7 are 200 KB; the last is by itself, and what follows it the step of the optimiser.
// RUN: gradus compile %s --function=update --threads=1 --march=x86-64-v4 --emit=buffers -o - | FileCheck %s --check-prefix=BUFFERS
// BUFFERS: func.func @deep_update
// BUFFERS: call @[[STEP:kernel[0-9]+]](%{{[a-z_0-9]+}}, %{{[a-z_0-9]+}}, %arg1, %arg2
// BUFFERS: func.func private @[[STEP]]
// BUFFERS: scf.for %{{.*}} = %c2{{.*}} to %c6{{.*}} step %c2
// BUFFERS: scf.for %{{.*}} = %c0{{.*}} to %c3{{.*}} step %c1
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
}
