//===- Assemble.cpp - PTX -> machine code of a GPU ------------------------===//
//
// By what a CUDA toolkit has: its program ptxas, or its library nvJitLink. Not
// needed to run: the driver assembles PTX when a model is loaded.
//
//===----------------------------------------------------------------------===//

#include "gradus/Pipeline.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/DynamicLibrary.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace gradus;
namespace sys = llvm::sys;
using llvm::sys::DynamicLibrary;

/// Where toolkits are: as the environment says, else the usual place.
static SmallVector<std::string> toolkits() {
  SmallVector<std::string> homes;
  for (const char *variable : {"CUDA_HOME", "CUDA_PATH"})
    if (auto home = sys::Process::GetEnv(variable); home && !home->empty())
      homes.push_back(*home);
  if (homes.empty())
    homes.push_back("/usr/local/cuda");
  return homes;
}

//===----------------------------------------------------------------------===//
// ptxas
//===----------------------------------------------------------------------===//

/// Its path; empty if it is not there.
static std::string findPtxas() {
  if (auto onPath = sys::findProgramByName("ptxas"))
    return *onPath;
  for (const std::string &home : toolkits())
    if (auto found = sys::findProgramByName("ptxas", {home + "/bin"}))
      return *found;
  return "";
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

static llvm::Expected<std::string> runPtxas(StringRef ptxas, StringRef ptx,
                                            StringRef chip) {
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
  StringRef arguments[] = {ptxas, architecture, source->first, "-o",
                           code->first};
  std::optional<StringRef> streams[] = {std::nullopt, StringRef(log->first),
                                        StringRef(log->first)};
  std::string message;
  if (sys::ExecuteAndWait(ptxas, arguments, std::nullopt, streams, 0, 0,
                          &message) != 0)
    return llvm::createStringError("ptxas failed: " + message +
                                   contentsOf(log->first));
  return contentsOf(code->first);
}

//===----------------------------------------------------------------------===//
// nvJitLink
//===----------------------------------------------------------------------===//

namespace {
/// What is used of the library's interface, which is C (nvJitLink.h).
struct JitLink {
  using Handle = void *;
  int (*create)(Handle *, uint32_t optionCount, const char **options);
  int (*addData)(Handle, int kind, const void *data, size_t size,
                 const char *name);
  int (*complete)(Handle);
  int (*cubinSize)(Handle, size_t *);
  int (*cubin)(Handle, void *);
  int (*errorSize)(Handle, size_t *);
  int (*error)(Handle, char *);
  int (*destroy)(Handle *);

  static std::optional<JitLink> find();
};
} // namespace

/// Opens a library for as long as the process lives.
static DynamicLibrary openJitLink() {
  SmallVector<std::string> folders{""}; // where the loader looks
  for (const std::string &home : toolkits())
    folders.push_back(home + "/lib64/");
  for (const std::string &folder : folders)
    for (const char *name :
         {"libnvJitLink.so.13", "libnvJitLink.so.12", "libnvJitLink.so"}) {
      auto library =
          DynamicLibrary::getPermanentLibrary((folder + name).c_str());
      if (library.isValid())
        return library;
    }
  return DynamicLibrary();
}

std::optional<JitLink> JitLink::find() {
  DynamicLibrary library = openJitLink();
  bool complete = library.isValid();
  auto get = [&](auto &function, const char *name) {
    void *symbol = complete ? library.getAddressOfSymbol(name) : nullptr;
    complete &= symbol != nullptr;
    function = reinterpret_cast<std::decay_t<decltype(function)>>(symbol);
  };
  JitLink link;
  get(link.create, "nvJitLinkCreate");
  get(link.addData, "nvJitLinkAddData");
  get(link.complete, "nvJitLinkComplete");
  get(link.cubinSize, "nvJitLinkGetLinkedCubinSize");
  get(link.cubin, "nvJitLinkGetLinkedCubin");
  get(link.errorSize, "nvJitLinkGetErrorLogSize");
  get(link.error, "nvJitLinkGetErrorLog");
  get(link.destroy, "nvJitLinkDestroy");
  return complete ? std::optional(link) : std::nullopt;
}

static llvm::Expected<std::string>
runJitLink(const JitLink &link, const std::string &ptx, StringRef chip) {
  JitLink::Handle handle = nullptr;
  std::string architecture = ("-arch=" + chip).str();
  const char *options[] = {architecture.c_str()};
  if (int code = link.create(&handle, std::size(options), options))
    return llvm::createStringError("nvJitLink knows no " + chip +
                                   " (its code " + Twine(code) + ")");
  llvm::scope_exit destroy([&] { link.destroy(&handle); });
  constexpr int kindPtx = 2;
  size_t size = 0;
  // The text with the zero after it.
  if (link.addData(handle, kindPtx, ptx.c_str(), ptx.size() + 1, "model.ptx") ||
      link.complete(handle) || link.cubinSize(handle, &size)) {
    std::string log;
    if (!link.errorSize(handle, &size)) {
      log.resize(size);
      link.error(handle, log.data());
    }
    return llvm::createStringError("nvJitLink failed: " +
                                   StringRef(log.c_str()));
  }
  std::string cubin(size, 0);
  if (link.cubin(handle, cubin.data()))
    return llvm::createStringError("nvJitLink gave no code");
  return cubin;
}

llvm::Expected<std::string> gradus::assemblePtx(StringRef ptx, StringRef chip) {
  if (std::string ptxas = findPtxas(); !ptxas.empty())
    return runPtxas(ptxas, ptx, chip);
  if (auto link = JitLink::find())
    return runJitLink(*link, ptx.str(), chip);
  return llvm::createStringError(
      "a cubin needs ptxas or libnvJitLink of NVIDIA's CUDA toolkit: there is "
      "no ptxas on PATH or in CUDA_HOME/bin, and no libnvJitLink in "
      "CUDA_HOME/lib64; PTX needs no more than the driver");
}
