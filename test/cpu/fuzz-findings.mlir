// Programs that gradus-fuzz once found compiled wrong, shrunk.
// RUN: gradus verify %s | FileCheck %s --implicit-check-not=WRONG
// CHECK: @negated: {{.*}}: ok
// CHECK: @places: {{.*}}: ok

graph.model @findings {
  // A sum of negated products was taken for one of products.
  func @negated(%w: f32[2, 3], %x: f32[1, 3]) {
    %p = mul %w, %x
    %n = neg %p
    %s = reduce_sum %n, axes = [0]
    return %s
  }
  // Windows summed over their places, whose number no operand tells.
  func @places(%x: f32[1, 5, 2]) {
    %w = windows %x, window = [3]
    %s = reduce_sum %w, axes = [0, 1]
    return %s
  }
}
