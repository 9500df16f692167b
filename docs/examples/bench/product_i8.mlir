// A product of matrices of i8, summed in i32, of sizes given by --dims.
graph.model @product {
  func @product(%a: i8[m, k], %b: i8[k, n]) {
    %c = matmul %a, %b, to = i32
    return %c
  }
}
