//===- Train.cpp - gradus train ------------------------------------------===//

#include "CheckNan.h"
#include "Command.h"

using namespace gradus;
using namespace gradus::tool;

int tool::trainCommand(int argc, char **argv) {
  CommonOptions options;
  TrainOptions t;
  cl::opt<std::string> data{"data",
                            cl::desc("fashion-mnist, a folder with the four "
                                     "files of an MNIST-like set, or a text"),
                            cl::init(t.data), cl::cat(options.category)};
  cl::opt<std::string> function{
      "function",
      cl::desc("What to train, if the model has several 'train' lines"),
      cl::cat(options.category)};
  cl::opt<std::string> checkpoint{"checkpoint",
                                  cl::desc("Save parameters and states there, "
                                           "every epoch and every half minute"),
                                  cl::value_desc("file.safetensors"),
                                  cl::cat(options.category)};
  cl::opt<bool> resume{"resume", cl::desc("Go on from the checkpoint"),
                       cl::cat(options.category)};
  cl::opt<int64_t> epochs{"epochs", cl::desc("Passes over the data"),
                          cl::init(1), cl::cat(options.category)};
  cl::opt<int64_t> batch{"batch", cl::desc("Examples a step"), cl::init(64),
                         cl::cat(options.category)};
  cl::opt<int64_t> steps{"steps",
                         cl::desc("Steps an epoch, for a model that takes no "
                                  "data"),
                         cl::init(t.steps), cl::cat(options.category)};
  cl::opt<int64_t> seed{
      "seed",
      cl::desc("Seed of the initial parameters, of the order of the data, and "
               "of the model's %seed"),
      cl::init(0), cl::cat(options.category)};
  cl::opt<double> every{
      "checkpoint-seconds", cl::desc("Save this often within an epoch"),
      cl::init(t.checkpointSeconds), cl::cat(options.category)};
  CheckOption check(options.category);
  int exitCode;
  if (!parseOptions(argc, argv,
                    "gradus train: trains a model with a step that is compiled "
                    "ahead of time\n",
                    options, exitCode))
    return exitCode;
  if (epochs < 1 || batch < 1 || steps < 1) {
    llvm::errs() << "error: --epochs, --batch and --steps must be at least 1\n";
    return Usage;
  }
  t.data = data;
  t.function = function;
  t.checkpoint = checkpoint;
  t.resume = resume;
  t.epochs = epochs;
  t.batch = batch;
  t.steps = steps;
  t.seed = seed;
  t.checkpointSeconds = every;
  if (check == Check::Nan)
    t.onNan = [&](StringRef step, const CompileOptions &compiled,
                  const Checkpoint &variables, ArrayRef<HostTensor> inputs) {
      return explainNan(options, compiled, step, variables, inputs);
    };
  return train(options.input, options.compileOptions(), t);
}
