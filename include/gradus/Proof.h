//===- Proof.h - compiled code and random programs against the reference --===//

#ifndef GRADUS_PROOF_H
#define GRADUS_PROOF_H

#include "gradus/Reference.h"

namespace gradus {

/// Runs every function of a program compiled for `cpu` and interpreted. What
/// differs by more than some roundings of the result's type, or an empty
/// string; `worst` is the largest error, relative beyond 1.
std::string compareCompiled(SampleModel &sample, StringRef cpu, double &worst);

/// A program of ops chosen at random, from the samples of their records: each
/// operand is an earlier result brought to the sample's shape and range, or an
/// argument of its own. New ops take part by having samples.
class RandomProgram {
public:
  RandomProgram(uint64_t seed, unsigned ops, MLIRContext *ctx);

  ProgramText text() const;
  /// A smaller program that `fails` as well: fewer results, and arguments in
  /// place of what computes operands.
  RandomProgram
  shrunk(function_ref<bool(const RandomProgram &)> fails) const;
  /// As a function in the model language.
  std::string str() const;

private:
  RandomProgram() = default;
  struct Tensor {
    std::string name, element;
    SmallVector<int64_t> sizes;
    std::optional<std::pair<double, double>> range; ///< that it stays in
  };
  struct Line {
    std::string text;
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
