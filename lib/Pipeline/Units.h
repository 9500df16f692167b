//===- Units.h - one module compiled as several -----------------*- C++ -*-===//

#ifndef GRADUS_PIPELINE_UNITS_H
#define GRADUS_PIPELINE_UNITS_H

#include "gradus/Pipeline.h"
#include "llvm/IR/Module.h"

namespace gradus {

/// Cuts a module into units that compile by themselves, each as bitcode:
/// kernels go to `most` units of even size, or one unit a kernel if `most` is
/// 0; all else is the first unit. Kernels become hidden symbols.
std::vector<SmallVector<char, 0>>
splitIntoUnits(std::unique_ptr<llvm::Module> module, unsigned most);

/// Objects by what they were made of, in a folder. Safe with several processes:
/// an entry appears whole, under its final name, or not at all.
class ObjectCache {
public:
  /// `target`: what the objects depend on beside their unit's bitcode.
  ObjectCache(StringRef folder, StringRef target);
  std::optional<Object> find(ArrayRef<char> unit) const;
  llvm::Error store(ArrayRef<char> unit, const Object &object) const;

private:
  std::string pathOf(ArrayRef<char> unit) const;
  std::string folder, target;
};

} // namespace gradus

#endif // GRADUS_PIPELINE_UNITS_H
