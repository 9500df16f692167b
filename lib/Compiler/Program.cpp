//===- Program.cpp - a compiled model in this process ---------------------===//

#include "gradus/Compiler.h"
#include "gradus/Lowering.h"
#include "lib/Runtime/Parallel.h"
#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include <sys/mman.h>

using namespace gradus;

/// Memory from a multiple of 64 bytes on. A large block asks for large pages:
/// products read many rows at a time, each on a page of its own (training steps
/// take some 3 % less).
static char *allocateBlock(int64_t bytes) {
  constexpr int64_t line = 64, hugePage = 2 << 20;
  int64_t unit = bytes >= hugePage ? hugePage : line;
  int64_t size = llvm::alignTo(std::max<int64_t>(bytes, line), unit);
  void *block = std::aligned_alloc(unit, size);
#ifdef MADV_HUGEPAGE
  if (block && unit == hugePage)
    (void)::madvise(block, size, MADV_HUGEPAGE);
#endif
  return static_cast<char *>(block);
}

Block64::Block64(int64_t bytes)
    : bytes(bytes), begin(allocateBlock(bytes), Free{::free, nullptr}) {
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

/// Calls a function of `I...` pointers. Sizes, of 64 bits, are passed as such.
template <typename Result, size_t... I>
static Result callPointers(void *f, void *const *args,
                           std::index_sequence<I...>) {
  return reinterpret_cast<Result (*)(
      decltype((void)I, static_cast<void *>(nullptr))...)>(f)(args[I]...);
}
template <size_t N> static const char *callWith(void *f, void *const *args) {
  callPointers<void>(f, args, std::make_index_sequence<N>());
  return nullptr;
}
/// Of a function that takes sizes, and says what is wrong with them.
template <size_t N> static const char *callSized(void *f, void *const *args) {
  return callPointers<const char *>(f, args, std::make_index_sequence<N>());
}
using Caller = const char *(*)(void *, void *const *);
template <size_t... N>
static constexpr std::array<std::array<Caller, sizeof...(N)>, 2>
callers(std::index_sequence<N...>) {
  return {{{callWith<N>...}, {callSized<N>...}}};
}
static constexpr auto callerOf =
    callers(std::make_index_sequence<mostPointers + 1>());

llvm::Expected<Program> Program::of(Compilation &c) {
  c.options().modelLines = false;
  auto objects = c.objects();
  if (!objects)
    return objects.takeError();
  return load(*objects, c.interface());
}

llvm::Expected<Program> Program::load(ArrayRef<Object> objects,
                                      ModelInterface model) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  llvm::InitializeNativeTargetAsmParser();
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
  for (const Object &object : objects)
    if (auto e = (*jit)->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(
            StringRef(object.data(), object.size()), model.name)))
      return std::move(e);
  Program program(std::move(*jit), std::move(model));
  if (program.model.gpu)
    if (auto e = program.openGpu())
      return std::move(e);
  for (const FunctionInterface &f : program.model.functions) {
    if (f.inputs.size() + f.outputs.size() + f.sizes.size() + 2 > mostPointers)
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

/// A function that a GPU model exports under its name.
template <typename F>
llvm::Expected<F *> Program::exported(StringRef name) const {
  auto address = jit->lookup(cFunctionName(model.name, name));
  if (!address)
    return address.takeError();
  return address->toPtr<F *>();
}

llvm::Error Program::openGpu() {
  auto device = exported<const char *(int32_t)>("device");
  if (!device)
    return device.takeError();
  if (const char *problem = (*device)(0))
    return llvm::createStringError(problem);
  auto share = exported<void *(int64_t)>("allocate_shared");
  auto release = exported<void(void *)>("release");
  if (!share || !release)
    return llvm::joinErrors(share.takeError(), release.takeError());
  shareMemory = *share;
  releaseMemory = *release;
  return llvm::Error::success();
}

Block64 Program::memory(int64_t bytes) const {
  if (!model.gpu)
    return Block64(bytes);
  auto *memory = static_cast<char *>(shareMemory(bytes));
  if (!memory)
    llvm::report_bad_alloc_error("a model's memory on the GPU");
  std::memset(memory, 0, std::max<int64_t>(bytes, 0));
  return {bytes, memory, {releaseMemory, jit}};
}

llvm::Error Program::call(const FunctionInterface &function, void *variables,
                          ArrayRef<const void *> inputs,
                          ArrayRef<void *> outputs, void *arena) const {
  if (const char *problem = bind(function, variables, inputs, outputs, arena)())
    return llvm::createStringError(problem);
  return llvm::Error::success();
}

Program::Call Program::bind(const FunctionInterface &function, void *variables,
                            ArrayRef<const void *> inputs,
                            ArrayRef<void *> outputs, void *arena,
                            ArrayRef<int64_t> sizes) const {
  Call call;
  if (!model.variables.empty())
    call.args.push_back(variables);
  for (const void *p : inputs) // compiled code does not write them
    call.args.push_back(const_cast<void *>(p));
  llvm::append_range(call.args, outputs);
  for (auto [i, size] : llvm::enumerate(function.sizes)) {
    int64_t n = sizes.empty() ? size.most : sizes[i];
    call.args.push_back(reinterpret_cast<void *>(n));
  }
  call.args.push_back(arena);
  assert(call.args.size() <= mostPointers && "load refuses such a function");
  call.caller =
      callerOf[model.gpu || !function.sizes.empty()][call.args.size()];
  call.function = addresses.lookup(function.name);
  return call;
}
