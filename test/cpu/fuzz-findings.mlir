// Programs that gradus-fuzz once found compiled wrong, shrunk.
// RUN: gradus verify %s | FileCheck %s --implicit-check-not=WRONG
// CHECK: @negated: {{.*}}: ok
// CHECK: @places: {{.*}}: ok
// CHECK: @of_constants: {{.*}}: ok
// CHECK: @nowhere: {{.*}}: ok
// CHECK: @bent: {{.*}}: ok

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
  // A sum over a constant of one number had no loop to run over.
  func @of_constants(%x: f32[5]) {
    %c = constant f32[2, 5] = 3.0
    %s = reduce_sum %c, axes = [0]
    %y = mul %s, %x
    %m = reduce_max %c
    return %y, %m
  }
  // What is gathered from no place has a gradient of zeros.
  func @looked_up(%x: f32[], %ids: i32[0]) {
    %t = broadcast %x, to = f32[2, 5, 1]
    %y = gather %t, %ids, axis = 1
    %l = reduce_sum %y
    return %l
  }
  func @nowhere(%x: f32[], %ids: i32[0]) {
    %l, %d = value_and_grad @looked_up(%x, %ids) wrt %x
    return %l, %d
  }
  // Products without a sum were added to zeros, which reshapes let several results of an op share.
  func @bowl(%x: f32[6], %y: f32[2, 3], %w: f32[]) {
    %a = tanh %y
    %b = reshape %x, to = f32[2, 3]
    %c = tanh %b
    %d = einsum "ij,ij->", %a, %c
    %l = mul %d, %w
    return %l
  }
  func @slope(%x: f32[6], %y: f32[2, 3], %w: f32[]) {
    %l, %d:2 = value_and_grad @bowl(%x, %y, %w) wrt %x, %y
    return %d#0, %d#1
  }
  func @bent(%x: f32[6], %y: f32[2, 3], %w: f32[], %u: f32[6], %v: f32[2, 3]) {
    %z = constant f32[] = 0.0
    %h:4 = jvp @slope(%x, %y, %w, %u, %v, %z)
    return %h#2, %h#3
  }
}
