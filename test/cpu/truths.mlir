// Truth values are bytes in memory and bits in vectors: masks, comparisons and logic run in vectors like anything else.
// RUN: gradus verify %s --dims batch=7 | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --dims batch=7 -march=haswell | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --dims 'batch<=9' | FileCheck %s --check-prefix=RIGHT
// RIGHT-NOT: WRONG
// RIGHT-COUNT-4: ok
// RUN: gradus compile %s --dims batch=7 --function=choose -march=x86-64-v4 --emit=asm -o - | FileCheck %s --check-prefix=WIDE
// WIDE-NOT: kmovb
// WIDE: vptestnmb %xmm[[BYTES:[0-9]+]], %xmm[[BYTES]], %k[[MASK:[0-9]+]]
// WIDE: vmovups {{.*}}, %zmm{{[0-9]+}} {%k[[MASK]]}
// RUN: gradus compile %s --dims batch=7 --function=choose -march=haswell --emit=asm -o - | FileCheck %s --check-prefix=NARROW
// NARROW: vpmovsxbd
// NARROW: vblendvps
// The largest of a masked row, as attention takes it, is one loop.
// RUN: gradus compile %s --dims batch=7 --function=attend -march=x86-64-v4 --emit=asm -o - | FileCheck %s --check-prefix=ROW
// ROW-NOT: vmaxss (
// ROW: vmaxps {{.*}}%zmm
graph.model @truths {
  func @choose(%x: f32[batch, 53], %y: f32[batch, 53], %m: i1[batch, 53]) {
    %r = select %m, %x, %y
    return %r
  }
  func @compare(%x: f32[batch, 53], %y: f32[batch, 53]) {
    %r = compare lt, %x, %y
    return %r
  }
  func @both(%x: f64[batch, 33], %y: f64[batch, 33], %m: i1[33]) {
    %l = compare gt, %x, %y
    %r = and %l, %m
    %n = not %r
    %z = select %n, %x, %y
    return %r, %z
  }
  func @attend(%x: f32[batch, 40, 100], %m: i1[40, 100]) {
    %low = constant f32[] = -1.0e30
    %s = select %m, %x, %low
    %p = softmax %s
    return %p
  }
}
