// A product becomes loops over vectors of the machine's width, its accumulators in registers.
// RUN: gradus compile %s --emit=buffers -march=x86-64-v3 -o - | FileCheck %s --check-prefix=AVX2
// RUN: gradus compile %s --emit=buffers -march=x86-64-v4 -o - | FileCheck %s --check-prefix=AVX512
// AVX2: scf.for {{.*}} iter_args({{.*}}vector<8xf32>
// AVX2: vector.fma {{.*}} : vector<8xf32>
// AVX512: vector.fma {{.*}} : vector<16xf32>
// AVX512: vector.maskedstore
// RUN: gradus compile %s --emit=asm -march=x86-64-v3 -o - | FileCheck %s --check-prefix=ASM
// ASM: vfmadd{{.*}}ymm
graph.model @m {
  func @f(%x: f32[20, 30], %w: f32[30, 20]) {
    %y = matmul %x, %w
    return %y
  }
}
