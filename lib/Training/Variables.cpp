//===- Variables.cpp - a model's variables and its checkpoints ------------===//

#include "gradus/Training.h"

using namespace gradus;

Checkpoint Variables::save() const {
  Checkpoint c;
  c.metadata["format"] = "gradus";
  c.metadata["model"] = model.name;
  for (const VariableInfo &v : model.variables) {
    HostTensor t(v.type);
    std::memcpy(t.bytes.data(), block.data() + v.offset, t.bytes.size());
    c.tensors[v.name] = std::move(t);
  }
  return c;
}

llvm::Error Variables::load(const Checkpoint &c, StringRef path) {
  std::string wrong = whatDoesNotFit(c, model.variables);
  for (const auto &[name, t] : c.tensors)
    if (llvm::none_of(model.variables,
                      [&, &name = name](const VariableInfo &v) {
                        return v.name == name;
                      }))
      wrong += "\n  " + name + ": " + t.str() +
               " in the checkpoint, not in the model";
  if (!wrong.empty())
    return llvm::createStringError(
        path + ": this checkpoint is of another model than '" + model.name +
        "':" + wrong);
  for (const VariableInfo &v : model.variables) {
    const HostTensor &t = c.tensors.at(v.name);
    std::memcpy(block.data() + v.offset, t.bytes.data(), t.bytes.size());
  }
  return llvm::Error::success();
}
