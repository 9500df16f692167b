// What takes too much memory to keep is computed again, to the same bits, and no more of it than the limit asks for.
// RUN: gradus compile %s --function=step --memory -o %t.o 2>&1 | FileCheck %s --check-prefix=KEPT
// RUN: gradus compile %s --function=step --memory-limit=620KB -o %t.o 2>&1 | FileCheck %s --check-prefix=LESS
// RUN: not gradus compile %s --function=step --memory-limit=100KB -o %t.o 2>&1 | FileCheck %s --check-prefix=LEAST
// RUN: not gradus compile %s --memory-limit=lots -o %t.o 2>&1 | FileCheck %s --check-prefix=SIZE
// KEPT: @step: arena {{7[0-9]+}} bytes
// KEPT-NOT: computed again
// LESS: @step: arena {{[3-6][0-9][0-9][0-9][0-9][0-9]}} bytes
// LESS: @step: {{[1-9][0-9]*}} tensors are computed again: {{[1-9][0-9]*}} bytes less than {{7[0-9]+}}, for {{[0-9.]+}} % more operations; any choice takes {{[0-9.]+}} % or more
// LEAST: recompute.mlir:[[#@LINE+24]]:3: error: @step needs {{[0-9]+}} bytes of memory for what it computes, however much is computed again; --memory-limit={{[0-9]+}} is the smallest that would do
// SIZE: --memory-limit takes a size, as in 64MB; 'lots' is none
// RUN: gradus run %s --function=step --input seed=3 > %t.kept
// RUN: gradus run %s --function=step --input seed=3 --memory-limit=620KB > %t.less
// RUN: cmp %t.kept %t.less
// A dimension with a bound counts as the bound.
// RUN: gradus compile %inputs/tiny.mlir --dims 'batch<=64' --function=fit.step --memory-limit=1MB -o %t.o
graph.model @deep {
  func @block(%x: f32[128, 64]) {
    %n = call @std.norm(%x)
    %u = call @std.dense(%n), out = 256
    %g = gelu %u
    %d = call @std.dense(%g), out = 64
    %y = add %x, %d
    return %y
  }
  func @loss(%x: f32[128, 64]) {
    %a = call @block(%x) as "h.0"
    %b = call @block(%a) as "h.1"
    %c = call @block(%b) as "h.2"
    %s = mul %c, %c
    %loss = reduce_mean %s
    return %loss
  }
  func @step(%seed: i32[]) {
    %x = uniform %seed, to = f32[128, 64]
    %loss, %d.x = value_and_grad @loss(%x) wrt %x
    %size = abs %d.x
    %most = reduce_max %size
    %sum = reduce_sum %d.x
    return %loss, %most, %sum
  }
}
