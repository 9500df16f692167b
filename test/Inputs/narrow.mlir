graph.model @narrow {
  func @f(%a: bf16[2, 3], %b: f16[3], %c: i8[2]) {
    %d = mul %a, %a
    %e = exp %b
    %g = neg %c
    return %d, %e, %g
  }
}
