// A layer may compute sizes from its arguments'; what follows its call learns of them when it is written out.
// RUN: gradus run %s --input x=1 | FileCheck %s
// CHECK: y = f32[3]
// CHECK-NEXT: [26, 26, 26]
// RUN: gradus compile %s --emit=grad -o - | FileCheck %s --check-prefix=GRAD
// GRAD: %act = relu %h : f32[1, 3, 1, 3]
graph.model @m {
  func @halved(%x: f32[1, n, 2, 3]) {
    %w = param f32[2, 2, 3, 3] = ones
    %c = conv %x, %w, stride = [2, 2]
    return %c
  }
  func @f(%x: f32[1, 6, 2, 3]) {
    %h = call @halved(%x)
    %act = relu %h
    %two = constant f32[] = 2.0
    %t = mul %act, %two
    %c = reduce_max %t, axes = [0, 2, 3]
    %y = add %c, %two
    return %y as "y"
  }
}
