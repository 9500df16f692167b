// What an elementwise op reads across its rows is turned in registers, square by square, and the op runs along vectors.
// RUN: gradus compile %s --function=turn --emit=buffers --threads=1 -o - | FileCheck %s
// RUN: gradus compile %s --function=small --emit=buffers --threads=1 -o - | FileCheck %s --check-prefix=SMALL
// CHECK: vector.shuffle
// Too short for a square.
// SMALL-NOT: vector.shuffle

// RUN: gradus verify %s --dims rows=69 --threads=1
// RUN: gradus verify %s --dims rows=69 --threads=3 --march=x86-64-v3
// RUN: gradus verify %s --dims rows=69 --threads=2 --march=x86-64
// RUN: gradus verify %s --function=some --dims "rows<=70" --threads=2
graph.model @m {
  %square = param f32[40, 40] = normal(seed = 1)
  func @turn(%x: f32[500, 333]) {
    %y = transpose %x
    return %y
  }
  func @small(%x: f32[7, 5]) {
    %y = transpose %x
    return %y
  }
  // One operand lies as the result does, two do not, one is a row.
  func @mixed(%x: f32[130, 70], %z: f32[130, 70], %w: f32[70, 130], %b: f32[130]) {
    %xt = transpose %x
    %zt = transpose %z
    %a = mul %xt, %zt
    %c = add %a, %w
    %d = add %c, %b
    %y = tanh %d
    return %y
  }
  func @axes(%x: f32[6, 40, 3, 50]) {
    %y = transpose %x, perm = [3, 0, 2, 1]
    %z = transpose %x, perm = [0, 3, 2, 1]
    return %y, %z
  }
  func @channels(%x: f32[3, 9, 11, 24]) {
    %y = transpose %x, perm = [0, 3, 1, 2]
    return %y
  }
  func @halves(%x: bf16[65, 97]) {
    %y = transpose %x
    %z = add %y, %y
    return %z
  }
  func @doubles(%x: f64[65, 97], %w: f64[97, 65]) {
    %xt = transpose %x
    %y = sub %xt, %w
    return %y
  }
  func @bytes(%x: i8[66, 98], %w: i8[98, 66]) {
    %xt = transpose %x
    %y = add %xt, %w
    return %y
  }
  func @truth(%x: f32[50, 60], %w: f32[60, 50]) {
    %xt = transpose %x
    %y = compare lt, %xt, %w
    return %y
  }
  // Places are counted in the whole.
  func @places(%x: f32[120, 90]) {
    %row = iota to = f32[90, 120], axis = 0
    %column = iota to = f32[90, 120], axis = 1
    %xt = transpose %x
    %a = mul %xt, %row
    %y = add %a, %column
    return %y
  }
  // As many rows as a call says.
  func @some(%x: f32[rows, 40], %w: f32[rows, 40]) {
    %e = matmul %x, %square
    %et = transpose %e
    %p = softmax %et
    %pt = transpose %p
    %y = mul %pt, %w
    return %y
  }
}
