// A product whose results are few long sums along rows is read as it lies: no row is turned for columns of which there are
// none, or a few.
// RUN: gradus compile %s --function=one --march=x86-64-v4 --emit=buffers --threads=1 -o - | FileCheck %s
// RUN: gradus compile %s --function=three --march=x86-64-v4 --emit=buffers --threads=1 -o - | FileCheck %s
// RUN: gradus compile %s --function=seven --march=x86-64-v4 --emit=buffers --threads=1 -o - | FileCheck %s --check-prefix=SEVEN
// RUN: gradus compile %s --function=many --march=x86-64-v4 --emit=buffers --threads=1 -o - | FileCheck %s --check-prefix=MANY
// CHECK-NOT: vector.shuffle
// CHECK: vector.reduction <add>
// MANY: vector.shuffle
//
// Seven rows by two of the other matrix are computed at a time: each vector that is read takes part in two or seven products.
// SEVEN-NOT: vector.shuffle
// SEVEN: :14 = scf.for
// SEVEN-COUNT-14: vector.reduction <add>
// RUN: gradus verify %s --threads=1
// RUN: gradus verify %s --threads=2 --march=x86-64-v3
graph.model @dots {
  func @one(%w: f32[300, 170], %x: f32[170]) {
    %y = einsum "oi,i->o", %w, %x
    return %y
  }
  func @three(%w: f32[300, 170], %x: f32[3, 170]) {
    %y = einsum "bi,oi->bo", %x, %w
    return %y
  }
  func @seven(%w: f32[301, 170], %x: f32[7, 170]) {
    %y = einsum "bi,oi->bo", %x, %w
    return %y
  }
  func @many(%w: f32[300, 170], %x: f32[30, 170]) {
    %y = einsum "bi,oi->bo", %x, %w
    return %y
  }
  func @batches(%a: f32[5, 40, 70], %x: f32[5, 70]) {
    %y = einsum "bij,bj->bi", %a, %x
    return %y
  }
  func @halves(%w: bf16[300, 170], %x: bf16[2, 170]) {
    %y = einsum "bi,oi->bo", %x, %w
    return %y
  }
  func @bytes(%w: i8[300, 170], %x: i8[2, 170]) {
    %y = einsum "bi,oi->bo", %x, %w
    return %y
  }
}
