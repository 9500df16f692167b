// What a row group makes is there where its last op stands: an op that reads it does not move up to a sum that stands between.
// RUN: gradus-opt %s --pass-pipeline='builtin.module(func.func(graph-fuse-epilogues{sums=true}))' | FileCheck %s
#each = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
#one = affine_map<(i) -> (i)>
// CHECK-LABEL: func.func @f
func.func @f(%x: tensor<2x3xf32>, %y: tensor<2xf32>, %a: tensor<2xf32>, %b: tensor<2x3xf32>, %c: tensor<2xf32>, %d: tensor<2xf32>) -> (tensor<2xf32>, tensor<2x3xf32>, tensor<2xf32>) {
  // CHECK: math.tanh
  %first = linalg.generic {indexing_maps = [#one, #one], iterator_types = ["parallel"]} ins(%y : tensor<2xf32>) outs(%a : tensor<2xf32>) attrs = {graph.group = 0 : i64} {
  ^bb0(%in: f32, %out: f32):
    %t = math.tanh %in : f32
    linalg.yield %t : f32
  } -> tensor<2xf32>
  // CHECK: [[SUM:%.*]] = linalg.generic
  // CHECK: arith.addf
  %sum = linalg.generic {indexing_maps = [#each, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<2x3xf32>) outs(%c : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.addf %in, %out : f32
    linalg.yield %t : f32
  } -> tensor<2xf32>
  // CHECK: arith.subf
  %second = linalg.generic {indexing_maps = [#row, #each], iterator_types = ["parallel", "parallel"]} ins(%first : tensor<2xf32>) outs(%b : tensor<2x3xf32>) attrs = {graph.group = 0 : i64} {
  ^bb0(%in: f32, %out: f32):
    %t = arith.subf %out, %in : f32
    linalg.yield %t : f32
  } -> tensor<2x3xf32>
  // CHECK: arith.mulf
  // CHECK-NOT: graph.epilogue
  %follower = linalg.generic {indexing_maps = [#one, #one, #one], iterator_types = ["parallel"]} ins(%sum, %first : tensor<2xf32>, tensor<2xf32>) outs(%d : tensor<2xf32>) {
  ^bb0(%in: f32, %other: f32, %out: f32):
    %t = arith.mulf %in, %other : f32
    linalg.yield %t : f32
  } -> tensor<2xf32>
  return %first, %second, %follower : tensor<2xf32>, tensor<2x3xf32>, tensor<2xf32>
}
