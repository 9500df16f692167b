// A long sum to a few numbers is made in parts, which threads share; their number depends on the sizes alone, so that the sum
// is the same for any number of threads.
// RUN: gradus compile %s --function=all --emit=linalg -o - | FileCheck %s
// RUN: gradus compile %s --function=short --emit=linalg -o - | FileCheck %s --check-prefix=SHORT
// RUN: gradus compile %s --function=all --emit=buffers --threads=2 -o - | FileCheck %s --check-prefix=PARTS
// CHECK: iterator_types = ["parallel", "reduction", "reduction"]{{.*}} outs({{.*}}tensor<15xf32>)
// CHECK: iterator_types = ["reduction"]
// SHORT-NOT: "parallel"
// PARTS: graph.parts = 2
// RUN: gradus verify %s --threads=1
// RUN: gradus verify %s --threads=3 --march=x86-64-v3
// RUN: gradus run %s --function=seeded --input seed=3 --threads=1 > %t.1
// RUN: gradus run %s --function=seeded --input seed=3 --threads=2 > %t.2
// RUN: gradus run %s --function=seeded --input seed=3 --threads=7 > %t.7
// RUN: cmp %t.1 %t.2
// RUN: cmp %t.1 %t.7
graph.model @m {
  func @all(%x: f32[600, 500]) {
    %s = reduce_sum %x
    return %s
  }
  func @short(%x: f32[60, 500]) {
    %s = reduce_sum %x
    return %s
  }
  func @columns(%x: f32[100000, 3], %y: f32[100000, 3]) {
    %d = sub %x, %y
    %e = mul %d, %d
    %s = reduce_mean %e, axes = [0]
    return %s
  }
  func @least(%x: f32[600, 500]) {
    %a = reduce_min %x
    %b = reduce_max %x
    return %a, %b
  }
  func @dot(%x: f32[300000], %y: f32[300000]) {
    %s = einsum "i,i->", %x, %y
    return %s
  }
  func @whole(%x: i32[512, 1024]) {
    %s = reduce_sum %x
    %m = reduce_max %x
    return %s, %m
  }
  // No few parts divide it.
  func @prime(%x: f32[300007]) {
    %s = reduce_sum %x
    return %s
  }
  func @halves(%x: bf16[600, 512]) {
    %s = reduce_mean %x
    return %s
  }
  func @seeded(%seed: i32[]) {
    %x = normal %seed, to = f32[640, 500]
    %s = reduce_sum %x
    %q = mul %x, %x
    %n = reduce_sum %q
    return %s, %n
  }
}
