//===- Constants.cpp - a checkpoint's values in the object ----------------===//
//
// Gives the constants of a frozen model their bytes: as the model has them, or
// in panels where a product reads them so.
//
//===----------------------------------------------------------------------===//

#include "Constants.h"
#include "gradus/Compiler.h"
#include "gradus/Lowering.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Module.h"

using namespace gradus;

/// A matrix in panels of `panel` columns, step after step; what lies past its
/// columns is zero. `panels` as in lowering::panelsAttr.
static void packPanels(const HostTensor &from, ArrayRef<int64_t> panels,
                       char *to) {
  int64_t panel = panels[0], depth = panels[1], columns = panels[2];
  int64_t stepStride = panels[3], columnStride = panels[4];
  int64_t bytes = dtypeBytes(from.type);
  for (int64_t first = 0; first < columns; first += panel)
    for (int64_t step = 0; step < depth; ++step)
      for (int64_t j = first; j < std::min(first + panel, columns); ++j)
        std::memcpy(to + ((first * depth) + step * panel + j - first) * bytes,
                    from.bytes.data() +
                        (step * stepStride + j * columnStride) * bytes,
                    bytes);
}

llvm::Expected<Checkpoint>
gradus::readConstants(StringRef path, ArrayRef<VariableInfo> variables) {
  auto c = readSafetensors(path);
  if (!c)
    return c.takeError();
  std::string wrong;
  for (const VariableInfo &v : variables) {
    auto it = c->tensors.find(v.name);
    if (it == c->tensors.end())
      wrong += "\n  " + v.name + ": " + v.type.str() +
               " in the model, not in the checkpoint";
    else if (it->second.type != v.type.type || it->second.shape != v.type.shape)
      wrong += "\n  " + v.name + ": " + v.type.str() + " in the model, " +
               it->second.str() + " in the checkpoint";
  }
  if (!wrong.empty())
    return llvm::createStringError(path + ": does not fit the model:" + wrong);
  return c;
}

void gradus::embedConstants(llvm::Module &module, ArrayAttr constants,
                            const Checkpoint &checkpoint) {
  llvm::GlobalVariable *block =
      module.getNamedGlobal(lowering::constantsSymbol);
  if (!block)
    return;
  std::string bytes(block->getValueType()->getArrayNumElements(), 0);
  for (Attribute a : constants) {
    auto constant = cast<DictionaryAttr>(a);
    const HostTensor &value =
        checkpoint.tensors.at(constant.getAs<StringAttr>("name").str());
    char *to = bytes.data() + constant.getAs<IntegerAttr>("offset").getInt();
    auto panels = constant.getAs<DenseI64ArrayAttr>("panels").asArrayRef();
    if (panels.empty())
      std::memcpy(to, value.bytes.data(), value.bytes.size());
    else
      packPanels(value, panels, to);
  }
  block->setInitializer(llvm::ConstantDataArray::getRaw(
      bytes, bytes.size(), llvm::Type::getInt8Ty(module.getContext())));
  block->setConstant(true);
}
