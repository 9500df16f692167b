//===- Units.cpp - one module compiled as several -------------------------===//

#include "Units.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace gradus;

namespace {
/// Functions that stay together: a kernel, its parts, what launches them.
struct KernelFunctions {
  SmallVector<llvm::Function *> functions;
  size_t instructions = 0;
};
using Unit = llvm::SmallPtrSet<const llvm::GlobalValue *, 16>;
} // namespace

/// `kernel3` for kernel3, kernel3.part0, kernel3.part0.unpack; empty for what
/// belongs to no kernel.
static StringRef kernelOf(const llvm::Function &f) {
  StringRef name = f.getName().split('.').first;
  return f.hasLocalLinkage() && name.starts_with("kernel") ? name : "";
}

static SmallVector<char, 0> cloned(const llvm::Module &module,
                                   const Unit &unit) {
  llvm::ValueToValueMapTy map;
  auto part =
      llvm::CloneModule(module, map, [&](const llvm::GlobalValue *value) {
        // Each unit has its own copy of the numbers that it reads.
        return unit.contains(value) ||
               (isa<llvm::GlobalVariable>(value) && value->hasLocalLinkage());
      });
  for (llvm::GlobalVariable &g : llvm::make_early_inc_range(part->globals()))
    if (g.use_empty())
      g.eraseFromParent();
  for (llvm::Function &f : llvm::make_early_inc_range(*part))
    if (f.isDeclaration() && f.use_empty())
      f.eraseFromParent();
  SmallVector<char, 0> bitcode;
  llvm::raw_svector_ostream os(bitcode);
  llvm::WriteBitcodeToFile(*part, os);
  return bitcode;
}

std::vector<SmallVector<char, 0>>
gradus::splitIntoUnits(std::unique_ptr<llvm::Module> module, unsigned most) {
  llvm::MapVector<StringRef, KernelFunctions> kernels;
  Unit rest;
  for (llvm::Function &f : *module) {
    if (f.isDeclaration())
      continue;
    StringRef name = kernelOf(f);
    if (name.empty()) {
      rest.insert(&f);
      continue;
    }
    kernels[name].functions.push_back(&f);
    kernels[name].instructions += f.getInstructionCount();
  }
  // The largest first, each to the unit that has least.
  SmallVector<KernelFunctions *> bySize;
  for (auto &[name, kernel] : kernels)
    bySize.push_back(&kernel);
  llvm::sort(bySize, [](auto *a, auto *b) {
    return std::pair(b->instructions, a) < std::pair(a->instructions, b);
  });
  size_t count = most ? most : bySize.size();
  std::vector<std::pair<size_t, Unit>> units(count);
  for (KernelFunctions *kernel : bySize) {
    auto least = llvm::min_element(
        units, [](auto &a, auto &b) { return a.first < b.first; });
    least->first += kernel->instructions;
    least->second.insert(kernel->functions.begin(), kernel->functions.end());
  }
  // Called from another unit, but nobody else's business.
  std::string prefix = module->getModuleIdentifier() + ".";
  for (auto &[name, kernel] : kernels)
    for (llvm::Function *f : kernel.functions)
      if (!f->getName().contains('.')) {
        f->setLinkage(llvm::GlobalValue::ExternalLinkage);
        f->setVisibility(llvm::GlobalValue::HiddenVisibility);
        f->setName(prefix + f->getName());
      }
  // First: it is the largest, and what comes last should be small.
  units.insert(units.begin(), {0, rest});
  std::vector<SmallVector<char, 0>> bitcode;
  for (auto &[size, unit] : units)
    if (!unit.empty())
      bitcode.push_back(cloned(*module, unit));
  return bitcode;
}

//===----------------------------------------------------------------------===//
// The cache
//===----------------------------------------------------------------------===//

static constexpr size_t digestBytes = 32;

static std::array<uint8_t, digestBytes> digest(ArrayRef<char> bytes,
                                               StringRef more) {
  llvm::SHA256 hash;
  hash.update(more);
  hash.update(StringRef(bytes.data(), bytes.size()));
  return hash.final();
}

ObjectCache::ObjectCache(StringRef folder, StringRef target)
    : folder(folder), target(target) {}

std::string ObjectCache::pathOf(ArrayRef<char> unit) const {
  return folder + "/" + llvm::toHex(digest(unit, target), /*LowerCase=*/true) +
         ".o";
}

/// An entry is the object followed by its digest: what a crash of the machine
/// left half-written is not taken for an object.
std::optional<Object> ObjectCache::find(ArrayRef<char> unit) const {
  auto buffer = llvm::MemoryBuffer::getFile(pathOf(unit));
  if (!buffer || (*buffer)->getBufferSize() < digestBytes)
    return std::nullopt;
  StringRef bytes = (*buffer)->getBuffer();
  ArrayRef<char> object(bytes.data(), bytes.size() - digestBytes);
  auto sum = digest(object, "");
  if (std::memcmp(sum.data(), object.end(), digestBytes) != 0)
    return std::nullopt;
  return Object(object.begin(), object.end());
}

llvm::Error ObjectCache::store(ArrayRef<char> unit,
                               const Object &object) const {
  if (auto code = llvm::sys::fs::create_directories(folder))
    return llvm::createStringError(code, folder + ": " + code.message());
  std::string path = pathOf(unit);
  auto temporary = llvm::sys::fs::TempFile::create(path + ".%%%%%%%%.tmp");
  if (!temporary)
    return temporary.takeError();
  llvm::raw_fd_ostream os(temporary->FD, /*shouldClose=*/false);
  os.write(object.data(), object.size());
  auto sum = digest(object, "");
  os.write(reinterpret_cast<const char *>(sum.data()), sum.size());
  os.flush();
  if (os.has_error()) {
    auto code = os.error();
    os.clear_error();
    llvm::consumeError(temporary->discard());
    return llvm::createStringError(code, path + ": " + code.message());
  }
  return temporary->keep(path);
}
