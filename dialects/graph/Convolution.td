//===- Convolution.td - sums of products over windows of an image ---------===//
//
// Images are [batch, sizes..., channel] with one to three sizes: sequences,
// pictures, volumes. Filters are [sizes..., channel / groups, output channel];
// `groups` is a number or a dimension: each channel by itself where the image has
// `channels` and `groups = channels`.
// `same` padding gives ceil(size / stride) places along an axis and puts the
// odd one of padding last. `stride` and `dilation` have a number for each size,
// or are left out: 1.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_CONVOLUTION
#define GRADUS_GRAPH_CONVOLUTION

include "Graph.td"

defvar Steps = DefaultValuedAttr<DenseI64ArrayAttr, "{}">;
defvar PaddedOrNot = DefaultValuedAttr<PaddingAttr, "::gradus::graph::Padding::valid">;

defvar Strided = (ins Steps:$stride, PaddedOrNot:$padding, Steps:$dilation, OptionalAttr<ExtentOf>:$groups);
class Convolution<string m> : Graph_Op<m, [Multilinear]> {
  string slide = "Slide{stride, dilation, padding, extentOr(groups, 1)}";
  let methods = [{
    /// Where it is known.
    int64_t groupCount() { return ::gradus::graph::extentOr(getGroups(), 1).size; }
  }];
}

