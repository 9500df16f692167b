//===- Convolution.td - sums of products over windows of an image ---------===//
//
// Images are [batch, height, width, channel], filters [height, width,
// channel / groups, output channel]. `same` padding gives ceil(size / stride)
// rows and puts the odd row of padding last.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_CONVOLUTION
#define GRADUS_GRAPH_CONVOLUTION

include "Graph.td"

defvar Strided = (ins DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$stride, DefaultValuedAttr<PaddingAttr, "::gradus::graph::Padding::valid">:$padding,
                      DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$dilation, DefaultValuedAttr<I64Attr, "1">:$groups);
class Convolution<string m> : Graph_Op<m, [Multilinear]> {
  string slide = "Slide{stride, dilation, padding, groups}";
}

// Three bilinear ops that are each other's gradients.
def Conv2DOp : Convolution<"conv2d"> {
  let summary = "Convolution (cross-correlation) of images with a filter";
  let arguments = !con((ins Tensor:$x, Tensor:$filter), Strided);
  let infer = "in.conv2d(in.numbers(x), filter, " # slide # ")";
  let vjp = ["conv2d_input(ct, filter, shape(x), " # slide # ")", "conv2d_filter(x, ct, shape(filter), " # slide # ")"];
  let samples = ["conv2d f32[2, 5, 6, 3], f32[3, 2, 3, 4]", "conv2d f32[1, 7, 7, 2], f32[3, 3, 2, 2], stride = [2, 2], padding = same",
                 "conv2d f32[1, 6, 8, 1], f32[3, 2, 1, 2], dilation = [2, 3]", "conv2d f32[1, 4, 4, 4], f32[3, 3, 2, 6], groups = 2, padding = same",
                 "conv2d f32[1, 6, 5, 3], f32[3, 3, 1, 3], groups = 3, stride = [2, 1], dilation = [1, 2], padding = same",
                 "conv2d i8[1, 4, 4, 3] in -128..128, i8[3, 3, 3, 2] in -128..128, padding = same", "conv2d bf16[1, 4, 5, 3], bf16[2, 2, 3, 9]"];
}
def Conv2DInputOp : Convolution<"conv2d_input"> {
  let summary = "The cotangent of conv2d's image, of shape `to`";
  let arguments = !con((ins Tensor:$g, Tensor:$filter, ShapeOf:$to), Strided);
  let infer = "in.conv2dInput(g, filter, to, " # slide # ")";
  let decompose = "conv2dInputParts(g, filter, to, " # slide # ")";
  let vjp = ["conv2d(ct, filter, " # slide # ")", "conv2d_filter(ct, g, shape(filter), " # slide # ")"];
  let samples = ["conv2d_input f32[1, 3, 5, 2], f32[3, 2, 3, 2], to = f32[1, 5, 6, 3]",
                 "conv2d_input f32[1, 3, 3, 4], f32[3, 2, 1, 4], to = f32[1, 6, 6, 2], stride = [2, 2], padding = same, groups = 2",
                 "conv2d_input f32[1, 2, 2, 2], f32[2, 3, 1, 2], to = f32[1, 5, 6, 1], dilation = [3, 2]"];
}
def Conv2DFilterOp : Convolution<"conv2d_filter"> {
  let summary = "The cotangent of conv2d's filter, of shape `to`";
  let arguments = !con((ins Tensor:$x, Tensor:$g, ShapeOf:$to), Strided);
  let infer = "in.conv2dFilter(x, g, to, " # slide # ")";
  let vjp = ["conv2d_input(g, ct, shape(x), " # slide # ")", "conv2d(x, ct, " # slide # ")"];
  let samples = ["conv2d_filter f32[1, 5, 6, 3], f32[1, 3, 5, 2], to = f32[3, 2, 3, 2]",
                 "conv2d_filter f32[1, 6, 6, 2], f32[1, 3, 3, 4], to = f32[3, 2, 1, 4], stride = [2, 2], padding = same, groups = 2",
                 "conv2d_filter f32[1, 5, 6, 1], f32[1, 2, 2, 2], to = f32[2, 3, 1, 2], dilation = [3, 2]"];
}

defvar Windowed = (ins DenseI64ArrayAttr:$window, DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$stride);
def WindowsOp : Graph_Op<"windows", [Linear]> {
  let summary = "Every window of an image: [b, h, w, c] -> [b, h', w', wh, ww, c]";
  let arguments = !con((ins Tensor:$x), Windowed);
  let infer = "in.windows(x, window, stride)";
  let vjp = ["fold(ct, shape(x), window, stride)"];
  let samples = ["windows f32[1, 4, 4, 2], window = [2, 2], stride = [2, 2]", "windows f32[1, 5, 4, 1], window = [3, 2]"];
}
def FoldOp : Graph_Op<"fold", [Linear]> {
  let summary = "Windows added up to an image of shape `to`: the transpose of `windows`";
  let arguments = !con((ins Tensor:$g, ShapeOf:$to), Windowed);
  let infer = "in.fold(g, to, window, stride)";
  let vjp = ["windows(ct, window, stride)"];
  let samples = ["fold f32[1, 3, 3, 2, 2, 2], to = f32[1, 4, 4, 2], window = [2, 2]", "fold f32[1, 2, 2, 2, 1, 1], to = f32[1, 4, 5, 1], window = [2, 1], stride = [2, 3]"];
}

class Pool<string m> : Graph_Op<m> {
  let arguments = (ins Tensor:$x, DenseI64ArrayAttr:$window, DefaultValuedAttr<DenseI64ArrayAttr, "{2, 2}">:$stride,
                       DefaultValuedAttr<PaddingAttr, "::gradus::graph::Padding::valid">:$padding);
  let infer = "in.pooled(in.floats(x), window, stride, padding)";
  let samples = [m # " f32[1, 4, 6, 2], window = [2, 2]", m # " f32[1, 5, 5, 1], window = [3, 2], stride = [2, 3]",
                 m # " f32[2, 5, 4, 1], window = [3, 3], stride = [2, 2], padding = same"];
}
def MaxPool2DOp : Pool<"max_pool2d"> {
  let summary = "The largest of every window";
  let decompose = "reduce_max(windows(padded(x, window, stride, padding, -INFINITY), window, stride), {3, 4}, false)";
}
def AvgPool2DOp : Pool<"avg_pool2d"> {
  let summary = "The mean of every window, padding not counted";
  let decompose = [{ V sum = reduce_sum(windows(padded(x, window, stride, padding, 0.0), window, stride), {3, 4}, false);
    if (padding == Padding::valid) return sum / double(window[0] * window[1]);
    V ones = padded(constant(x, shape(x), 1.0), window, stride, padding, 0.0);
    return sum / reduce_sum(windows(ones, window, stride), {3, 4}, false); }];
}

#endif // GRADUS_GRAPH_CONVOLUTION
