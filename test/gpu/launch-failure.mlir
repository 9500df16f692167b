// A kernel that fails ends every command with what the driver says of it, as an error of the command.
// RUN: gradus compile %s --target=nvptx64 --emit=ptx -o %t.ptx
// RUN: sed 's/\(st.global[.a-z0-9]*[^[]*\)\[\(%%rd[0-9]*\)/\1[\2+1048576000/' %t.ptx > %t.wrong.ptx
// RUN: env GRADUS_PTX=%t.wrong.ptx %interpreted not gradus run %s --function=twice --target=nvptx64 --input x=[1,2,3,4] 2>&1 | FileCheck %s
// RUN: env GRADUS_PTX=%t.wrong.ptx %interpreted not gradus bench %s --function=twice --target=nvptx64 2>&1 | FileCheck %s
// RUN: env GRADUS_PTX=%t.wrong.ptx %interpreted not gradus verify %s --function=twice --target=nvptx64 2>&1 | FileCheck %s
// RUN: env GRADUS_PTX=%t.wrong.ptx %interpreted not gradus train %s --steps=2 --target=nvptx64 2>&1 | FileCheck %s
// CHECK: error: launching kernel {{.*}} failed: unspecified launch failure
graph.model @m {
  %w = param f32[4] = ones
  func @twice(%x: f32[4]) {
    %y = mul %x, %w
    return %y
  }
  func @loss() {
    %square = mul %w, %w
    %sum = reduce_sum %square
    return %sum
  }
  train @fit minimizes @loss using sgd(lr = 0.1)
}
