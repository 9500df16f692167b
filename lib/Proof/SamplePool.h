//===- SamplePool.h - the samples that programs are made of -----*- C++ -*-===//

#ifndef GRADUS_PROOF_SAMPLEPOOL_H
#define GRADUS_PROOF_SAMPLEPOOL_H

#include "gradus/Proof.h"

namespace gradus {

/// A sample of an op's record that random programs may use.
struct PooledSample {
  std::string op; ///< "reduce_sum"
  ProgramText text;
  SmallVector<Type> results;
};

/// Every such sample, those of an op together.
std::vector<std::vector<PooledSample>> pooledSamples(MLIRContext *ctx);

/// The sample with `to` wherever a size is `from`; none if its op does not take
/// that, or would then make what is no finite number (the mean of nothing).
std::optional<PooledSample> resized(const PooledSample &sample, int64_t from,
                                    int64_t to, MLIRContext *ctx);

/// "f32[2, 3]": its element and its sizes.
std::pair<std::string, SmallVector<int64_t>> parseShape(StringRef text);
std::string shapeText(StringRef element, ArrayRef<int64_t> sizes);

} // namespace gradus

#endif // GRADUS_PROOF_SAMPLEPOOL_H
