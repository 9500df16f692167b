//===- Proof.h - compiled code and random programs against the reference --===//

#ifndef GRADUS_PROOF_H
#define GRADUS_PROOF_H

#include "gradus/Compiler.h"
#include "gradus/Reference.h"
#include <map>

namespace gradus {

/// The numbers that the type holds in their place.
graph::Array roundedTo(DType type, graph::Array a);
/// How far results may lie from the reference, which computes in f64: some
/// roundings of the type.
double toleranceOf(DType type);

/// relativeError; none where both are no number, as the mean of nothing is.
double disagreement(double want, double got);

llvm::Expected<Program> compileText(StringRef text,
                                    const CompileOptions &options);
/// A compiled function's results. `variables`, by name, take the values that
/// the call leaves; `sizes` are those that a call says. Of several calls with
/// the same values, what the last gives: a GPU records the second, and replays
/// the third.
llvm::Expected<SmallVector<graph::Array>>
callCompiled(const Program &program, const FunctionInterface &f,
             ArrayRef<graph::Array> args,
             std::map<std::string, graph::Array> &variables,
             ArrayRef<int64_t> sizes = {}, unsigned calls = 1);

/// Runs every function of a program compiled for `cpu` and interpreted. What
/// differs by more than some roundings of the result's type, or an empty
/// string; `worst` is the largest error, relative beyond 1.
std::string compareCompiled(SampleModel &sample, StringRef cpu, double &worst);

/// The same of a vmap of the program over a batch that has only a bound, and of
/// its gradient, for several sizes. `refused`: it needs the batch's size.
std::string compareBounded(const ProgramText &program, StringRef cpu,
                           MLIRContext *ctx, double &worst, bool &refused);

struct VerifyOptions {
  uint64_t seed = 1;
  std::optional<double> tolerance; ///< that of the results' types if none
  unsigned calls = 1;              ///< of compiled code, with the same values
};
/// An element that compiled code and the reference do not agree on.
struct Difference {
  size_t result, element;
  std::string what; ///< the result's name
  double got, want;
};
struct VerifyResult {
  size_t results = 0; ///< compared
  double worst = 0;
  std::optional<Difference> difference;
  Operation *op = nullptr; ///< the first whose own result differs, if any does
};
/// Compares a compiled function of a model at stage Simple, and what it leaves
/// in the variables, with the reference, on random numbers; if they differ,
/// once more with the result of every op to be seen.
llvm::Expected<VerifyResult> verifyCompiled(ModuleOp simple, StringRef function,
                                            const CompileOptions &options,
                                            const VerifyOptions &verify);

/// The first op of a function, or of a body in it, whose result holds a NaN.
struct NanReport {
  Operation *op = nullptr;
  SmallVector<LoopStep> steps; ///< of the loops around it, the outermost first
  mlir::OpResult value;
  size_t element = 0;
  mlir::OpResult infinity; ///< the first result that is infinite, if before it
  SmallVector<std::pair<Value, graph::Array>> operands; ///< of the op
};
/// Calls a function of a model at stage Simple once more, compiled with the
/// results of its ops to be seen; none if no op makes a NaN.
llvm::Expected<std::optional<NanReport>>
findNan(ModuleOp simple, StringRef function, const CompileOptions &options,
        const std::map<std::string, graph::Array> &variables,
        ArrayRef<graph::Array> inputs);

/// A program of ops chosen at random, from the samples of their records: each
/// operand is an earlier result brought to the sample's shape and range, or an
/// argument of its own. New ops take part by having samples. Loops and branches
/// stand around a few ops each.
class RandomProgram {
public:
  RandomProgram(uint64_t seed, unsigned ops, MLIRContext *ctx);

  ProgramText text() const;
  /// A smaller program that `fails` as well: fewer results, and arguments in
  /// place of what computes operands.
  RandomProgram shrunk(function_ref<bool(const RandomProgram &)> fails) const;
  /// As a function in the model language.
  std::string str() const;

private:
  RandomProgram() = default;
  struct Tensor {
    std::string name, element;
    SmallVector<int64_t> sizes;
    std::optional<std::pair<double, double>> range; ///< that it stays in
    std::string type() const;
  };
  struct Line {
    std::string text; ///< a loop's or branch's with its bodies
    SmallVector<Tensor> results;
    SmallVector<std::string> reads; ///< names of results and arguments
  };
  friend class ProgramWriter;

  SmallVector<ProgramOperand> operands;
  std::vector<Line> lines;
  SmallVector<std::string> results;

  void dropUnread();
};

/// What a program shows to be wrong, or an empty string: derivatives against
/// differences and each other, text that does not read back, results that
/// canonicalisation changes, and, unless `cpu` is empty, compiled code against
/// the reference.
std::string checkProgram(const ProgramText &program, StringRef cpu,
                         MLIRContext *ctx);

} // namespace gradus

#endif // GRADUS_PROOF_H
