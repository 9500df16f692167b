//===- Assemble.cpp - PTX -> machine code of a GPU, by ptxas --------------===//
//
// Not needed to run: the driver assembles PTX when a model is loaded.
//
//===----------------------------------------------------------------------===//

#include "gradus/Pipeline.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace gradus;
namespace sys = llvm::sys;

static llvm::Expected<std::string> findPtxas() {
  SmallVector<std::string> folders;
  for (const char *variable : {"CUDA_HOME", "CUDA_PATH"})
    if (auto home = sys::Process::GetEnv(variable))
      folders.push_back(*home + "/bin");
  folders.push_back("/usr/local/cuda/bin");
  if (auto onPath = sys::findProgramByName("ptxas"))
    return *onPath;
  SmallVector<StringRef> places(folders.begin(), folders.end());
  if (auto found = sys::findProgramByName("ptxas", places))
    return *found;
  return llvm::createStringError(
      "a cubin needs ptxas of NVIDIA's CUDA toolkit, which is neither on PATH "
      "nor in CUDA_HOME/bin; PTX needs no more than the driver");
}

/// A file that goes with its holder.
static llvm::Expected<std::pair<std::string, llvm::FileRemover>>
temporaryFile(StringRef extension) {
  llvm::SmallString<128> path;
  if (auto code = sys::fs::createTemporaryFile("gradus", extension, path))
    return llvm::createStringError("no temporary file: " + code.message());
  return std::pair(path.str().str(), llvm::FileRemover(path));
}

static std::string contentsOf(StringRef path) {
  auto file = llvm::MemoryBuffer::getFile(path);
  return file ? (*file)->getBuffer().str() : "";
}

llvm::Expected<std::string> gradus::assemblePtx(StringRef ptx, StringRef chip) {
  auto ptxas = findPtxas();
  if (!ptxas)
    return ptxas.takeError();
  auto source = temporaryFile("ptx"), code = temporaryFile("cubin"),
       log = temporaryFile("log");
  for (auto *file : {&source, &code, &log})
    if (!*file)
      return file->takeError();
  std::error_code failed;
  {
    llvm::raw_fd_ostream os(source->first, failed);
    os << ptx;
  }
  if (failed)
    return llvm::createStringError(source->first + ": " + failed.message());
  std::string architecture = ("--gpu-name=" + chip).str();
  StringRef arguments[] = {*ptxas, architecture, source->first, "-o",
                           code->first};
  std::optional<StringRef> streams[] = {std::nullopt, StringRef(log->first),
                                        StringRef(log->first)};
  std::string message;
  if (sys::ExecuteAndWait(*ptxas, arguments, std::nullopt, streams, 0, 0,
                          &message) != 0)
    return llvm::createStringError("ptxas failed: " + message +
                                   contentsOf(log->first));
  return contentsOf(code->first);
}
