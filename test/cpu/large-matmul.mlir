// Blocked in every direction and packed, with ragged edges: each element of the result is the sum it should be.
// RUN: gradus run %s --input a=1.5 --input b=2 | FileCheck %s
// RUN: gradus run %s -march=x86-64-v2 --input a=1.5 --input b=2 | FileCheck %s
// CHECK: low = 2103
// CHECK-NEXT: high = 2103
// CHECK-NEXT: turned.low = 2103
// CHECK-NEXT: turned.high = 2103
graph.model @m {
  func @f(%a: f32[217, 701], %b: f32[701, 453]) {
    %c = matmul %a, %b
    %low = reduce_min %c
    %high = reduce_max %c
    %at = transpose %a
    %bt = transpose %b
    %t = matmul %bt, %at
    %turned.low = reduce_min %t
    %turned.high = reduce_max %t
    return %low, %high, %turned.low, %turned.high
  }
}
