//===- AlongAxis0.cpp - loops along other axes -> along the first ---------===//

#include "dialects/graph/Build.h"
#include "gradus/Expand.h"

using namespace gradus;
using namespace gradus::graph;

void gradus::walkAlongAxis0(Operation *root,
                            function_ref<void(Value, Value)> replaced) {
  SmallVector<ForOp> loops;
  root->walk([&](ForOp loop) {
    if (loop.getAxis())
      loops.push_back(loop);
  });
  for (ForOp loop : loops) {
    ImplicitLocOpBuilder b(withoutName(loop.getLoc()), loop);
    auto axis = int64_t(loop.getAxis());
    auto permuted = [&](Value v, bool toFront) -> Value {
      int64_t at = Shape(v).axis(axis);
      return (toFront ? moveAxis(V(&b, v), at, 0) : moveAxis(V(&b, v), 0, at))
          .value();
    };
    SmallVector<Value> sources;
    for (Value v : loop.getSources())
      sources.push_back(permuted(v, true));
    SmallVector<Type> types(loop.getFinals().getTypes());
    for (Value v : loop.getStacks()) {
      Shape s(v);
      int64_t at = s.axis(axis);
      Dim steps = s[at];
      s.dims.erase(s.dims.begin() + at);
      s.dims.insert(s.dims.begin(), steps);
      types.push_back(s.type());
    }
    auto along0 = ForOp::create(b, loop.getLoc(), types, loop.getInitial(),
                                sources, loop.getCountsAttr(), /*axis=*/0,
                                loop.getReverse(), loop.getCheckpoint());
    along0.getBody().takeBody(loop.getBody());
    b.setInsertionPointAfter(along0);
    for (auto [from, to] : llvm::zip(loop.getResults(), along0.getResults())) {
      bool isStack = from.getResultNumber() >= loop.getInitial().size();
      Value now = isStack ? permuted(to, false) : Value(to);
      from.replaceAllUsesWith(now);
      replaced(from, now);
    }
    loop.erase();
  }
}
