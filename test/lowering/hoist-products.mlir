// Products that no later step waits for are one product over the rows of all steps.
// RUN: gradus compile %s --emit=simple -o - | FileCheck %s
// RUN: gradus verify %s --function=recurrent
// RUN: gradus verify %s --function=slopes
// RUN: gradus verify %s --function=slopes --march=haswell --threads=1
// RUN: gradus verify %s --function=checkpointed
// RUN: gradus verify %s --function=sums
// RUN: gradus verify %s --function=read
// RUN: gradus verify %s --function=nested
// RUN: gradus verify %s --function=wide
// RUN: gradus compile %s --function=open --dims 'batch<=4' --emit=simple -o - | FileCheck %s --check-prefix=OPEN
// RUN: gradus verify %s --function=open --dims 'batch<=4'
graph.model @m {
  // The input's product stands before the loop, the result's behind it; the state's stays.
  // CHECK-LABEL: func @recurrent
  // CHECK: matmul {{.*}}f32[20, 12]
  // CHECK: for %{{.*}}: f32[4, 12] in
  // CHECK-NEXT: matmul %s, %wh
  // CHECK-NOT: matmul
  // CHECK: yield
  // CHECK: matmul {{.*}}f32[20, 6]
  // CHECK: return
  func @recurrent(%x: f32[4, 5, 8], %wx: f32[8, 12], %wh: f32[12, 12], %wy: f32[12, 6], %h0: f32[4, 12]) {
    %h, %ys = for %xt in %x, axis = 1 carry (%s = %h0) {
      %u = matmul %xt, %wx
      %v = matmul %s, %wh
      %a = add %u, %v
      %s2 = tanh %a
      %y = matmul %s2, %wy
      yield %s2 stack %y
    }
    return %h, %ys
  }
  func @loss(%x: f32[4, 5, 8], %wx: f32[8, 12], %wh: f32[12, 12], %wy: f32[12, 6], %h0: f32[4, 12]) {
    %h, %ys = call @recurrent(%x, %wx, %wh, %wy, %h0)
    %y2 = mul %ys, %ys
    %l = reduce_sum %y2
    return %l
  }
  // Backwards a step multiplies once; the matrices' gradients are three products, and what is turned of a matrix is so once.
  // CHECK-LABEL: func @slopes
  // CHECK: reverse carry
  // CHECK-NOT: transpose
  // CHECK: matmul {{.*}}f32[4, 12]
  // CHECK-NOT: matmul
  // CHECK: yield
  // CHECK-DAG: matmul {{.*}}f32[8, 12]
  // CHECK-DAG: matmul {{.*}}f32[12, 12]
  // CHECK-DAG: matmul {{.*}}f32[12, 6]
  // CHECK-DAG: matmul {{.*}}f32[20, 8]
  // CHECK: return
  func @slopes(%x: f32[4, 5, 8], %wx: f32[8, 12], %wh: f32[12, 12], %wy: f32[12, 6], %h0: f32[4, 12]) {
    %l, %dx, %dwx, %dwh, %dwy, %dh = value_and_grad @loss(%x, %wx, %wh, %wy, %h0) wrt %x, %wx, %wh, %wy, %h0
    return %dx, %dwx, %dwh, %dwy, %dh
  }
  func @blocks(%x: f32[4, 9, 8], %wx: f32[8, 12], %wh: f32[12, 12], %h0: f32[4, 12]) {
    %h = for %xt in %x, axis = 1, checkpoint carry (%s = %h0) {
      %u = matmul %xt, %wx
      %v = matmul %s, %wh
      %a = add %u, %v
      %s2 = tanh %a
      yield %s2
    }
    %h2 = mul %h, %h
    %l = reduce_sum %h2
    return %l
  }
  func @checkpointed(%x: f32[4, 9, 8], %wx: f32[8, 12], %wh: f32[12, 12], %h0: f32[4, 12]) {
    %l, %dx, %dwx, %dwh = value_and_grad @blocks(%x, %wx, %wh, %h0) wrt %x, %wx, %wh
    return %dx, %dwx, %dwh
  }
  // Sums go on from where they start, whichever way the loop goes.
  // CHECK-LABEL: func @sums
  // CHECK-NOT: for
  // CHECK: matmul {{.*}}f32[3, 2]
  // CHECK: add %start
  // CHECK: return
  func @sums(%x: f32[6, 4, 3], %y: f32[6, 4, 2], %start: f32[3, 2]) {
    %total = for %xt in %x, %yt in %y, reverse carry (%sum = %start) {
      %turned = transpose %xt
      %p = matmul %turned, %yt
      %next = add %sum, %p
      yield %next
    }
    return %total
  }
  // What a step reads of a sum, or of the product, stays in it.
  // CHECK-LABEL: func @read
  // CHECK: for
  // CHECK: matmul
  // CHECK: matmul
  // CHECK: yield
  // CHECK: return
  func @read(%x: f32[6, 4, 3], %y: f32[6, 4, 2], %start: f32[3, 2], %w: f32[3, 2]) {
    %zero = constant f32[] = 0.0
    %none = broadcast %zero, to = f32[4, 2]
    %total, %last = for %xt in %x, %yt in %y carry (%sum = %start, %kept = %none) {
      %turned = transpose %xt
      %p = matmul %turned, %yt
      %half = mul %p, %w
      %next = add %sum, %half
      %q = matmul %xt, %next
      %more = add %kept, %q
      yield %next, %more
    }
    return %total, %last
  }
  // An inner loop's product goes as far as it may.
  func @nested(%x: f32[3, 5, 4, 8], %w: f32[8, 8], %h0: f32[4, 8]) {
    %h = for %xs in %x carry (%s = %h0) {
      %t = for %xt in %xs carry (%u = %s) {
        %p = matmul %xt, %w
        %n = add %u, %p
        %v = tanh %n
        yield %v
      }
      yield %t
    }
    return %h
  }
  // A product of many rows is as fast by itself.
  // CHECK-LABEL: func @wide
  // CHECK: for
  // CHECK: matmul
  // CHECK: yield
  func @wide(%x: f32[3, 300, 8], %w: f32[8, 8], %h0: f32[300, 8]) {
    %h = for %xt in %x carry (%s = %h0) {
      %p = matmul %xt, %w
      %n = add %s, %p
      %v = tanh %n
      yield %v
    }
    return %h
  }
  // Rows of which a call has fewer than there is room for are not one after the other.
  // OPEN-LABEL: func @open
  // OPEN: for
  // OPEN: matmul
  // OPEN: yield
  func @open(%x: f32[batch, 5, 8], %w: f32[8, 8], %h0: f32[batch, 8]) {
    %h = for %xt in %x, axis = 1 carry (%s = %h0) {
      %p = matmul %xt, %w
      %n = add %s, %p
      %v = tanh %n
      yield %v
    }
    return %h
  }
}
