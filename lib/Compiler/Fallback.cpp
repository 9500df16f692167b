//===- Fallback.cpp - code for the CPU beside a GPU model's ---------------===//
//
// An entry function of a model with both asks the runtime which device was
// chosen, and calls its one or its other self:
//
//   m_step(..) { return gradus_gpu_on_host(&model) ? (m_step.cpu(..), NULL)
//                                                  : m_step.gpu(..); }
//
//===----------------------------------------------------------------------===//

#include "Fallback.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"

using namespace gradus;

static void choose(llvm::Module &module, StringRef name) {
  llvm::Function *gpu = module.getFunction((name + ".gpu").str()),
                 *cpu = module.getFunction((name + ".cpu").str());
  auto *entry = llvm::Function::Create(
      gpu->getFunctionType(), llvm::GlobalValue::ExternalLinkage, name, module);
  llvm::LLVMContext &ctx = module.getContext();
  auto block = [&](const char *label) {
    return llvm::BasicBlock::Create(ctx, label, entry);
  };
  auto *start = block("start"), *onHost = block("host"), *onGpu = block("gpu");
  llvm::IRBuilder<> b(start);
  SmallVector<llvm::Value *> args;
  for (llvm::Argument &a : entry->args())
    args.push_back(&a);
  llvm::Value *answer =
      b.CreateCall(module.getFunction("gradus_gpu_on_host"),
                   {module.getGlobalVariable("gpu.model", true)});
  b.CreateCondBr(b.CreateIsNotNull(answer), onHost, onGpu);
  b.SetInsertPoint(onHost);
  llvm::Value *result = b.CreateCall(cpu, args);
  // What is wrong with a size, where the call says one.
  if (cpu->getReturnType() != entry->getReturnType())
    result = llvm::Constant::getNullValue(entry->getReturnType());
  b.CreateRet(result);
  b.SetInsertPoint(onGpu);
  b.CreateRet(b.CreateCall(gpu, args));
}

llvm::Error gradus::addFallback(llvm::Module &gpu,
                                std::unique_ptr<llvm::Module> cpu,
                                ArrayRef<std::string> entries) {
  for (const std::string &name : entries) {
    gpu.getFunction(name)->setName(name + ".gpu");
    cpu->getFunction(name)->setName(name + ".cpu");
  }
  if (llvm::Linker::linkModules(gpu, std::move(cpu)))
    return llvm::createStringError("the code for CPU and GPU does not link");
  for (const std::string &name : entries) {
    for (const char *half : {".gpu", ".cpu"})
      gpu.getFunction(name + half)
          ->setLinkage(llvm::GlobalValue::InternalLinkage);
    choose(gpu, name);
  }
  return llvm::Error::success();
}
