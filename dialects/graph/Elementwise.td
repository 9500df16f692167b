//===- Elementwise.td - one number from the numbers at one index ----------===//

#ifndef GRADUS_GRAPH_ELEMENTWISE
#define GRADUS_GRAPH_ELEMENTWISE

include "Graph.td"

class Unary<string m, list<Trait> extra = []> : Graph_Op<m, extra> {
  let arguments = (ins Tensor:$x);
  let infer = "in.floats(x)";
  let samples = [m # " f32[2, 3]", m # " f32[1, 3]"];
}
/// Defined on integers as well.
class NumberUnary<string m, list<Trait> extra = []> : Unary<m, extra> {
  let infer = "in.numbers(x)";
  let samples = [m # " f32[2, 3]", m # " f32[1, 3]", m # " i32[2, 3] in -5..5"];
}
class Binary<string m, list<Trait> extra = []> : Graph_Op<m, extra> {
  let arguments = (ins Tensor:$lhs, Tensor:$rhs);
  let infer = "in.broadcast(in.numbers(lhs), rhs)";
  let samples = [m # " f32[2, 3], f32[2, 3]", m # " f32[2, 3], f32[3]", m # " f32[2, 1], f32[4, 1, 3]",
                 m # " f32[], f32[3]", m # " i32[2, 3] in -5..5, i32[3] in 1..5"];
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

def AddOp : Binary<"add", [Commutative, Linear]> {
  let summary = "Sum";
  let formula = "lhs + rhs";
  let derivative = ["1.0", "1.0"];
  let hasFolder = 1;
}
def SubOp : Binary<"sub", [Linear]> {
  let summary = "Difference";
  let formula = "lhs - rhs";
  let derivative = ["1.0", "-1.0"];
  let hasFolder = 1;
}
def MulOp : Binary<"mul", [Commutative, Multilinear]> {
  let summary = "Product";
  let formula = "lhs * rhs";
  let derivative = ["rhs", "lhs"];
  let hasFolder = 1;
}
def DivOp : Binary<"div"> {
  let summary = "Quotient; of integers rounded towards zero, and 0 where the divisor is 0";
  let formula = "lhs / rhs";
  let derivative = ["1.0 / rhs", "-out / rhs"];
  let samples = ["div f32[2, 3], f32[3] in 1..2", "div f32[2, 1], f32[1, 3] in 1..2", "div i32[2, 3] in -9..9, i32[3] in -2..3"];
  let hasFolder = 1;
}
def PowOp : Binary<"pow"> {
  let summary = "Power of a positive number; the derivative with respect to the exponent is taken as 0 where the base is not positive";
  let infer = "in.broadcast(in.floats(lhs), rhs)";
  let formula = "pow(lhs, rhs)";
  let derivative = ["rhs * pow(lhs, rhs - 1.0)", "out * log(select(gt(lhs, 0.0), lhs, 1.0))"];
  let samples = ["pow f32[2, 3] in 1..2, f32[3] in 0.5..2", "pow f32[2, 1] in 1..2, f32[1, 3]"];
}
def MaxOp : Binary<"max", [Commutative]> {
  let summary = "The larger; equal operands share the gradient";
  let formula = "max(lhs, rhs)";
  let derivative = ["favours(lhs, rhs)", "favours(rhs, lhs)"];
}
def MinOp : Binary<"min", [Commutative]> {
  let summary = "The smaller; equal operands share the gradient";
  let formula = "min(lhs, rhs)";
  let derivative = ["favours(rhs, lhs)", "favours(lhs, rhs)"];
}
def NegOp : NumberUnary<"neg", [Linear]> {
  let summary = "Negation";
  let formula = "-x";
  let derivative = ["-1.0"];
  let hasFolder = 1;
}
def AbsOp : NumberUnary<"abs"> {
  let summary = "Magnitude";
  let formula = "abs(x)";
  let derivative = ["sign(x)"];
}
def SignOp : NumberUnary<"sign"> {
  let summary = "-1, 0 or 1";
  let formula = "sign(x)";
  let derivative = ["0.0"];
}
def FloorOp : Unary<"floor"> {
  let summary = "The largest whole number not above; gradient 0";
  let formula = "floor(x)";
  let derivative = ["0.0"];
}
def ClampOp : NumberUnary<"clamp"> {
  let summary = "The nearest number within the bounds; gradient 0 outside";
  let arguments = (ins Tensor:$x, F64Attr:$low, F64Attr:$high);
  let infer = [{ if (low > high) return fail() << "low is " << llvm::formatv("{0:g}", low).str() << ", above high, " << llvm::formatv("{0:g}", high).str();
                 return in.numbers(x); }];
  let formula = "min(max(x, low), high)";
  let derivative = ["indicator(eq(out, x), x)"];
  let samples = ["clamp f32[2, 3], low = -0.5, high = 0.5", "clamp f32[1, 3], low = 0.0, high = 0.3", "clamp i32[2, 3] in -9..9, low = -2.0, high = 3.0"];
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

def ExpOp : Unary<"exp"> {
  let summary = "e to the power";
  let formula = "exp(x)";
  let derivative = ["out"];
}
def LogOp : Unary<"log"> {
  let summary = "Natural logarithm";
  let formula = "log(x)";
  let derivative = ["1.0 / x"];
  let samples = ["log f32[2, 3] in 0.5..2", "log f32[1, 3] in 1..9"];
}
def SqrtOp : Unary<"sqrt"> {
  let summary = "Square root";
  let formula = "sqrt(x)";
  let derivative = ["0.5 / out"];
  let samples = ["sqrt f32[2, 3] in 0.5..2", "sqrt f32[1, 3] in 1..9"];
}
def RsqrtOp : Unary<"rsqrt"> {
  let summary = "One over the square root";
  let formula = "1.0 / sqrt(x)";
  let derivative = ["-0.5 * out * out * out"];
  let samples = ["rsqrt f32[2, 3] in 0.5..2", "rsqrt f32[1, 3] in 1..9"];
}
def TanhOp : Unary<"tanh"> {
  let summary = "Hyperbolic tangent";
  let formula = "tanh(x)";
  let derivative = ["1.0 - out * out"];
}
def SigmoidOp : Unary<"sigmoid"> {
  let summary = "Logistic function";
  let formula = "1.0 / (1.0 + exp(-x))";
  let derivative = ["out * (1.0 - out)"];
}
def ErfOp : Unary<"erf"> {
  let summary = "Gauss's error function";
  let formula = "erf(x)";
  let derivative = ["1.1283791670955126 * exp(-(x * x))"]; // 2 / sqrt(pi)
}
def SinOp : Unary<"sin"> {
  let summary = "Sine of radians";
  let formula = "sin(x)";
  let derivative = ["cos(x)"];
}
def CosOp : Unary<"cos"> {
  let summary = "Cosine of radians";
  let formula = "cos(x)";
  let derivative = ["-sin(x)"];
}

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

def ReluOp : NumberUnary<"relu"> {
  let summary = "The positive part; gradient 0 at 0";
  let formula = "max(x, 0.0)";
  let derivative = ["indicator(gt(out, 0.0), out)"];
}
def SiluOp : Unary<"silu"> {
  let summary = "x times its logistic function (Elfwing et al. 2017)";
  let formula = "x * sigmoid(x)";
}
def GeluOp : Unary<"gelu"> {
  let summary = "x times the normal distribution function of x (Hendrycks and Gimpel 2016), exact form";
  let formula = "0.5 * x * (1.0 + erf(x * 0.70710678118654752))"; // 1 / sqrt(2)
}

//===----------------------------------------------------------------------===//
// Choice, logic, type
//===----------------------------------------------------------------------===//

def CompareOp : Graph_Op<"compare"> {
  let summary = "Truth of a comparison, as i1";
  let arguments = (ins ComparisonAttr:$predicate, Tensor:$lhs, Tensor:$rhs);
  let infer = "in.as(IntegerType::get(lhs.element.getContext(), 1), in.broadcast(lhs, rhs))";
  let formula = "compare(predicate, lhs, rhs)";
  let vjp = ["0.0", "0.0"];
  let samples = ["compare lt, f32[2, 3], f32[3]", "compare ge, f32[2, 1], f32[1, 3]", "compare eq, i32[2, 3] in 0..2, i32[3] in 0..2",
                 "compare ne, i32[3] in 0..2, i32[3] in 0..2", "compare le, f32[], f32[3]", "compare gt, f32[1], f32[3]"];
}
def SelectOp : Graph_Op<"select", [Linear]> {
  let summary = "`lhs` where the condition holds, else `rhs`";
  let arguments = (ins Tensor:$condition, Tensor:$lhs, Tensor:$rhs);
  let infer = "in.choose(condition, lhs, rhs)";
  let formula = "select(condition, lhs, rhs)";
  let vjp = ["0.0", "like(lhs, select(condition, ct, 0.0))", "like(rhs, select(condition, 0.0, ct))"];
  let samples = ["select i1[2, 3], f32[2, 3], f32[3]", "select i1[3], f32[2, 1], f32[]", "select i1[1], i32[2, 3] in 0..5, i32[2, 3] in 0..5"];
}
class Logic<string m> : Graph_Op<m, [Commutative]> {
  let arguments = (ins Tensor:$lhs, Tensor:$rhs);
  let infer = "in.broadcast(in.truths(lhs), rhs)";
  let vjp = ["0.0", "0.0"];
  let samples = [m # " i1[2, 3], i1[3]", m # " i1[2, 1], i1[1, 3]"];
}
def AndOp : Logic<"and"> { let summary = "Both hold"; let formula = "logicalAnd(lhs, rhs)"; }
def OrOp : Logic<"or"> { let summary = "One of both holds"; let formula = "logicalOr(lhs, rhs)"; }
def NotOp : Graph_Op<"not"> {
  let summary = "Does not hold";
  let arguments = (ins Tensor:$x);
  let infer = "in.truths(x)";
  let formula = "logicalNot(x)";
  let vjp = ["0.0"];
  let samples = ["not i1[2, 3]", "not i1[1]"];
}
def CastOp : Graph_Op<"cast"> {
  let summary = "The same numbers in another element type; a fraction is cut off towards zero";
  let arguments = (ins Tensor:$x, ElementOf:$to);
  let infer = "in.convert(x, to)";
  let formula = "convert(x, to)";
  let vjp = ["convert(ct, x.shape().element)"];
  let samples = ["cast f32[2, 3], to = f64", "cast i32[1, 3] in -5..5, to = f32", "cast f32[2, 3] in -5..5, to = i32",
                 "cast i1[2], to = f32", "cast f32[2, 3], to = i1", "cast i32[3] in -5..5, to = i64",
                 "cast f32[2, 3], to = bf16", "cast f16[2, 3], to = f32", "cast f32[5] in -200..200, to = i8", "cast i8[3] in -128..128, to = f16", "cast f64[3], to = bf16"];
}
def StopGradientOp : Graph_Op<"stop_gradient", [BlocksGradient]> {
  let summary = "The operand itself, through which no gradient passes";
  let arguments = (ins Tensor:$x);
  let infer = "x";
  let formula = "x";
  let derivative = ["0.0"];
  let samples = ["stop_gradient f32[2, 3]", "stop_gradient f32[1]"];
}

#endif // GRADUS_GRAPH_ELEMENTWISE
