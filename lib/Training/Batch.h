//===- Batch.h - examples as a function takes them --------------*- C++ -*-===//

#ifndef GRADUS_TRAINING_BATCH_H
#define GRADUS_TRAINING_BATCH_H

#include "gradus/Training.h"

namespace gradus {

/// One batch of the data in the form that a function takes: floats are image
/// bytes by 255, whole numbers labels, or the bytes of a text; a whole number
/// %seed is another one in each step.
class Batch {
public:
  static llvm::Expected<Batch> create(const FunctionInterface &f,
                                      const Examples &data);
  void fill(const Examples &data, ArrayRef<int64_t> examples, int64_t seed);
  SmallVector<const void *> pointers();
  /// As the function takes them.
  std::vector<HostTensor> tensors(const FunctionInterface &f);

  int64_t size = 0;

private:
  struct Part {
    enum { Image, Label, Seed } kind;
    HostTensor numbers; ///< what each byte of the data becomes
    Block64 memory;
  };
  std::vector<Part> ports;
};

} // namespace gradus

#endif // GRADUS_TRAINING_BATCH_H
