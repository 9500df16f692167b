// sin and cos of vectors are polynomials, of a remainder that is computed in f64; numbers too large for it go to libm, as do
// infinity and NaN: a whole vector if one of its lanes does.
// RUN: gradus compile %s --march=x86-64-v4 --emit=asm -o - | FileCheck %s --check-prefix=CODE
// CODE-LABEL: sine_both:
// CODE-DAG: vf{{n?}}m{{(add|sub)[0-9]+}}pd {{.*}}%zmm
// CODE-DAG: sinf@PLT
// CODE-DAG: cosf@PLT
// RUN: gradus verify %s | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --march=haswell | FileCheck %s --check-prefix=RIGHT
// RUN: gradus verify %s --march=x86-64 | FileCheck %s --check-prefix=RIGHT
// RIGHT: ok
// Near multiples of pi/2 a remainder in f32 would have no right digit.
// RUN: gradus run %s --function=both --input x=[[0.5,22,355,-710,51819,104348],[999999,-3,0,1,2,3],[4,5,6,7,8,9]] | FileCheck %s --check-prefixes=BOTH,SMALL
// RUN: gradus run %s --function=both --input x=[[0.5,22,355,-710,51819,104348],[999999,-3,0,1,2,3],[4,5,6,7,8,9]] --march=haswell | FileCheck %s --check-prefixes=BOTH,SMALL
// RUN: gradus run %s --function=both --input x=[[0.5,22,355,-710,51819,104348],[999999,-3,1.0e7,-3.0e9,1.0e30,3],[4,5,6,7,8,9]] | FileCheck %s --check-prefixes=BOTH,LARGE
// RUN: gradus run %s --function=both --input x=[[0.5,22,355,-710,51819,104348],[999999,-3,1.0e7,-3.0e9,1.0e30,3],[4,5,6,7,8,9]] --march=haswell | FileCheck %s --check-prefixes=BOTH,LARGE
// BOTH: 0.479425{{[0-9]*}}, -0.0088513{{[0-9]*}}, -3.01443{{[0-9]*}}e-05, -6.02887{{[0-9]*}}e-05, 1, -1.10150{{[0-9]*}}e-05
// SMALL: -0.97735{{[0-9]*}}, -0.1411{{[0-9]*}}, {{-?}}0, 0.84147{{[0-9]*}}, 0.90929{{[0-9]*}}, 0.1411
// LARGE: -0.97735{{[0-9]*}}, -0.1411{{[0-9]*}}, 0.420547{{[0-9]*}}, -0.98700{{[0-9]*}}, -0.791163{{[0-9]*}}, 0.1411
// BOTH: 0.877582{{[0-9]*}}, -0.999960{{[0-9]*}}, -1, 1, 2.46368{{[0-9]*}}e-05, -1
// SMALL: 0.21161{{[0-9]*}}, -0.98999{{[0-9]*}}, 1, 0.5403{{[0-9]*}}, -0.41614{{[0-9]*}}, -0.98999
// LARGE: 0.21161{{[0-9]*}}, -0.98999{{[0-9]*}}, -0.907270{{[0-9]*}}, -0.16069{{[0-9]*}}, -0.611604{{[0-9]*}}, -0.98999
graph.model @sine {
  func @both(%x: f32[3, 6]) {
    // Rows of 6 alone are shorter than a vector.
    %flat = reshape %x, to = f32[18]
    %sines = sin %flat
    %cosines = cos %flat
    %s = reshape %sines, to = f32[3, 6]
    %c = reshape %cosines, to = f32[3, 6]
    return %s, %c
  }
}
