// Products of i8 in i32 and of 16-bit floats in f32 are those of their operands cast first, however the operands lie,
// blocked, packed in pairs and with ragged edges.
// RUN: gradus run %s --function=f --input seed=1 | FileCheck %s
// RUN: gradus run %s --function=f -march=x86-64-v3 --input seed=1 | FileCheck %s
// RUN: gradus run %s --function=f -march=x86-64-v2 --input seed=1 | FileCheck %s
// RUN: gradus run %s --function=f --threads=3 --input seed=1 | FileCheck %s
// CHECK-COUNT-4: wrong{{.*}} = 0
// CHECK-COUNT-4: off{{.*}} = {{0|.*e-(0[5-9]|[1-9][0-9])}}
// CHECK-COUNT-4: off{{.*}} = {{0|.*e-(0[5-9]|[1-9][0-9])}}
// CHECK-COUNT-3: wrong{{.*}} = 0
// Pairs are multiplied by the instruction that the processor has; rounding to bf16 never calls a library.
// RUN: gradus compile %s --emit=asm -march=x86-64-v3 -o - | FileCheck %s --check-prefix=AVX2
// RUN: gradus compile %s --emit=asm -march=x86-64-v4 -o - | FileCheck %s --check-prefix=AVX512
// RUN: gradus compile %s --emit=asm -march=znver4 -o - | FileCheck %s --check-prefix=ZEN4
// RUN: gradus compile %s --emit=asm -march=sapphirerapids --mattr=-amx-tile -o - | FileCheck %s --check-prefix=ZEN4
// RUN: gradus compile %s --emit=asm -march=alderlake -o - | FileCheck %s --check-prefix=VNNI
// AVX2-NOT: truncsfbf2
// AVX2: vpmaddwd {{.*}}ymm
// AVX2-NOT: truncsfbf2
// AVX512: vpmaddwd {{.*}}zmm
// ZEN4: vpdpbusd {{.*}}zmm
// ZEN4: vdpbf16ps {{.*}}zmm
// VNNI: vpdpbusd {{.*}}ymm
// Several blocks of rows, each with its sums; the second operand's lie side by side.
// RUN: gradus verify %s --function=tall | FileCheck %s --check-prefix=TALL
// TALL: 2 results compared, worst relative error 0.00e+00: ok
graph.model @m {
  func @tall(%a: i8[700, 133], %b: i8[133, 300], %t: i8[2100, 133]) {
    %x = matmul %a, %b
    %rows = transpose %t, perm = [1, 0]
    %y = matmul %rows, %t
    return %x, %y
  }
  // How many sums of i8 differ from those of i32.
  func @whole(%a: i8[batch..., m, k], %b: i8[k, n]) {
    %sums = matmul %a, %b
    %aw = cast %a, to = i32
    %bw = cast %b, to = i32
    %want = matmul %aw, %bw
    %differ = compare ne, %sums, %want
    %ones = cast %differ, to = i32
    %wrong = reduce_sum %ones
    return %wrong
  }
  // The largest relative distance of sums of 16-bit floats from those of f32.
  func @real(%a: bf16[m, k], %b: bf16[k, n]) {
    %sums = matmul %a, %b, to = f32
    %aw = cast %a, to = f32
    %bw = cast %b, to = f32
    %want = matmul %aw, %bw
    %d = sub %sums, %want
    %size = abs %d
    %far = reduce_max %size
    %k = size %a, axis = 1
    %kf = cast %k, to = f32
    %off = div %far, %kf
    return %off
  }
  func @half(%a: f16[m, k], %b: f16[k, n]) {
    %sums = matmul %a, %b, to = f32
    %aw = cast %a, to = f32
    %bw = cast %b, to = f32
    %want = matmul %aw, %bw
    %d = sub %sums, %want
    %size = abs %d
    %far = reduce_max %size
    %k = size %a, axis = 1
    %kf = cast %k, to = f32
    %off = div %far, %kf
    return %off
  }
  func @f(%seed: i32[]) {
    %full = constant f32[] = 255.0
    %half = constant f32[] = 0.5
    %ua = uniform %seed, to = f32[217, 701]
    %ub = uniform %seed, to = f32[701, 453], stream = 1
    %ca = sub %ua, %half
    %cb = sub %ub, %half
    %sa = mul %ca, %full
    %sb = mul %cb, %full
    %a = cast %sa, to = i8
    %b = cast %sb, to = i8
    %wrong = call @whole(%a, %b)
    %bt = transpose %b
    %att = transpose %a
    %wrong.turned = call @whole(%bt, %att)
    %row = slice %a, axis = 0, start = 3, length = 37
    %small = slice %b, axis = 1, start = 0, length = 24
    %wrong.narrow = call @whole(%row, %small)
    %rowt = transpose %row
    %wrong.gram = call @whole(%rowt, %row)

    %ah = cast %ca, to = bf16
    %bh = cast %cb, to = bf16
    %off = call @real(%ah, %bh)
    %bht = transpose %bh
    %aht = transpose %ah
    %off.turned = call @real(%bht, %aht)
    %rowh = slice %ah, axis = 0, start = 3, length = 37
    %smallh = slice %bh, axis = 1, start = 0, length = 24
    %off.narrow = call @real(%rowh, %smallh)
    %rowht = transpose %rowh
    %off.gram = call @real(%rowht, %rowh)

    %ai = cast %ca, to = f16
    %bi = cast %cb, to = f16
    %off.half = call @half(%ai, %bi)
    %bit = transpose %bi
    %ait = transpose %ai
    %off.half.turned = call @half(%bit, %ait)
    %rowi = slice %ai, axis = 0, start = 0, length = 1
    %off.half.row = call @half(%rowi, %bi)
    %smalli = slice %bi, axis = 1, start = 0, length = 3
    %off.half.narrow = call @half(%ai, %smalli)

    %stack = reshape %a, to = i8[7, 31, 701]
    %wrong.stack = call @whole(%stack, %b)
    %flatb = slice %b, axis = 0, start = 0, length = 31
    %stackt = transpose %stack
    %wrong.stack.turned = call @whole(%stackt, %flatb)
    %one = slice %a, axis = 0, start = 5, length = 1
    %wrong.row = call @whole(%one, %b)
    return %wrong, %wrong.turned, %wrong.narrow, %wrong.gram, %off, %off.turned, %off.narrow, %off.gram, %off.half, %off.half.turned, %off.half.row, %off.half.narrow, %wrong.stack, %wrong.stack.turned, %wrong.row
  }
}
