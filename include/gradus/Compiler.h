//===- Compiler.h - a model file compiled, stage by stage -------*- C++ -*-===//
//
// What every command of `gradus` starts with: read a model, run stages, get
// text, machine code or a program in memory.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_COMPILER_H
#define GRADUS_COMPILER_H

#include "gradus/Files.h"
#include "gradus/Pipeline.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Support/Timing.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/SourceMgr.h"

namespace mlir {
class SourceMgrDiagnosticHandler;
} // namespace mlir
namespace llvm::orc {
class LLJIT;
} // namespace llvm::orc

namespace gradus {

/// One tensor at the boundary of a compiled function.
struct Port {
  std::string name;
  TensorSpec type;  ///< with the bound where a call says the size
  std::string rows; ///< the dimension that it is the bound of, or empty

  /// "f32[batch <= 64, 784]"
  std::string str() const;
};
/// A size that each call says.
struct SizeArgument {
  std::string name;
  int64_t most;
};
/// What a function computes again to need less memory.
struct Recomputation {
  int64_t tensors = 0;
  double moreOperations = 0;  ///< as a share of all
  double leastOperations = 0; ///< that any choice takes, by the estimate
  int64_t arenaBefore = 0;    ///< bytes without it
};
struct FunctionInterface {
  std::string name; ///< in the model: "fit.step"
  std::vector<Port> inputs, outputs;
  std::vector<SizeArgument> sizes; ///< after the outputs
  int64_t arenaBytes = 0, liveBytes = 0;
  std::string peakLine; ///< of the model, where most bytes are alive
  Recomputation recomputed;
  double productFlops = 0; ///< multiplications and additions in products
};
struct VariableInfo {
  std::string name;
  TensorSpec type;
  int64_t offset; ///< in the block of variables
  bool state;     ///< not a parameter
};
/// A line for each variable that a checkpoint lacks or has in another shape.
std::string whatDoesNotFit(const Checkpoint &c,
                           ArrayRef<VariableInfo> variables);

/// What a program that links a compiled model must know.
struct ModelInterface {
  std::string name;
  bool gpu = false; ///< its functions return messages, its memory is a GPU's
  bool cpuFallback = false; ///< a GPU model's functions run on the CPU as well
  std::vector<VariableInfo> variables;
  int64_t variableBytes = 0;
  std::vector<FunctionInterface> functions;

  const FunctionInterface *find(StringRef function) const;
  int64_t arenaBytes() const;
};
/// A name as a C identifier: every other character becomes `_`.
std::string cIdentifier(StringRef name);
/// The C name of a function of a model: `mlp_fit_step`.
std::string cFunctionName(StringRef model, StringRef function);
DType dtypeOf(Type element);

/// A C header that declares the interface.
std::string cHeader(const ModelInterface &model);

/// A model on its way from text to machine code.
class Compilation {
public:
  explicit Compilation(CompileOptions options);
  ~Compilation();

  /// Reads a model ("-": standard input). Errors are printed at their place.
  LogicalResult parse(StringRef path);
  LogicalResult parseText(StringRef text, StringRef name);
  /// Runs every stage up to `stage`.
  LogicalResult runTo(Stage stage);
  ModuleOp module() { return *source; }
  MLIRContext &context() { return *ctx; }
  const CompileOptions &options() const { return settings; }
  CompileOptions &options() { return settings; }

  /// The objects that the model consists of; runs what stages are missing.
  llvm::Expected<std::vector<Object>> objects();
  /// The machine code as text.
  llvm::Expected<std::string> assembly();
  /// The kernels of a GPU model: PTX, or a cubin.
  llvm::Expected<std::string> kernels(bool assembled);
  /// The LLVM IR as text.
  llvm::Expected<std::string> llvmText();
  /// After stage Buffers.
  const ModelInterface &interface() const { return ports; }

