// So many launches that their recording stays a chain.
graph.model @loop {
  func @loop(%x: f32[8]) {
    %y = for %i in 4100 carry (%s = %x) {
      %a = tanh %s
      %b = mul %a, %x
      yield %b
    }
    return %y
  }
}
