//===- ModelScope.h - what a model has declared so far ----------*- C++ -*-===//
//
// The parser meets a call before the model op exists, so calls find their
// callees here.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_MODELSCOPE_H
#define GRADUS_GRAPH_MODELSCOPE_H

#include "gradus/Graph.h"

namespace gradus::graph {

struct ModelScope {
  struct Function {
    Signature signature;
    SmallVector<Value> params; ///< used by it and its callees, in order
  };
  llvm::StringMap<Function> functions;

  static thread_local ModelScope *current;

  ModelScope() : outer(current) { current = this; }
  ~ModelScope() {
    current = outer;
    namesInScope = std::move(outerNames);
  }
  ModelScope(const ModelScope &) = delete;
  ModelScope &operator=(const ModelScope &) = delete;

private:
  ModelScope *outer;
  SmallVector<std::string> outerNames = std::exchange(namesInScope, {});
};

} // namespace gradus::graph

#endif // GRADUS_GRAPH_MODELSCOPE_H
