// y = a^2 x + b x + c, and its gradient.
graph.model @quadratic {
  func @y(%x: f32[], %a: f32[], %b: f32[], %c: f32[]) {
    %a2 = mul %a, %a
    %a2x = mul %a2, %x
    %bx = mul %b, %x
    %sum = add %a2x, %bx
    %y = add %sum, %c
    return %y
  }
  func @gradient(%x: f32[], %a: f32[], %b: f32[], %c: f32[]) {
    %y, %da, %db, %dc = value_and_grad @y(%x, %a, %b, %c) wrt %a, %b, %c
    return %y, %da as "dy/da", %db as "dy/db", %dc as "dy/dc"
  }
}
