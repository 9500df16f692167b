//===- Program.cpp - a compiled model in this process ---------------------===//

#include "gradus/Compiler.h"
#include "gradus/Lowering.h"
#include "lib/Runtime/Parallel.h"
#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"

using namespace gradus;

Block64::Block64(int64_t bytes)
    : bytes(bytes), begin(static_cast<char *>(std::aligned_alloc(
                        64, llvm::alignTo(std::max<int64_t>(bytes, 64), 64)))) {
  if (!begin)
    llvm::report_bad_alloc_error("a model's memory");
  std::memset(begin.get(), 0, std::max<int64_t>(bytes, 64));
}

Program::Program(std::unique_ptr<llvm::orc::LLJIT> jit, ModelInterface model)
    : jit(std::move(jit)), model(std::move(model)) {}
Program::Program(Program &&) = default;
Program::~Program() = default;

/// A call is a template for each number of pointers.
static constexpr size_t mostPointers = 64;

/// Calls a function of `n` pointers.
template <size_t... I>
static void callPointers(void *f, void *const *args,
                         std::index_sequence<I...>) {
  reinterpret_cast<void (*)(
      decltype((void)I, static_cast<void *>(nullptr))...)>(f)(args[I]...);
}
template <size_t N = 0> static void dispatch(void *f, ArrayRef<void *> args) {
  if (args.size() == N)
    return callPointers(f, args.data(), std::make_index_sequence<N>());
  if constexpr (N < mostPointers)
    return dispatch<N + 1>(f, args);
  llvm_unreachable("Program::load refuses such a function");
}

llvm::Expected<Program> Program::load(ArrayRef<char> object,
                                      ModelInterface model) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  auto jit = llvm::orc::LLJITBuilder().create();
  if (!jit)
    return jit.takeError();
  // libm and libc are this process's, and so is the thread pool: threads that
  // wait in an object's own would outlive it.
  auto &library = (*jit)->getMainJITDylib();
  if (auto e = library.define(llvm::orc::absoluteSymbols(
          {{(*jit)->mangleAndIntern(lowering::parallelFunction),
            llvm::orc::ExecutorSymbolDef::fromPtr(&gradus_parallel)}})))
    return std::move(e);
  auto buffer = llvm::MemoryBuffer::getMemBufferCopy(
      StringRef(object.data(), object.size()), model.name);
  if (auto e = (*jit)->addObjectFile(std::move(buffer)))
    return std::move(e);
  Program program(std::move(*jit), std::move(model));
  for (const FunctionInterface &f : program.model.functions) {
    if (f.inputs.size() + f.outputs.size() + 2 > mostPointers)
      return llvm::createStringError("@" + f.name + " has more than " +
                                     Twine(mostPointers - 2) +
                                     " inputs and outputs; link its object "
                                     "with a program of your own");
    auto address =
        program.jit->lookup(cFunctionName(program.model.name, f.name));
    if (!address)
      return address.takeError();
    program.addresses[f.name] = address->toPtr<void *>();
  }
  return program;
}

void Program::call(const FunctionInterface &function, void *variables,
                   ArrayRef<const void *> inputs, ArrayRef<void *> outputs,
                   void *arena) {
  SmallVector<void *> args;
  if (!model.variables.empty())
    args.push_back(variables);
  for (const void *p : inputs)
    args.push_back(const_cast<void *>(p)); // compiled code does not write them
  llvm::append_range(args, outputs);
  args.push_back(arena);
  dispatch(addresses.lookup(function.name), args);
}
