// Two roundings, f64 to f32 to bf16, stay two where the processor rounds to bf16: at once they are a function that few
// libraries have.
// RUN: gradus verify %s
// RUN: gradus compile %s -mcpu=znver4 --emit=asm -o - | FileCheck %s --implicit-check-not=__trunc
// CHECK: vcvtneps2bf16
graph.model @m {
  func @op(%a: bf16[3, 5], %b: bf16[5, 4]) {
    %y = matmul %a, %b
    return %y
  }
  func @loss(%a: bf16[3, 5], %b: bf16[5, 4], %w: f64[3, 4]) {
    %y = matmul %a, %b
    %z = cast %y, to = f64
    %m = mul %z, %w
    %s = reduce_sum %m
    return %s
  }
  func @grad(%a: bf16[3, 5], %b: bf16[5, 4], %w: f64[3, 4]) {
    %l, %d:2 = value_and_grad @loss(%a, %b, %w) wrt %a, %b
    return %d#0, %d#1
  }
}
