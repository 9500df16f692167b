//===- Passes.td - every pass, in the order in which a program meets them -===//

#ifndef GRADUS_PASSES
#define GRADUS_PASSES

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Expand: a model -> plain functions of the model language
//===----------------------------------------------------------------------===//

def BindDims : Pass<"graph-bind-dims", "::gradus::graph::ModelOp"> {
  let summary = "Give named dimensions a size";
  let description = [{
    Replaces the named dimensions everywhere and infers the shapes that depended on them again, in callee-first order. A
    shape that no longer fits is reported at its op.
  }];
  let options = [ListOption<"sizes", "sizes", "std::string", "name=size,...">,
                 ListOption<"bounds", "bounds", "std::string", "name=largest,... of dimensions that get a bound later: they must be there">];
}
def InstantiateLayers : Pass<"graph-instantiate-layers", "::gradus::graph::ModelOp"> {
  let summary = "Replace each call of a layer by its body, with parameters of its own";
  let description = [{
    A layer is a function that declares parameters or states, one that is called with `as`, or one of the standard
    library. Its variables move to the model under the call's prefix; one prefix twice is one set of weights. The layer
    functions themselves are gone afterwards.
  }];
}
def ExpandTrain : Pass<"graph-expand-train", "::gradus::graph::ModelOp"> {
  let summary = "Write `train @fit ...` out as a function @fit.step";
  let description = [{
    The step is text that a person could have written: a value_and_grad of the loss, the reported metrics, one call of
    the optimiser and one update a parameter. Parameters that the loss does not use are reported.
  }];
}
def AddInit : Pass<"graph-add-init", "::gradus::graph::ModelOp"> {
  let summary = "Add a function @init(%seed) that sets every parameter and state";
  let description = [{
    Initialisers become graph ops (`normal`, `uniform`, `constant`), so that a compiled model initialises itself with
    the very numbers that the tools use.
  }];
}
def InlineCalls : Pass<"graph-inline-calls", "::gradus::graph::ModelOp"> {
  let summary = "Replace the remaining calls by their callees' bodies";
  let description = [{
    A function that is called, and has a dimension with neither a size nor a bound, is gone afterwards.
  }];
  let options = [ListOption<"bounded", "bounded", "std::string", "dimensions that have a bound">];
}

def KeepFunctions : Pass<"graph-keep-functions", "::gradus::graph::ModelOp"> {
  let summary = "Drop the functions that are not asked for";
  let description = [{
    What runs one function compiles one. `@init` stays, and so do all variables. A name that the model does not have is an
    error.
  }];
  let options = [ListOption<"names", "names", "std::string", "functions to keep">,
                 Option<"frozen", "frozen", "bool", "false",
                        "Variables are constants: no @init, and nothing that updates them">];
}

//===----------------------------------------------------------------------===//
// Gradient
//===----------------------------------------------------------------------===//

def Differentiate : Pass<"graph-differentiate", "::gradus::graph::ModelOp"> {
  let summary = "Expand value_and_grad, jvp, vmap, jacobian and hessian where they stand";
  let description = [{
    Requests inside a callee are expanded first, so higher orders come free. Shapes may be symbolic. All ops without a
    rule are reported at once, each with the path from the loss.
  }];
}

//===----------------------------------------------------------------------===//
// Optimize: graph -> simpler graph
//===----------------------------------------------------------------------===//

def Decompose : Pass<"graph-decompose", "::gradus::graph::ModelOp"> {
  let summary = "Replace each composite op by its parts";
  let description = [{
    Elementwise formulas stay whole (the lowering reads them as scalars). An einsum of more than two operands becomes a
    chain of einsums of two.
  }];
}

def HoistProducts : Pass<"graph-hoist-products", "::gradus::graph::ModelOp"> {
  let summary = "Take products that no step of a loop waits for out of it, as one over the rows of all steps";
  let description = [{
    Before the loop: what is multiplied of a slice. Behind it: what is only kept from each step, or added up.
  }];
}
def Specialize : Pass<"graph-specialize", "::gradus::graph::ModelOp"> {
  let summary = "Add functions for sizes that come often beside those for any size";
  let description = [{
    The attribute `graph.special` says which function one is `of`, and for which `size` of which `dim`.
  }];
  let options = [ListOption<"sizes", "sizes", "std::string", "name=size,...">,
                 ListOption<"bounds", "bounds", "std::string", "name=largest,...">];
}
def Recompute : Pass<"graph-recompute", "::gradus::graph::ModelOp"> {
  let summary = "Compute tensors again where keeping them would take too much memory";
  let description = [{
    Until no more than `limit` bytes are in use at once, by an estimate, or nothing is left that would free any: ops are
    copied before late uses of their results. The attribute `graph.recomputed` of a function says how many `tensors` that are,
    the bytes `before` and `after`, the share of `more` operations, and `leastMore` that any choice takes for the limit.
  }];
  let options = [Option<"limit", "limit", "int64_t", "0", "Bytes in use at once">,
                 ListOption<"bounds", "bounds", "std::string", "name=largest,... of dimensions that have no other size">];
}

