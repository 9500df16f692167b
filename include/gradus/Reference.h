//===- Reference.h - graph -> values, slowly and readably -------*- C++ -*-===//
//
// The judge of everything else: it computes in f64, one op at a time.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_REFERENCE_H
#define GRADUS_REFERENCE_H

#include "gradus/Expand.h"
#include <random>

namespace gradus {

/// Values of params, states and whatever else a function captures.
using Environment = llvm::DenseMap<Value, graph::Array>;
/// The next values of params and states.
using Updates = SmallVector<std::pair<Value, graph::Array>>;

/// Runs a function without calls and without composites but formulas
/// (`graph-inline-calls`, `graph-decompose`).
/// `rounds`: results of 16-bit floats are rounded as compiled code rounds them;
/// differences want them smooth.
FailureOr<SmallVector<graph::Array>>
interpret(graph::FuncOp f, ArrayRef<graph::Array> args,
          const Environment &variables = Environment(),
          Updates *updates = nullptr, bool rounds = false);

/// A step of a loop, counted as the loop's counter counts.
struct LoopStep {
  Operation *loop;
  int64_t step;
};
/// Sees an op in a body once it has run, in a step of each loop around it, the
/// outermost first. Returns true if the run may end.
using Observer = function_ref<bool(
    Operation *op, ArrayRef<graph::Array> operands,
    ArrayRef<graph::Array> results, ArrayRef<LoopStep> steps)>;
/// Runs an op with bodies; `values` has what it and they read from around
/// them. Every result is rounded to its type, as memory would hold it.
void observeBodies(Operation *op, const Environment &values, Observer observer);

/// Random numbers in [low, high), whole ones for integers.
graph::Array randomArray(Type type, double low, double high,
                         std::mt19937_64 &random);

/// How far from 0 a parameter of this shape reaches, as initialisers make it:
/// products keep the spread of what they are given.
double parameterSpread(const graph::Shape &shape);

//===----------------------------------------------------------------------===//
// Gradients against central differences
//===----------------------------------------------------------------------===//

/// |want - got| / (1 + |want|); 0 for infinities that agree, infinite if one is
/// no number.
double relativeError(double want, double got);

/// The central difference of a scalar function along `tangents`, of which those
/// of the inputs `moved` count.
double differenceAlong(function_ref<double(ArrayRef<graph::Array>)> function,
                       ArrayRef<graph::Array> inputs, ArrayRef<unsigned> moved,
                       ArrayRef<graph::Array> tangents);

/// Where a gradient and a central difference differ the most.
struct GradientError {
  double error = -1; ///< |difference - gradient| / (1 + |difference|)
  double gradient = 0, difference = 0;
  unsigned argument = 0; ///< of the checked ones
  size_t element = 0;
};

/// Compares `gradients` of a scalar function of `inputs` with central
/// differences, at `samples` elements of each input chosen at random (all of
/// them if there are no more), and along one random direction of all.
GradientError
checkGradient(function_ref<double(ArrayRef<graph::Array>)> function,
              ArrayRef<graph::Array> inputs, ArrayRef<unsigned> checked,
              ArrayRef<graph::Array> gradients, size_t samples,
              std::mt19937_64 &random);

//===----------------------------------------------------------------------===//
// Programs, and the samples of the op records
//===----------------------------------------------------------------------===//

struct ProgramOperand {
  std::string shape;         ///< "f32[2, 3]"
  double low = -1, high = 1; ///< the range of its random numbers
};
/// The body of a function in the model language; its arguments are %a0, %a1,...
struct ProgramText {
  std::string body;
  SmallVector<ProgramOperand> operands;
  SmallVector<std::string> results; ///< "%y", "%r#1"
};
/// What a sample is of: its op with names in place of the operands' shapes as
/// the body, without results.
ProgramText takeSampleApart(StringRef sample);
/// The program's arguments as a function declares them.
std::string declareOperands(const ProgramText &program);

/// The op of a sample's program in a function without results; null if it does
/// not parse.
mlir::OwningOpRef<mlir::ModuleOp> parseAlone(const ProgramText &program,
                                             MLIRContext *ctx);

/// A program made into a model with the functions @op (its value), @loss (a
/// random weighting of it), @grad, @jvp and @hvp.
struct SampleModel {
  mlir::OwningOpRef<ModuleOp> module;
  std::string element;                           ///< "f32" or "f64"
  SmallVector<std::pair<double, double>> ranges; ///< of each operand
  SmallVector<unsigned> floats;                  ///< operands with a gradient
  unsigned numOperands = 0, numWeights = 0;
  bool blocksGradient = false;
};
/// `element`: what stands for f32 in the program.
FailureOr<SampleModel> buildProgram(ProgramText program, StringRef element,
                                    MLIRContext *ctx);
FailureOr<SampleModel> buildSample(StringRef sample, StringRef element,
                                   MLIRContext *ctx);

/// What is wrong with the derivatives of a program, or an empty string: reverse
/// mode against differences, forward against reverse, and second order.
std::string checkSample(SampleModel &sample, double &worst);

/// The program of a sample, its results named.
FailureOr<ProgramText> programOfSample(StringRef sample, MLIRContext *ctx);
/// What is wrong with a vmap of the program over some of its operands, or an
/// empty string: it must give what one example after the other gives.
std::string checkBatching(const ProgramText &program, MLIRContext *ctx,
                          double &worst);

/// What the samples of an op leave untried, or an empty string.
std::string missingSamples(StringRef op, ArrayRef<StringRef> samples,
                           ArrayRef<graph::ArgSpec> specs);

} // namespace gradus

#endif // GRADUS_REFERENCE_H
