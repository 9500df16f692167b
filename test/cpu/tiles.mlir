// Products in tile registers (AMX): operands in place and copied, either way round, ragged in every direction, several
// blocks deep, with an epilogue, by threads, of windows, up to a bound. On other processors the same are right too.
// RUN: gradus verify %s --dims batch=33
// RUN: gradus verify %s --dims batch=33 --threads=3
// RUN: gradus verify %s --dims batch=33 --mattr=-amx-tile
// RUN: gradus verify %s --dims 'batch<=40'
// RUN: gradus compile %s --emit=asm -march=sapphirerapids --dims batch=33 -o - | FileCheck %s
// RUN: gradus compile %s --emit=asm -march=sapphirerapids --mattr=-amx-tile --dims batch=33 -o - \
// RUN:   | FileCheck %s --check-prefix=WITHOUT
// WITHOUT-NOT: {{tdp|ldtilecfg}}
// Functions ask for leave before they use tiles; what asks is in the object. The sizes of tiles are set before the loop
// over whole tiles, not in it, and the innermost loop does nothing else than read and multiply.
// CHECK-LABEL: m_inplace:
// CHECK: gradus_need_processor
// CHECK-LABEL: kernel0:
// CHECK: ldtilecfg
// CHECK: tileloadd {{.*}}%tmm6
// CHECK-NEXT: tileloadd {{.*}}%tmm7
// CHECK-NEXT: tileloadd {{.*}}%tmm4
// CHECK-NEXT: tdpbf16ps
// CHECK-NEXT: tdpbf16ps
// CHECK-NOT: ldtilecfg
// CHECK: tilestored
// CHECK: tilerelease
// CHECK-DAG: tdpbssd
// CHECK-LABEL: gradus_allow_tiles:
// CHECK: syscall
graph.model @m {
  func @inplace(%a: bf16[64, 96], %b: bf16[96, 64]) {
    %y = matmul %a, %b, to = f32
    return %y
  }
  func @ragged(%a: bf16[batch, 77], %b: bf16[77, 45]) {
    %y = matmul %a, %b, to = f32
    return %y
  }
  func @row(%a: bf16[13, 200], %b: bf16[200, 100]) {
    %y = matmul %a, %b, to = f32
    return %y
  }
  func @column(%a: bf16[100, 60], %b: bf16[60, 9]) {
    %y = matmul %a, %b, to = f32
    return %y
  }
  // 1,100 elements: five blocks of depth, the last of which is shorter.
  func @deep(%a: bf16[70, 1100], %b: bf16[40, 1100]) {
    %bt = transpose %b
    %y = matmul %a, %bt, to = f32
    return %y
  }
  func @turned(%a: bf16[50, 70], %b: bf16[50, 40]) {
    %at = transpose %a
    %y = matmul %at, %b, to = f32
    return %y
  }
  func @bytes(%a: i8[batch, 131], %b: i8[131, 66]) {
    %y = matmul %a, %b, to = i32
    return %y
  }
  func @turned_bytes(%a: i8[66, 70], %b: i8[40, 66]) {
    %at = transpose %a
    %bt = transpose %b
    %y = matmul %at, %bt, to = i32
    return %y
  }
  func @many(%a: bf16[5, 20, 64], %b: bf16[5, 64, 24], %c: f32[5, 20, 24]) {
    %y = matmul %a, %b, to = f32
    %z = add %y, %c
    return %z
  }
  func @layer(%x: bf16[batch, 64], %w: bf16[64, 48], %b: f32[48]) {
    %y = matmul %x, %w, to = f32
    %z = add %y, %b
    %r = relu %z
    %h = cast %r, to = bf16
    return %h
  }
  func @windows(%x: bf16[2, 9, 30, 32], %w: bf16[3, 3, 32, 20]) {
    %y = conv %x, %w, padding = same
    return %y
  }
  func @loss(%x: bf16[batch, 64], %w: bf16[64, 48]) {
    %y = matmul %x, %w
    %t = tanh %y
    %f = cast %t, to = f32
    %s = reduce_sum %f
    return %s
  }
  func @gradients(%x: bf16[batch, 64], %w: bf16[64, 48]) {
    %s, %d:2 = value_and_grad @loss(%x, %w) wrt %x, %w
    return %s, %d#0, %d#1
  }
}