//===----------------------------------------------------------------------===//
// Lowering: graph -> linalg -> kernels -> buffers
//===----------------------------------------------------------------------===//

def ParamsToArgs : Pass<"graph-params-to-args", "::mlir::ModuleOp"> {
  let summary = "Turn the model's functions into func.func with the variables as leading arguments";
  let description = [{
    Variables that a function reads or updates become arguments marked `graph.variable`; the next values of updated ones
    become trailing results marked `graph.next`. Refuses functions with dimensions that have neither a size nor a bound.

    A dimension with a bound keeps its name in the types, with the bound as its size: buffers are that large, and loops run
    to the size that a call says (`graph.runtime_size`). It comes first in arguments and results, whose rows lie as they
    would without a bound.
  }];
  let options = [ListOption<"bounds", "bounds", "std::string", "name=largest,...">];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}
def OutlineBodies : Pass<"graph-outline-bodies", "::mlir::ModuleOp"> {
  let summary = "Move the bodies of loops and branches into functions";
  let description = [{
    The functions are private, marked `graph.body`, and take what the body gets and what it reads from outside. Later
    stages meet straight lists of ops only.
  }];
}
def DropEmpty : Pass<"graph-drop-empty", "::mlir::ModuleOp"> {
  let summary = "Replace what is computed of tensors without elements";
  let description = [{
    Carries, slices and results of loops and branches without elements go; a sum over an empty axis is a constant.
    Arguments and results of the model's functions stay.
  }];
}
def LowerToLinalg : Pass<"graph-lower-to-linalg", "::mlir::func::FuncOp"> {
  let summary = "Lower graph ops on tensors to linalg.generic";
  let description = [{
    Elementwise formulas become scalar bodies; transposes, slices, windows and broadcasts become indexing maps; matmul,
    einsum and convolution become one kind of generic, a contraction, with transposed operands read in place.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect", "::mlir::scf::SCFDialect"];
}
def CollapseAxes : Pass<"graph-collapse-axes", "::mlir::func::FuncOp"> {
  let summary = "Run ops on the axes of the products that they read, not on reshaped ones";
  let description = [{
    A dense layer on [batch, time, width] is a product of matrices between two reshapes. The elementwise ops behind it run
    over the product's own axes, and the reshape moves behind them.
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}
def Rematerialize : Pass<"graph-rematerialize", "::mlir::func::FuncOp"> {
  let summary = "Compute elementwise values that several loop nests read in each of them, where that moves fewer bytes";
  let description = [{
    A value that is stored is written once and read by each nest. One that is not is computed by each, of what it is
    computed from; that costs operations, and reading of what the nest does not read anyway.
  }];
}
def FuseFolds : Pass<"graph-fuse-folds", "::mlir::func::FuncOp"> {
  let summary = "Compute masks within, and what follows with, ops that put windows back which do not overlap";
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}
def DropUnitAxes : Pass<"graph-drop-unit-axes", "::mlir::func::FuncOp"> {
  let summary = "Read and make tensors without the axes of size 1 that a reshape adds or takes away";
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}
def FuseGroups : Pass<"graph-fuse-groups", "::mlir::func::FuncOp"> {
  let summary = "Fuse elementwise chains into their consumers";
  let description = [{
    A producer is fused into every consumer that reads it elementwise, or as the input of a reduction, when recomputing
    it costs less than storing it: always with a single consumer, and with several when its body is cheap. A producer
    whose result is still needed afterwards is computed once and yielded beside its consumer.
  }];
  let options = [Option<"windows", "windows", "bool", "false",
                        "Leave copies between zeros that are read in windows as they are: none will be made">];
}
def FuseSiblings : Pass<"graph-fuse-siblings", "::mlir::func::FuncOp"> {
  let summary = "Fuse sums over the rows of one tensor that do not need each other";
  let description = [{
    Each reads the whole tensor; as one op that makes all their results they read it once.
  }];
}
def SplitSums : Pass<"graph-split-sums", "::mlir::func::FuncOp"> {
  let summary = "Make long sums to a few numbers in parts, which threads can share";
  let options = [Option<"leastPoints", "least-points", "int64_t", "256 * 1024", "Elements that a sum is made in parts from">,
                 Option<"mostResults", "most-results", "int64_t", "16", "Results of an op whose sums are made in parts">,
                 Option<"mostParts", "most-parts", "int64_t", "16", "Parts of a sum">,
                 Option<"mostSums", "most-sums", "int64_t", "256", "Parts of all results: so many are enough to share">];
}
def GroupRows : Pass<"graph-group-rows", "::mlir::func::FuncOp"> {
  let summary = "Mark ops that hand each other the same rows, to be run row by row in one kernel";
  let description = [{
    Softmax and layer norm, a convolution with what follows it, the products of attention: what a row's ops hand on stays
    in the cache, and only what is read elsewhere is written to memory. Long sequences are taken in blocks of rows.
  }];
  let options = [Option<"rowBytes", "row-bytes", "int64_t", "512 * 1024",
                        "What a row's intermediates may take: half of a second-level cache, or a GPU's shared memory">,
                 Option<"products", "products", "bool", "true", "Take products into groups">,
                 Option<"manyRows", "many-rows", "bool", "false",
                        "Take rows as short as groups allow, for a GPU, where a block of threads works on each">,
                 Option<"windows", "windows", "bool", "false",
                        "Leave copies between zeros out that others read in windows: none will be made">];
}
def RecomputeRows : Pass<"graph-recompute-rows", "::mlir::func::FuncOp"> {
  let summary = "Have groups make again what they would read of another group, where that is large";
  let description = [{
    The softmax of attention, which its gradient needs: rather than to be written for all queries and keys and read
    again, its rows are made again, of queries, keys and each row's maximum and sum, while the gradient works on them.
  }];
  let options = [Option<"rowBytes", "row-bytes", "int64_t", "512 * 1024", "As graph-group-rows has it">];
}
def SumRows : Pass<"graph-sum-rows", "::mlir::func::FuncOp"> {
  let summary = "Have groups add up what they make over their rows, row by row";
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}
def FuseEpilogues : Pass<"graph-fuse-epilogues", "::mlir::func::FuncOp"> {
  let summary = "Mark what follows a product elementwise, to be run on its blocks in one kernel";
  let options = [Option<"sums", "sums", "bool", "false",
                        "What follows any sum too, for a GPU: a kernel less to launch">];
  let description = [{
    Bias and activation, a residual, the gradient of an activation, the optimiser's update of a weight: each runs on a
    block of the product while that is in the cache. What nothing else reads is never written to memory.
  }];
}
def LimitReach : Pass<"graph-limit-reach", "::mlir::func::FuncOp"> {
  let summary = "Have groups leave out what a mask hides in all rows of a block or of a product's tile";
}
def GroupWindows : Pass<"graph-group-windows", "::mlir::func::FuncOp"> {
  let summary = "Mark copies of images between zeros that are read in windows, to be read without being made";
}
def ExtractNumbers : Pass<"graph-extract-numbers", "::mlir::func::FuncOp"> {
  let summary = "Extract a number that many ops read from its tensor, once";
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}
def OutlineKernels : Pass<"graph-outline-kernels", "::mlir::ModuleOp"> {
  let summary = "Move each fusion group into a function of its own, shared when equal";
  let description = [{
    Compile time grows faster than the size of a function, so each loop nest becomes a private function in
    destination-passing style; structurally equal ones are one. Kernels are the unit of code generation and of profiling.
  }];
}
def MergeLoops : Pass<"graph-merge-loops", "::mlir::ModuleOp"> {
  let summary = "Run loops that go together in all that a kernel reads and writes as one";
  let description = [{
    The pixels of images become rows like any others, and what is computed element by element one long loop. Callers
    reshape what they pass, which costs nothing. In groups of rows, the loops inside a row become one. Kernels that a mask
    limits, that ask for an index, or whose lengths a call gives, stay as they are.
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}
def DefineBoundary : Pass<"graph-define-boundary", "::mlir::ModuleOp"> {
  let summary = "Make the boundary of entry functions explicit: buffers in, buffers out, variables updated in place";
  let description = [{
    Arguments become memrefs read through `to_tensor`; results are materialised into extra memref arguments; the next
    value of a variable is materialised into the variable itself, whose kernel takes it as its destination, so that
    bufferisation updates in place. The functions of bodies are treated alike; their calls become loops and branches
    over buffers.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect"];
}
def PlanMemory : Pass<"graph-plan-memory", "::mlir::ModuleOp"> {
  let summary = "Place every buffer of a function in one arena";
  let description = [{
    Greedy by size with the lowest gap that fits, over the live ranges. A kernel's temporaries are an arena argument too,
    which its caller allocates around the call. Variables become views into one block, inputs and results stay bare.
  }];
  let options = [Option<"frozen", "frozen", "bool", "false", "Variables are constants in the object">];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect"];
}

//===----------------------------------------------------------------------===//
// Cpu: kernels -> loops and vectors -> LLVM
//===----------------------------------------------------------------------===//

def LowerKernels : Pass<"cpu-lower-kernels", "::mlir::func::FuncOp"> {
  let summary = "Lower linalg on buffers to loops over vectors, large ones split into parts for threads";
  let description = [{
    Contractions - any generic that adds products, with one operand contiguous along an axis that the other lacks:
    matmul in every transposition, einsum, convolution and its filter gradient - become blocked, packed, register-tiled
    loops. In all other ops one loop runs along vectors where what the op reads and writes is contiguous along it. The
    ops of a group share the loops over its rows.

    Only parallel loops are split, so that each element of a result is computed in one part, in the same order whatever
    the number of parts: results do not depend on the number of threads.
  }];
  let options = [Option<"vectorBits", "vector-bits", "unsigned", "256", "Width of a vector register">,
                 Option<"registers", "registers", "unsigned", "16", "Number of vector registers">,
                 ListOption<"dots", "dots", "std::string",
                            "Instructions for several elements: vpmaddwd, vpdpwssd, vpdpbusd, vdpbf16ps, tdpbssd, tdpbf16ps">,
                 Option<"threads", "threads", "unsigned", "1", "Parts to split large ones into">,
                 Option<"winograd", "winograd", "bool", "true", "F(2x2, 3x3) for 3 x 3 convolutions with many channels">,
                 Option<"streams", "streams", "bool", "false", "Write results that no cache holds past the caches, on x86">];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect",
                           "::mlir::affine::AffineDialect", "::mlir::vector::VectorDialect", "::mlir::LLVM::LLVMDialect"];
}
def MarkBoxes : Pass<"cpu-mark-boxes", "::mlir::ModuleOp"> {
  let summary = "Tell kernels which of their operands have zeros around";
  let description = [{
    Where every caller passes what a kernel has written between zeros: an image with zeros around, seen through reshapes.
    Sums of products leave out the rows and columns that would add nothing.
  }];
}
def PackConstants : Pass<"cpu-pack-constants", "::mlir::ModuleOp"> {
  let summary = "Have constant right-hand sides of products lie as the products read them";
  let description = [{
    Where every caller of a kernel passes a constant: matrices in panels, filters of 3 x 3 taps as the matrices of F(2x2, 3x3).
  }];
  let options = [Option<"vectorBits", "vector-bits", "unsigned", "256", "Width of a vector register">,
                 Option<"registers", "registers", "unsigned", "16", "Number of vector registers">,
                 ListOption<"dots", "dots", "std::string", "Instructions for several elements, as for cpu-lower-kernels">,
                 Option<"winograd", "winograd", "bool", "true", "F(2x2, 3x3) for 3 x 3 convolutions with many channels">];
}
def PassSizes : Pass<"graph-pass-sizes", "::mlir::ModuleOp"> {
  let summary = "Pass the sizes of dimensions with bounds to the functions that run loops to them";
  let description = [{
    Whatever asks for one (`graph.runtime_size`) becomes an argument, of its function and of all that lead to it.
  }];
}
def OutlineParts : Pass<"cpu-outline-parts", "::mlir::ModuleOp"> {
  let summary = "Move the body of each split loop into a function that runs one part";
  let description = [{
    The function takes the part's number and what the body reads from outside; the loop becomes one call, marked by the
    callee's `graph.parts`. Memory that the body allocates is the part's own.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}
def FlushDenormals : Pass<"cpu-flush-denormals", "::mlir::ModuleOp"> {
  let summary = "Treat denormal numbers as zero while an entry function runs (x86)";
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}
def NeedProcessor : Pass<"cpu-need-processor", "::mlir::ModuleOp"> {
  let summary = "Have entry functions that run loops check that the processor is one that they are compiled for (x86)";
  let description = [{
    Where kernels use tile registers (AMX), they ask the system for them.
  }];
  let options = [Option<"features", "features", "uint64_t", "0", "A mask, as lib/Runtime/Processor.h numbers features">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}
def LowerToLlvm : Pass<"cpu-lower-to-llvm", "::mlir::func::FuncOp"> {
  let summary = "Convert a kernel's body to the LLVM dialect";
  let description = [{
    One conversion of arithmetic, memory, vectors and branches together, a function at a time, so that functions are
    converted side by side. Functions and calls themselves are left to `convert-func-to-llvm`.
  }];
  let options = [Option<"roundsToBf16", "rounds-to-bf16", "bool", "false", "The processor has an instruction for it; else bf16 becomes i16">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}
def CheckSizes : Pass<"cpu-check-sizes", "::mlir::ModuleOp"> {
  let summary = "Refuse sizes past the bounds that buffers were planned for";
  let description = [{
    On the LLVM dialect: an entry function that takes sizes returns a message, or null when it has run.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}
def LaunchParts : Pass<"cpu-launch-parts", "::mlir::ModuleOp"> {
  let summary = "Call the thread pool of the runtime where a function runs in parts";
  let description = [{
    On the LLVM dialect: the arguments of such a call go into a frame on the stack; `gradus_parallel` hands the frame and
    each part's number to a function that unpacks it.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}
def LowerCopies : Pass<"cpu-lower-copies", "::mlir::ModuleOp"> {
  let summary = "Lower memref.copy to kernels that equal copies share";
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::func::FuncDialect"];
}
def ModelLocations : Pass<"cpu-model-locations", "::mlir::ModuleOp"> {
  let summary = "Give every op the line of the model that it comes from";
  let description = [{
    Names and call sites go; what the standard library did stands at the line that called it. Debuggers and profilers
    then show lines of the model.
  }];
}
def ApproximateMath : Pass<"approximate-math"> {
  let summary = "Replace exp, log, tanh, erf, sin and cos on f32 by polynomials that vectorise, and rounding to bf16 by integer operations";
  let options = [Option<"roundsToBf16", "rounds-to-bf16", "bool", "false", "The processor has an instruction for it">,
                 Option<"all", "all", "bool", "false", "There is no library of functions: replace all of them">];
  let dependentDialects = ["::mlir::vector::VectorDialect", "::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

//===----------------------------------------------------------------------===//
// Gpu: kernels -> launches of GPU kernels -> PTX
//===----------------------------------------------------------------------===//

def LowerToLaunches : Pass<"gpu-lower-to-launches", "::mlir::ModuleOp"> {
  let summary = "Lower linalg on buffers to GPU kernels, and to launches of them";
  let description = [{
    A sum of products - matmul, einsum, convolution and its gradients - is one kernel with the op that follows it, and a
    second one where it is split along a deep sum. The ops of a row group are one kernel, a block for each row. Every
    other op is one: a thread has a result, or threads share a long sum. Sums are added up in a fixed order.
  }];
  let options = [Option<"precision", "precision", "std::string", "\"strict\"",
                        "How f32 is multiplied: strict, f32 (three products of tf32), tf32, f16, bf16">,
                 Option<"chip", "chip", "std::string", "\"sm_80\"", "What the kernels are for, such as sm_90a">,
                 Option<"packing", "packing", "std::string", "\"auto\"",
                        "Copy operands of tensor cores to where they are read best: auto, always, never">];
  let dependentDialects = ["::mlir::gpu::GPUDialect", "::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::affine::AffineDialect"];
}
def HostMemory : Pass<"gpu-host-memory", "::mlir::ModuleOp"> {
  let summary = "Copy inputs to the device and outputs from it, and read what the host decides by";
  let dependentDialects = ["::mlir::memref::MemRefDialect"];
}
def LowerMath : Pass<"gpu-lower-math"> {
  let summary = "Square roots, rounding and the like as intrinsics that a GPU has instructions for";
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}
def CompileKernels : Pass<"gpu-compile-kernels", "::mlir::ModuleOp"> {
  let summary = "Compile the kernels, now in the LLVM dialect, to PTX: an attribute of the module";
  let options = [Option<"chip", "chip", "std::string", "\"sm_80\"", "sm_80 or later">,
                 Option<"cubin", "cubin", "bool", "false", "Assemble them as well (ptxas or nvJitLink)">];
}
def LaunchKernels : Pass<"gpu-launch-kernels", "::mlir::ModuleOp"> {
  let summary = "Call the GPU's runtime where kernels are launched and memory is copied";
  let description = [{
    On the LLVM dialect: the PTX becomes a constant of the object; entry functions return a message, or null.
  }];
  let options = [Option<"architecture", "architecture", "int64_t", "0", "10 major + minor that a cubin is for">,
                 Option<"hasHost", "has-host", "bool", "false", "The functions get code for the CPU too">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

#endif // GRADUS_PASSES