  /// One numbered file a stage and a pass goes here, if it is not empty.
  std::string dumpDirectory;
  bool printTiming = false;
  /// Where a reproducer goes if a pass crashes or fails without a message.
  std::string reproducer;

private:
  LogicalResult parseFallback(StringRef path);
  LogicalResult shareArenas();
  LogicalResult addStage(Stage stage);
  LogicalResult runPasses(Stage stage);
  /// Has functions compute again what would take more memory than allowed.
  LogicalResult limitMemory();
  LogicalResult refuse(StringRef function, int64_t bytes);
  LogicalResult dumpStage(Stage stage);
  std::vector<VariableInfo> constants();
  void recordInterface();
  llvm::Expected<std::unique_ptr<llvm::Module>>
  llvmModule(llvm::LLVMContext &context, llvm::TargetMachine &machine);
  llvm::Expected<std::string>
  optimizedText(function_ref<llvm::Expected<std::string>(llvm::Module &,
                                                         llvm::TargetMachine &)>
                    print);

  CompileOptions settings;
  std::unique_ptr<MLIRContext> ctx;
  std::shared_ptr<llvm::SourceMgr> files;
  std::unique_ptr<mlir::SourceMgrDiagnosticHandler> show;
  std::optional<mlir::ScopedDiagnosticHandler> errorsOnly;
  /// A GPU model's code for the CPU.
  std::unique_ptr<Compilation> fallback;
  mlir::OwningOpRef<ModuleOp> source;
  std::optional<Stage> reached;
  ModelInterface ports;
  llvm::StringMap<Recomputation> recomputed; ///< by function
  mlir::DefaultTimingManager timing;
  mlir::TimingScope total;
};

/// Memory aligned for compiled code, zeroed.
class Block64 {
public:
  explicit Block64(int64_t bytes);
  char *data() { return begin.get(); }
  const char *data() const { return begin.get(); }
  int64_t size() const { return bytes; }

private:
  friend class Program;
  struct Free {
    void (*release)(void *);
    std::shared_ptr<void> owner; ///< of `release`'s code
    void operator()(char *p) const { release(p); }
  };
  Block64(int64_t bytes, char *memory, Free free)
      : bytes(bytes), begin(memory, std::move(free)) {}

  int64_t bytes;
  std::unique_ptr<char, Free> begin;
};

/// A compiled model in this process: its objects, linked and ready; on a GPU if
/// it was compiled for one.
class Program {
public:
  /// The model that `c` has read. No debugger sees its lines.
  static llvm::Expected<Program> of(Compilation &c);
  Program(Program &&);
  ~Program();

  const ModelInterface &interface() const { return model; }
  /// Memory for variables or an arena, that this process can read and write.
  Block64 memory(int64_t bytes) const;
  /// A call that is ready to be made, again and again.
  class Call {
  public:
    /// A message if a size is out of bounds or a GPU fails, else null.
    const char *operator()() const { return caller(function, args.data()); }

  private:
    friend class Program;
    void *function;
    SmallVector<void *> args;
    const char *(*caller)(void *function, void *const *args);
  };
  /// Binds a function to pointers to its inputs and to its outputs. `sizes`:
  /// of the dimensions with bounds, which they are if it is empty.
  Call bind(const FunctionInterface &function, void *variables,
            ArrayRef<const void *> inputs, ArrayRef<void *> outputs,
            void *arena, ArrayRef<int64_t> sizes = {}) const;
  /// The error is the GPU's, in its driver's words.
  llvm::Error call(const FunctionInterface &function, void *variables,
                   ArrayRef<const void *> inputs, ArrayRef<void *> outputs,
                   void *arena) const;

private:
  static llvm::Expected<Program> load(ArrayRef<Object> objects,
                                      ModelInterface model);
  Program(std::unique_ptr<llvm::orc::LLJIT> jit, ModelInterface model);
  template <typename F> llvm::Expected<F *> exported(StringRef name) const;
  llvm::Error openGpu();

  std::shared_ptr<llvm::orc::LLJIT> jit;
  ModelInterface model;
  llvm::StringMap<void *> addresses;
  void *(*shareMemory)(int64_t) = nullptr; ///< a GPU model's
  void (*releaseMemory)(void *) = nullptr;
};

} // namespace gradus

#endif // GRADUS_COMPILER_H
