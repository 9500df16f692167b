// pow of vectors is a logarithm and an exponential in f64; what they do not cover goes to libm, lane by lane. Small exponents
// that are known are products.
// RUN: gradus compile %s --function=powers --march=x86-64-v4 --emit=asm -o - | FileCheck %s --check-prefix=CODE
// CODE-LABEL: pow_powers:
// CODE-DAG: vf{{n?}}m{{(add|sub)[0-9]+}}pd {{.*}}%zmm
// CODE-DAG: powf@PLT
// RUN: gradus compile %s --function=known --march=x86-64-v4 --emit=asm -o - | FileCheck %s --check-prefix=KNOWN
// KNOWN-NOT: powf
// KNOWN: vsqrtps
// RUN: gradus verify %s | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --march=haswell | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --march=x86-64 | FileCheck %s --check-prefix=RIGHT
// RIGHT-COUNT-2: ok
// RUN: gradus run %s --function=powers --input x=[[2,-2,-2,0],[0,0.5,1.5,10],[-1,-1.5,9,1],[-3,100,1.0e-20,7]] --input y=[[10,3,4,2],[0.5,-3,2.5,38],[1001,-2,0.5,9.0e6],[0.5,-2,2,1]] | FileCheck %s --check-prefix=SOME
// SOME: 1024, -8, 16, 0
// SOME: 0, 8, 2.75567{{[0-9]*}}, 1e+38
// SOME: -1, 0.44444{{[0-9]*}}, 3, 1
// SOME: {{-?}}nan, 1e-04, {{[^,]*}}, 7
// RUN: gradus run %s --function=powers --input x=[[2,inf,-inf,0],[-0.0,0.5,nan,10],[1,-1,3,1],[-3,0,-2,7]] --input y=[[10,3,3,-2],[-3,-3,2,40],[3.0e38,2.0e7,nan,nan],[0.5,0,1.0e9,1]] | FileCheck %s --check-prefix=LIBRARY
// LIBRARY: 1024, inf, -inf, inf
// LIBRARY: -inf, 8, {{-?}}nan, inf
// LIBRARY: 1, 1, {{-?}}nan, 1
// LIBRARY: {{-?}}nan, 1, inf, 7
graph.model @pow {
  func @powers(%x: f32[4, 4], %y: f32[4, 4]) {
    %a = reshape %x, to = f32[16]
    %b = reshape %y, to = f32[16]
    %p = pow %a, %b
    %rows = reshape %p, to = f32[4, 4]
    return %rows
  }
  func @known(%x: f32[16]) {
    %two = constant f32[] = 2.0
    %half = constant f32[] = 0.5
    %less = constant f32[] = -1.0
    %a = pow %x, %two
    %b = pow %a, %half
    %c = pow %b, %less
    return %a, %b, %c
  }
}
