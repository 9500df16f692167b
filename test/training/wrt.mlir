// Training changes the parameters alone whose names match: the others' gradients are not even computed.
// RUN: gradus compile %s --dims batch=4 --function=fit.step --emit=simple -o - | FileCheck %s
// CHECK-LABEL: func @fit.step
// CHECK-NOT: update %body
// CHECK: update %norm.gain
// CHECK-NOT: update %norm.bias
// CHECK: update %head.w
// CHECK: update %head.b
// CHECK-NOT: update
// CHECK: return
// RUN: gradus-opt %s | gradus-opt | FileCheck %s --check-prefix=TEXT
// TEXT: train @fit minimizes @loss wrt "head.*", "norm.gai?" using sgd(lr = 0.1)
// RUN: sed 's/"head[.][*]"/"haed.w"/' %s > %t.mlir && not gradus compile %t.mlir --dims batch=4 --emit=simple -o - 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: wrt.mlir.tmp.mlir:[[#]]:3: error: no parameter of @loss matches "haed.w"; did you mean "head.w"?
// RUN: sed 's/"head[.][*]"/"head["/' %s > %t.mlir && not gradus compile %t.mlir --dims batch=4 --emit=simple -o - 2>&1 | FileCheck %s --check-prefix=PATTERN
// PATTERN: error: 'head[' is no pattern; '*' stands for any characters, [ab] for one of them
graph.model @tuned {
  func @loss(%x: f32[batch, 3], %want: f32[batch, 2]) {
    %h = call @std.dense(%x) as "body", out = 8
    %r = relu %h
    %n = call @std.norm(%r) as "norm"
    %y = call @std.dense(%n) as "head", out = 2
    %d = sub %y, %want
    %s = mul %d, %d
    %loss = reduce_mean %s
    return %loss
  }
  train @fit minimizes @loss wrt "head.*", "norm.gai?" using sgd(lr = 0.1)
}
