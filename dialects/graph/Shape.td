//===- Shape.td - the same numbers in another arrangement -----------------===//

#ifndef GRADUS_GRAPH_SHAPE
#define GRADUS_GRAPH_SHAPE

include "Graph.td"

def BroadcastOp : Graph_Op<"broadcast", [Linear]> {
  let summary = "The operand repeated along new axes and along axes of size 1";
  let arguments = (ins Tensor:$x, ShapeOf:$to);
  let infer = "in.expand(x, to)";
  let batch = "broadcast(aligned(x, to.rank()), stacked(to, examples))";
  let vjp = ["like(x, ct)"];
  let hasFolder = 1;
  let samples = ["broadcast f32[3], to = f32[2, 3]", "broadcast f32[2, 1], to = f32[4, 2, 3]"];
}
def ReshapeOp : Graph_Op<"reshape", [Linear, Batchwise]> {
  let summary = "The same elements, in row-major order, in another shape";
  let arguments = (ins Tensor:$x, ShapeOf:$to);
  let infer = "in.resize(x, to)";
  let vjp = ["reshape(ct, shape(x))"];
  let hasFolder = 1;
  let samples = ["reshape f32[2, 6], to = f32[3, 4]", "reshape f32[2, 1, 3], to = f32[6]"];
}
def TransposeOp : Graph_Op<"transpose", [Linear, Batchwise]> {
  let summary = "Axes in another order: axis i of the result is axis `perm[i]` of the operand; by default the last two change places";
  let arguments = (ins Tensor:$x, OptionalAttr<DenseI64ArrayAttr>:$perm);
  let infer = "in.permute(x, perm)";
  let vjp = ["transpose(ct, inverse(perm))"];
  let hasFolder = 1;
  let samples = ["transpose f32[2, 3]", "transpose f32[2, 1, 4], perm = [2, 0, 1]"];
}
def ReverseOp : Graph_Op<"reverse", [Linear, Batchwise]> {
  let summary = "The order of the elements turned round along the axes";
  let arguments = (ins Tensor:$x, DenseI64ArrayAttr:$axes);
  let infer = "in.within(x, axes)";
  let vjp = ["reverse(ct, axes)"];
  let samples = ["reverse f32[2, 3], axes = [1]", "reverse f32[2, 1, 3], axes = [0, -1]"];
}
def SliceOp : Graph_Op<"slice", [Linear, Batchwise]> {
  let summary = "`length` elements along an axis, from `start`, every `step`th";
  let arguments = (ins Tensor:$x, I64Attr:$axis, I64Attr:$start, I64Attr:$length, DefaultValuedAttr<I64Attr, "1">:$step);
  let infer = "in.slice(x, axis, start, length, step)";
  let vjp = ["int64_t past = length ? start + (length - 1) * step + 1 : start; return pad(ct, axis, start, extent(x, axis) - past, step - 1, 0.0);"];
  let samples = ["slice f32[2, 5], axis = 1, start = 1, length = 3", "slice f32[7, 1], axis = 0, start = 0, length = 4, step = 2"];
}
def PadOp : Graph_Op<"pad", [Batchwise]> {
  let summary = "More elements of one value before, after and between those along an axis";
  let arguments = (ins Tensor:$x, I64Attr:$axis, DefaultValuedAttr<I64Attr, "0">:$low, DefaultValuedAttr<I64Attr, "0">:$high,
                       DefaultValuedAttr<I64Attr, "0">:$interior, DefaultValuedAttr<F64Attr, "0.0">:$value);
  let infer = "in.pad(x, axis, low, high, interior)";
  let vjp = ["slice(ct, axis, low, extent(x, axis), interior + 1)"];
  let samples = ["pad f32[2, 3], axis = 1, low = 1, high = 2", "pad f32[3, 1], axis = 0, interior = 2, value = 0.5", "pad f32[2, 2], axis = -1, high = 1, interior = 1, value = -0.5"];
}
def ConcatOp : Graph_Op<"concat", [Linear, Batchwise]> {
  let summary = "The operands one after the other along an axis";
  let arguments = (ins Variadic<Tensor>:$inputs, DefaultValuedAttr<I64Attr, "-1">:$axis);
  let infer = "in.concat(inputs, axis)";
  let vjp = ["slice(ct, axis, offset(inputs, axis, i), extent(inputs[i], axis), 1)"];
  let samples = ["concat f32[2, 3], f32[2, 2]", "concat f32[2, 3], f32[1, 3], f32[3, 3], axis = 0"];
}
def SplitOp : Graph_Op<"split", [Linear, Batchwise]> {
  let summary = "Equal parts along an axis";
  let arguments = (ins Tensor:$x, I64Attr:$parts, DefaultValuedAttr<I64Attr, "-1">:$axis);
  let results = (outs Variadic<Tensor>:$pieces);
  let infer = "in.split(x, parts, axis)";
  let decompose = [{ int64_t length = extent(x, axis) / parts; Vs pieces;
    for (int64_t i = 0; i < parts; ++i) pieces.push_back(slice(x, axis, i * length, length, 1));
    return pieces; }];
  let vjp = ["concat(ct_pieces, axis)"];
  let samples = ["split f32[2, 6], parts = 3", "split f32[4, 1], parts = 2, axis = 0"];
}
def RearrangeOp : Graph_Op<"rearrange", [Linear]> {
  let summary = "Axes split, reordered and merged by their names (after einops, Rogozhnikov 2022)";
  let arguments = (ins StrAttr:$pattern, Tensor:$x, DefaultValuedAttr<DictionaryAttr, "::llvm::ArrayRef<::mlir::NamedAttribute>()">:$sizes);
  let infer = "in.rearrange(x, pattern, sizes)";
  let decompose = "rearrange(x, pattern, sizes, shape(out))";
  let samples = ["rearrange \"b t (h d) -> b h t d\", f32[2, 3, 4], h = 2", "rearrange \"b h w -> (b w) h\", f32[2, 1, 4]",
                 "rearrange \"(a b) c -> b (a c)\", f32[6, 2], a = 3"];
}
def SizeOp : Graph_Op<"size"> {
  let summary = "The size of an axis as a number: a constant once the axis has one";
  let arguments = (ins Tensor:$x, DefaultValuedAttr<I64Attr, "0">:$axis);
  let infer = "in.sizeOf(x, axis)";
  let vjp = ["0.0"];
  let hasFolder = 1;
  let samples = ["size f32[2, 3]", "size f32[2, 1], axis = 1"];
}
def IotaOp : Graph_Op<"iota"> {
  let summary = "Each element's index along an axis";
  let arguments = (ins ShapeOf:$to, DefaultValuedAttr<I64Attr, "-1">:$axis);
  let infer = "in.counted(to, axis)";
  let samples = ["iota to = f32[2, 3]", "iota to = i32[2, 1], axis = 0"];
}

#endif // GRADUS_GRAPH_SHAPE
