// RUN: gradus compile %s --function=heads,summed --emit=linalg -o - | FileCheck %s --check-prefix=READ
// RUN: gradus compile %s --function=last --emit=linalg -o - | FileCheck %s --check-prefix=COPY
// RUN: gradus verify %s | FileCheck %s --check-prefix=RIGHT

// A product reads its operands as they lie before a transpose, whatever axes that moves: no op but the products.
// READ-LABEL: func.func @heads
// READ-COUNT-1: linalg.generic
// READ-SAME: iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]} ins({{.*}} : tensor<2x7x3x5xf32>, tensor<2x9x3x5xf32>)
// READ-NOT: linalg.generic
// READ-LABEL: func.func @summed
// READ-COUNT-1: linalg.generic
// READ-NOT: linalg.generic

// Unless columns, or rows, would not follow each other in memory then: here it would be the batch's elements.
// COPY-LABEL: func.func @last
// COPY: linalg.generic {{.*}}["parallel", "parallel", "parallel"]} ins({{.*}} : tensor<7x5x3xf32>)
// COPY: linalg.generic {{.*}}["parallel", "parallel", "parallel", "reduction"]}

// RIGHT-NOT: WRONG
// RIGHT: @last: {{.*}}: ok
graph.model @transposes {
  func @heads(%q: f32[2, 7, 15], %k: f32[2, 9, 15]) {
    %qh = rearrange "b t (h d) -> b h t d", %q, h = 3
    %kh = rearrange "b t (h d) -> b h d t", %k, h = 3
    %s = matmul %qh, %kh
    return %s
  }
  func @summed(%a: f32[4, 6, 5], %b: f32[5, 8, 6]) {
    %at = transpose %a, perm = [1, 0, 2]
    %bt = transpose %b, perm = [2, 1, 0]
    %c = einsum "iaj,ikj->ka", %at, %bt
    return %c
  }
  func @last(%a: f32[7, 5, 3], %b: f32[3, 5, 4]) {
    %at = transpose %a, perm = [2, 0, 1]
    %c = matmul %at, %b
    return %c
  }
}
