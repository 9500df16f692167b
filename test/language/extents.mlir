// A number of groups, and an option of a call, may be the dimension that has it; sizes that names could not tell are known
// where a call gives them.
// RUN: gradus compile %s --emit=graph -o - | FileCheck %s --check-prefix=TEXT
// RUN: gradus compile %s --emit=graph -o %t.mlir && gradus compile %t.mlir --emit=graph -o - | FileCheck %s --check-prefix=TEXT
// TEXT: conv %x, %w, padding = same, groups = channels : f32[batch, h, w, channels]
// TEXT: call @std.conv(%a), kh = 1, kw = 1, out = wide : f32[batch, h, w, wide]
// RUN: gradus compile %s --function=net --emit=simple -o - | FileCheck %s
// CHECK: %p.d.w = param f32[3, 3, 1, 6]
// CHECK: %p.y.w = param f32[1, 1, 6, 12]
// CHECK: %q.d.w = param f32[3, 3, 1, 12]
// CHECK: %q.y.w = param f32[1, 1, 12, 5]
// CHECK: groups = 6 : f32[2, 8, 8, 6]
// CHECK: groups = 12 : f32[2, 8, 8, 12]
// CHECK: return {{.*}} as "y"
// RUN: gradus verify %s --function=net,energy,slope,several,use,slope.framed --dims n=2,p=5,q=4,c=3 | FileCheck %s --implicit-check-not=WRONG --check-prefix=RIGHT
// RIGHT-COUNT-6: ok
// RUN: gradus check-grad %s --function=energy --dims n=2,p=5,q=4,c=3
// RUN: not gradus compile %s --function=slope --dims n=2,p=5,q=4 -o %t.o 2>&1 | FileCheck %s --check-prefix=OPEN
// OPEN: error: this needs the size of dimension 'c': give it with --dims
// OPEN-NOT: error
graph.model @m {
  func @depthwise(%x: f32[batch, h, w, channels]) {
    %w = param f32[3, 3, 1, channels] = he_normal
    %y = conv %x, %w, groups = channels, padding = same
    return %y
  }
  func @block(%x: f32[batch, h, w, in]) {
    %d = call @depthwise(%x)
    %a = relu %d
    %y = call @std.conv(%a), out = wide, kh = 1, kw = 1
    return %y
  }
  func @net(%x: f32[2, 8, 8, 6]) {
    %a = call @block(%x) as "p", wide = 12
    %b = call @block(%a) as "q", wide = 5
    %c = call @std.depthwise(%b), kh = 3, kw = 5
    return %c as "y"
  }
  func @energy(%x: f32[n, p, q, c], %k: f32[3, 3, 1, c]) {
    %y = conv %x, %k, groups = c, padding = same
    %z = mul %y, %y
    %l = reduce_sum %z
    return %l
  }
  func @slope(%x: f32[n, p, q, c], %k: f32[3, 3, 1, c]) {
    %l, %dx, %dk = value_and_grad @energy(%x, %k) wrt %x, %k
    return %dx, %dk
  }
  // Two channels of results for each of the image's.
  func @several(%x: f32[n, p, q, c], %k: f32[3, 3, 1, 6]) {
    %y = conv %x, %k, groups = c
    return %y
  }
  // How large the frame is depends on names.
  func @framed(%x: f32[batch, rows, columns, in], %k: f32[3, 3, in, out]) {
    %a = pad %x, axis = 1, low = 1, high = 1
    %b = pad %a, axis = 2, low = 1, high = 1
    %y = conv %b, %k
    %s = mul %y, %y
    return %s
  }
  func @use(%x: f32[2, 8, 8, 3], %k: f32[3, 3, 3, 4]) {
    %y = call @framed(%x, %k)
    %z = relu %y
    return %z
  }
  func @total(%x: f32[batch, rows, columns, in], %k: f32[3, 3, in, out]) {
    %y = call @framed(%x, %k)
    %l = reduce_sum %y
    return %l
  }
  func @slope.framed(%x: f32[2, 8, 8, 3], %k: f32[3, 3, 3, 4]) {
    %l, %dx, %dk = value_and_grad @total(%x, %k) wrt %x, %k
    return %dx, %dk
  }
}
