//===- Command.h - what the commands of gradus share ------------*- C++ -*-===//

#ifndef GRADUS_TOOLS_COMMAND_H
#define GRADUS_TOOLS_COMMAND_H

#include "gradus/Compiler.h"
#include "gradus/Training.h"
#include "llvm/Support/CommandLine.h"

namespace gradus::tool {

namespace cl = llvm::cl;

/// Exit codes: what scripts can rely on.
enum Exit { Ok = 0, Diagnosed = 1, Usage = 2, CheckFailed = 3, Internal = 70 };

/// Takes back names that an option of LLVM's libraries has.
struct FreeNames {
  FreeNames();
};

/// Options of a command. They live as long as the command runs: no option
/// steers a pipeline from a distance.
struct CommonOptions : FreeNames {
  cl::OptionCategory category{"Options"};
  cl::opt<std::string> input{cl::Positional, cl::desc("<model>"), cl::Required,
                             cl::cat(category)};
  cl::list<std::string> dims{
      "dims",
      cl::desc("Give a named dimension a size, or the largest that a call may "
               "say it has"),
      cl::value_desc("name=size or name<=size,..."), cl::CommaSeparated,
      cl::cat(category)};
  cl::opt<std::string> specialize{
      "specialize",
      cl::desc("Sizes of a dimension with a bound that have code of their own"),
      cl::value_desc("name:size,..."), cl::cat(category)};
  cl::opt<std::string> target{
      "target",
      cl::desc("Target triple, or nvptx64: an NVIDIA GPU runs the model"),
      cl::value_desc("triple"), cl::cat(category)};
  enum class Multiply { Strict, F32, Tf32, F16, Bf16 };
  cl::opt<Multiply> matmulPrecision{
      "matmul-precision", cl::desc("How a GPU multiplies f32"),
      cl::values(clEnumValN(Multiply::Strict, "strict",
                            "as f32, with fused multiply-adds (the default)"),
                 clEnumValN(Multiply::F32, "f32",
                            "in tensor cores, three products of tf32 for one"),
                 clEnumValN(Multiply::Tf32, "tf32",
                            "in tensor cores, factors rounded to 11 bits"),
                 clEnumValN(Multiply::F16, "f16", "factors rounded to f16"),
                 clEnumValN(Multiply::Bf16, "bf16", "factors rounded to bf16")),
      cl::init(Multiply::Strict), cl::cat(category)};
  enum class Pack { Auto, Always, Never };
  cl::opt<Pack> gpuPack{
      "gpu-pack",
      cl::desc("Copy operands of products for tensor cores to where they are "
               "read best"),
      cl::values(clEnumValN(Pack::Auto, "auto", "where it pays (the default)"),
                 clEnumValN(Pack::Always, "always", "wherever it can be done"),
                 clEnumValN(Pack::Never, "never", "read them as they are")),
      cl::init(Pack::Auto), cl::cat(category)};
  cl::opt<std::string> march{
      "march",
      cl::desc("The CPU to compile for (default: this one, 'native'); for "
               "nvptx64 the GPU (default: sm_80), or both: sm_90a,native"),
      cl::init("native"), cl::value_desc("cpu"), cl::cat(category)};
  cl::alias mcpu{"mcpu", cl::desc("The same"), cl::aliasopt(march),
                 cl::cat(category)};
  cl::opt<std::string> mattr{"mattr", cl::desc("Features to add or drop"),
                             cl::value_desc("+a,-b"), cl::cat(category)};
  cl::opt<unsigned> level{"O", cl::Prefix, cl::desc("Effort, 0 to 3"),
                          cl::init(2), cl::cat(category)};
  cl::opt<unsigned> threads{
      "threads",
      cl::desc("Threads that share the work of one call (default: 1 in files, "
               "every processor where gradus runs the model itself)"),
      cl::init(0), cl::value_desc("n"), cl::cat(category)};
  enum class Switch { Off, On };
  cl::opt<Switch> winograd{
      "winograd", cl::desc("3 x 3 convolutions with many channels"),
      cl::values(
          clEnumValN(Switch::On, "on", "with fewer products (the default)"),
          clEnumValN(Switch::Off, "off", "as the sums are written")),
      cl::init(Switch::On), cl::cat(category)};
  cl::opt<std::string> memoryLimit{
      "memory-limit",
      cl::desc("Compute again what a function would need more memory than this "
               "to keep, the variables not counted"),
      cl::value_desc("bytes, or 64MB"), cl::cat(category)};
  cl::opt<std::string> cacheDir{
      "cache-dir",
      cl::desc("Keep the machine code of kernels there for the next time"),
      cl::value_desc("folder"), cl::cat(category)};
  cl::opt<std::string> dumpDir{
      "dump-dir", cl::desc("Write one numbered file a stage and a pass there"),
      cl::value_desc("folder"), cl::cat(category)};
  cl::opt<bool> timing{"timing",
                       cl::desc("Print how long each stage and pass takes"),
                       cl::cat(category)};
  cl::opt<std::string> reproducer{
      "crash-reproducer", cl::desc("Where to write what reproduces a crash"),
      cl::value_desc("file"), cl::cat(category)};

  /// For a file, or for a model that runs in this process.
  enum class Purpose { Artefact, Run };
  bool isGpu() const { return StringRef(target).starts_with("nvptx"); }
  CompileOptions compileOptions(Purpose purpose = Purpose::Run) const;
  void configure(Compilation &c) const;
};

/// Parses the rest of the command line; false if it is to end with
/// `exitCode`.
bool parseOptions(int argc, char **argv, StringRef about,
                  CommonOptions &options, int &exitCode);

/// Prints an error, unless it is empty (its message stands already).
int report(llvm::Error e);

/// `name=value` or `name=@file.npy` for each input of a function, checked
/// against its shape; as many rows as there are where a call says how many.
llvm::Expected<std::vector<HostTensor>> readInputs(const FunctionInterface &f,
                                                   ArrayRef<std::string> given);

/// The function named, or the only one there is.
llvm::Expected<const FunctionInterface *>
chooseFunction(const ModelInterface &model, StringRef name);

/// `y = 11`, or a shape and its first numbers.
void printTensor(llvm::raw_ostream &os, StringRef name, const HostTensor &t);

/// The sizes of dimensions with bounds that the inputs have, in the order of
/// the function's.
llvm::Expected<SmallVector<int64_t>> inputSizes(const FunctionInterface &f,
                                                ArrayRef<HostTensor> inputs);

/// A compiled function called with host tensors.
llvm::Expected<std::vector<HostTensor>> callWith(Program &program,
                                                 const FunctionInterface &f,
                                                 void *variables,
                                                 ArrayRef<HostTensor> inputs);

/// Variables from a checkpoint, or initialised from a seed.
llvm::Error startVariables(Program &program, Variables &variables,
                           StringRef checkpoint, int64_t seed);

int compileCommand(int argc, char **argv);
int runCommand(int argc, char **argv);
int gradCommand(int argc, char **argv);
int checkGradCommand(int argc, char **argv);
int verifyCommand(int argc, char **argv);
int trainCommand(int argc, char **argv);
int benchCommand(int argc, char **argv);

} // namespace gradus::tool

#endif // GRADUS_TOOLS_COMMAND_H
