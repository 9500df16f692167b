// Small, odd, batched, turned, and in f64.
graph.model @products {
  func @odd(%a: f32[5, 19], %b: f32[19, 7]) {
    %c = matmul %a, %b
    return %c
  }
  func @turned(%a: f32[3, 9, 5], %b: f32[3, 9, 11]) {
    %t = transpose %a
    %c = matmul %t, %b
    return %c
  }
  func @repeated(%a: f64[2, 6, 17], %b: f64[17, 3]) {
    %c = matmul %a, %b
    return %c
  }
  func @letters(%q: f32[1, 2, 9, 4], %k: f32[1, 2, 5, 4]) {
    %c = einsum "bhqd,bhkd->bhqk", %q, %k
    return %c
  }
}
