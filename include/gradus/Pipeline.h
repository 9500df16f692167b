//===- Pipeline.h - the stages from text to machine code --------*- C++ -*-===//

#ifndef GRADUS_PIPELINE_H
#define GRADUS_PIPELINE_H

#include "gradus/LLVM.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>
#include <vector>

namespace mlir {
class DialectRegistry;
class PassManager;
class OpPassManager;
} // namespace mlir
namespace llvm {
class LLVMContext;
class Module;
class TargetMachine;
} // namespace llvm

namespace gradus {

/// The levels of a program, in order. Each name works in `--emit`, in dump
/// folders and in tests.
enum class Stage {
  Graph,   ///< the text, shapes inferred, checked
  Grad,    ///< layers, training steps and gradients written out
  Simple,  ///< primitive ops, simplified
  Linalg,  ///< linalg on tensors, fused
  Kernels, ///< groups outlined and shared, boundary defined
  Buffers, ///< bufferised, contractions tiled, memory planned
  Llvm,    ///< the LLVM dialect
};
StringRef stageName(Stage stage);
std::optional<Stage> parseStage(StringRef name);
ArrayRef<Stage> allStages();

/// What the compiler is asked for. Everything that steers a pipeline is here.
struct CompileOptions {
  std::vector<std::string> dims;    ///< "batch=64"
  std::vector<std::string> bounds;  ///< "batch=64": a call says, at most 64
  std::vector<std::string> special; ///< "batch=8": has code of its own
  /// The same with the bounds as sizes.
  CompileOptions atBounds() const {
    CompileOptions o = *this;
    o.dims.insert(o.dims.end(), bounds.begin(), bounds.end());
    o.bounds.clear();
    o.special.clear();
    return o;
  }
  std::vector<std::string> functions; ///< to compile; empty: all
  std::string freeze; ///< checkpoint whose values variables keep, as constants
  std::string triple; ///< empty: this machine's
  std::string cpu = "native";       ///< -march / -mcpu
  std::string features;             ///< -mattr
  std::string gpu;                  ///< sm_80 or later: a GPU runs the model
  std::string precision = "strict"; ///< how a GPU multiplies f32
  std::string packing = "auto";     ///< of operands on a GPU: --gpu-pack
  bool cubin = false;       ///< a GPU's kernels are assembled, beside their PTX
  bool cpuFallback = false; ///< a GPU model has code for the CPU too
  unsigned optLevel = 2;
  unsigned threads = 1;    ///< that share the work of one call
  bool winograd = true;    ///< F(2x2, 3x3) where it pays
  int64_t memoryLimit = 0; ///< bytes of arena a function may need; 0: any
  bool modelLines = true;  ///< in objects, for debuggers and profilers
  unsigned jobs = 0;       ///< threads that generate code; 0: all processors
  std::string cacheDir;    ///< objects of kernels are kept there, if not empty
};

void registerDialects(mlir::DialectRegistry &registry);
/// Passes and named pipelines, for gradus-opt.
void registerPassesAndPipelines();

/// Appends the passes that lead from the stage before to `stage`.
void buildStage(Stage stage, mlir::OpPassManager &pm,
                const CompileOptions &options);

/// Appends the passes that compile the kernels of stage Buffers to PTX, an
/// attribute of the module (lowering::ptxAttr).
void buildPtx(mlir::OpPassManager &pm, const CompileOptions &options);

/// The machine code of a GPU, by ptxas or nvJitLink, whichever is found first.
llvm::Expected<std::string> assemblePtx(StringRef ptx, StringRef chip);

/// The machine that the options describe.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(const CompileOptions &options);

/// LLVM IR of a module at stage Llvm, as it comes.
llvm::Expected<std::unique_ptr<llvm::Module>>
translateToLLVM(ModuleOp module, llvm::LLVMContext &context,
                llvm::TargetMachine &machine);
llvm::Error optimizeForTarget(llvm::Module &module,
                              llvm::TargetMachine &machine, unsigned optLevel);

enum class MachineCode { Assembly, Object };
llvm::Expected<SmallVector<char, 0>>
emitMachineCode(llvm::Module &module, llvm::TargetMachine &machine,
                MachineCode kind);

/// The bytes of an object file.
using Object = SmallVector<char, 0>;
/// Optimises and emits a module as one object or several, side by side.
llvm::Expected<std::vector<Object>>
emitObjects(std::unique_ptr<llvm::Module> module,
            const CompileOptions &options);

} // namespace gradus

#endif // GRADUS_PIPELINE_H