// Three bilinear ops that are each other's gradients.
def ConvOp : Convolution<"conv"> {
  let summary = "Convolution (cross-correlation) of images with a filter, in one to three dimensions";
  let arguments = !con((ins Tensor:$x, Tensor:$filter), Strided);
  let infer = "in.conv(in.numbers(x), filter, " # slide # ")";
  let batch = "batchedConv(x, filter, " # slide # ")";
  let vjp = ["conv_input(ct, filter, shape(x), " # slide # ")", "conv_filter(x, ct, shape(filter), " # slide # ")"];
  let samples = ["conv f32[2, 5, 6, 3], f32[3, 2, 3, 4]", "conv f32[1, 7, 7, 2], f32[3, 3, 2, 2], stride = [2, 2], padding = same",
                 "conv f32[1, 6, 8, 1], f32[3, 2, 1, 2], dilation = [2, 3]", "conv f32[1, 4, 4, 4], f32[3, 3, 2, 6], groups = 2, padding = same",
                 "conv f32[1, 6, 5, 3], f32[3, 3, 1, 3], groups = 3, stride = [2, 1], dilation = [1, 2], padding = same",
                 "conv f32[2, 9, 3], f32[3, 3, 4]", "conv f32[1, 9, 4], f32[3, 2, 6], stride = [2], padding = same, groups = 2",
                 "conv f32[1, 3, 4, 5, 2], f32[2, 3, 2, 2, 3], stride = [1, 2, 2], padding = same",
                 "conv f32[1, 4, 3, 3, 2], f32[2, 2, 1, 1, 4], groups = 2, dilation = [2, 1, 1]",
                 "conv i8[1, 4, 4, 3] in -128..128, i8[3, 3, 3, 2] in -128..128, padding = same", "conv bf16[1, 4, 5, 3], bf16[2, 2, 3, 9]"];
}
def ConvInputOp : Convolution<"conv_input"> {
  let summary = "The cotangent of conv's image, of shape `to`";
  let arguments = !con((ins Tensor:$g, Tensor:$filter, ShapeOf:$to), Strided);
  let infer = "in.convInput(g, filter, to, " # slide # ")";
  let decompose = "convInputParts(g, filter, to, " # slide # ")";
  let batch = "batchedConvInput(g, filter, to, " # slide # ")";
  let vjp = ["conv(ct, filter, " # slide # ")", "conv_filter(ct, g, shape(filter), " # slide # ")"];
  let samples = ["conv_input f32[1, 3, 5, 2], f32[3, 2, 3, 2], to = f32[1, 5, 6, 3]",
                 "conv_input f32[1, 3, 3, 4], f32[3, 2, 1, 4], to = f32[1, 6, 6, 2], stride = [2, 2], padding = same, groups = 2",
                 "conv_input f32[1, 2, 2, 2], f32[2, 3, 1, 2], to = f32[1, 5, 6, 1], dilation = [3, 2]",
                 "conv_input f32[1, 4, 2], f32[3, 2, 2], to = f32[1, 8, 2], stride = [2], padding = same",
                 "conv_input f32[1, 2, 3, 8], f32[3, 3, 2, 8], to = f32[1, 4, 5, 2], stride = [2, 2], padding = same",
                 "conv_input f32[1, 3, 16], f32[5, 2, 16], to = f32[1, 9, 2], stride = [3], padding = same",
                 "conv_input f32[1, 3, 2, 8], f32[4, 5, 1, 8], to = f32[1, 9, 8, 1], stride = [2, 3]",
                 "conv_input f32[1, 2, 2, 4], f32[1, 1, 3, 4], to = f32[1, 4, 3, 3], stride = [2, 2], padding = same"];
}
def ConvFilterOp : Convolution<"conv_filter"> {
  let summary = "The cotangent of conv's filter, of shape `to`";
  let arguments = !con((ins Tensor:$x, Tensor:$g, ShapeOf:$to), Strided);
  let infer = "in.convFilter(x, g, to, " # slide # ")";
  let batch = "batchedConvFilter(x, g, to, " # slide # ")";
  let vjp = ["conv_input(g, ct, shape(x), " # slide # ")", "conv(x, ct, " # slide # ")"];
  let samples = ["conv_filter f32[1, 5, 6, 3], f32[1, 3, 5, 2], to = f32[3, 2, 3, 2]",
                 "conv_filter f32[1, 6, 6, 2], f32[1, 3, 3, 4], to = f32[3, 2, 1, 4], stride = [2, 2], padding = same, groups = 2",
                 "conv_filter f32[1, 5, 6, 1], f32[1, 2, 2, 2], to = f32[2, 3, 1, 2], dilation = [3, 2]",
                 "conv_filter f32[1, 3, 3, 3, 2], f32[1, 2, 2, 2, 1], to = f32[2, 2, 2, 2, 1]"];
}

defvar Windowed = (ins DenseI64ArrayAttr:$window, Steps:$stride);
def WindowsOp : Graph_Op<"windows", [Linear]> {
  let summary = "Every window of an image: [b, sizes..., c] -> [b, places..., window..., c]";
  let arguments = !con((ins Tensor:$x), Windowed);
  let infer = "in.windows(x, window, stride)";
  let batch = "apart(windows(together(x), window, stride), x)";
  let vjp = ["fold(ct, shape(x), window, stride)"];
  let samples = ["windows f32[1, 4, 4, 2], window = [2, 2], stride = [2, 2]", "windows f32[1, 5, 4, 1], window = [3, 2]",
                 "windows f32[2, 7, 2], window = [3], stride = [2]", "windows f32[1, 2, 3, 2, 1], window = [2, 2, 1]"];
}
def FoldOp : Graph_Op<"fold", [Linear]> {
  let summary = "Windows added up to an image of shape `to`: the transpose of `windows`";
  let arguments = !con((ins Tensor:$g, ShapeOf:$to), Windowed);
  let infer = "in.fold(g, to, window, stride)";
  let batch = "apart(fold(together(g), together(to, examples), window, stride), g)";
  let vjp = ["windows(ct, window, stride)"];
  let samples = ["fold f32[1, 3, 3, 2, 2, 2], to = f32[1, 4, 4, 2], window = [2, 2]", "fold f32[1, 2, 2, 2, 1, 1], to = f32[1, 4, 5, 1], window = [2, 1], stride = [2, 3]",
                 "fold f32[1, 3, 3, 2], to = f32[1, 5, 2], window = [3]"];
}

class Pool<string m> : Graph_Op<m> {
  let arguments = (ins Tensor:$x, DenseI64ArrayAttr:$window, Steps:$stride, PaddedOrNot:$padding);
  let infer = "in.pooled(in.floats(x), window, strideOf(window, stride), padding)";
  let samples = [m # " f32[1, 4, 6, 2], window = [2, 2]", m # " f32[1, 5, 5, 1], window = [3, 2], stride = [2, 3]",
                 m # " f32[2, 5, 4, 1], window = [3, 3], stride = [2, 2], padding = same",
                 m # " f32[1, 6, 2], window = [2]", m # " f32[1, 2, 4, 4, 1], window = [2, 2, 3], stride = [1, 2, 1], padding = same"];
}
def MaxPoolOp : Pool<"max_pool"> {
  let summary = "The largest of every window; windows lie side by side where no stride is given";
  let decompose = [{ List steps = strideOf(window, stride);
    return reduce_max(windows(padded(x, window, steps, padding, -INFINITY), window, steps), List(windowAxes(window)), false); }];
}
def AvgPoolOp : Pool<"avg_pool"> {
  let summary = "The mean of every window, padding not counted; windows lie side by side where no stride is given";
  let decompose = [{ List steps = strideOf(window, stride);
    auto axes = windowAxes(window);
    V sum = reduce_sum(windows(padded(x, window, steps, padding, 0.0), window, steps), Axes(axes), false);
    if (padding == Padding::valid) return sum / double(Array::count(window));
    V ones = padded(constant(x, shape(x), 1.0), window, steps, padding, 0.0);
    return sum / reduce_sum(windows(ones, window, steps), Axes(axes), false); }];
}

#endif // GRADUS_GRAPH_CONVOLUTION
