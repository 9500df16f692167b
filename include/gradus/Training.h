//===- Training.h - a compiled step fed with data ---------------*- C++ -*-===//

#ifndef GRADUS_TRAINING_H
#define GRADUS_TRAINING_H

#include "gradus/Compiler.h"
#include "gradus/Files.h"
#include <functional>

namespace gradus {

/// Examples with labels: a tensor each, the first axis counts examples. Of a
/// text they are stretches of its bytes, without labels.
struct Examples {
  HostTensor images, labels;
  bool isText = false;
  int64_t count() const { return images.shape.empty() ? 0 : images.shape[0]; }
  int64_t features() const {
    return images.elements() / std::max<int64_t>(count(), 1);
  }
};
struct Dataset {
  Examples train, test;
};
/// "fashion-mnist" (where Debian's package puts it), or a folder with the four
/// files of an MNIST-like set.
llvm::Expected<Dataset> loadDataset(StringRef name);
/// Does the name stand for a text: is it that of a plain file?
bool isText(StringRef name);
/// A file's bytes in stretches of `length`, each beginning with the last of
/// the one before; the last tenth of them for the test.
llvm::Expected<Dataset> loadText(StringRef file, int64_t length);

/// The variables of a model, in one block as compiled code has them.
class Variables {
public:
  explicit Variables(const Program &program)
      : model(program.interface()), block(program.memory(model.variableBytes)) {
  }
  void *data() { return block.data(); }
  Checkpoint save() const;
  /// Refuses a checkpoint of another model, naming every variable that does
  /// not fit.
  llvm::Error load(const Checkpoint &checkpoint, StringRef path);

private:
  const ModelInterface &model;
  Block64 block;
};

struct TrainOptions {
  std::string data = "fashion-mnist", checkpoint;
  std::string function; ///< the name after `train`; empty: the only one
  int64_t epochs = 1, batch = 64, seed = 0;
  bool resume = false;
  int64_t steps = 1000; ///< an epoch, of a model that takes no data
  double checkpointSeconds = 30;
  /// Called if a step leaves a NaN, with its function, what it was compiled
  /// with, the variables before it and its inputs; what it returns ends the
  /// training. Costs a copy of the variables a step.
  std::function<llvm::Error(StringRef step, const CompileOptions &options,
                            const Checkpoint &variables,
                            ArrayRef<HostTensor> inputs)>
      onNan;
};
/// Compiles the training step of a model file and runs it. Errors are printed.
int train(StringRef path, const CompileOptions &options,
          const TrainOptions &train);

} // namespace gradus

#endif // GRADUS_TRAINING_H
