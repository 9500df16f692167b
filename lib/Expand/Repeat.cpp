//===- Repeat.cpp - functions applied again and again ---------------------===//

#include "Repeat.h"
#include "dialects/graph/Control.h"
#include "gradus/Expand.h"
#include "llvm/ADT/SetVector.h"

using namespace gradus;
using namespace gradus::graph;

void gradus::writeAsLoop(RepeatOp repeat) {
  ImplicitLocOpBuilder b(repeat.getLoc(), repeat);
  size_t carries = repeat.getNumResults();
  std::string prefix;
  if (auto own = repeat.getPrefix())
    prefix = own->str();
  else if (auto name = repeat.getLoc()->findInstanceOf<NameLoc>())
    prefix = name.getName().str();
  auto step = [&](Value, ValueRange now, ValueRange) -> ForOp::Yields {
    SmallVector<Value> inputs(now);
    llvm::append_range(inputs, repeat.getInputs().drop_front(carries));
    auto call =
        CallOp::create(b, now.getTypes(), repeat.getCalleeAttr(), inputs,
                       b.getStringAttr(prefix), repeat.getOptionsAttr(),
                       ArrayAttr(), ArrayAttr());
    return {SmallVector<Value>(call.getResults()), {}};
  };
  auto loop =
      ForOp::make(b, repeat.getInputs().take_front(carries), {},
                  countsType(b.getContext(), Dim{int64_t(repeat.getTimes())}),
                  /*reverse=*/false, step);
  for (auto [arg, input] : llvm::zip(loop.getCarries(), loop.getInitial()))
    if (StringRef name = nameOf(input); !name.empty())
      arg.setLoc(NameLoc::get(b.getStringAttr(name), b.getLoc()));
  loop->setAttr(repeatAttr, b.getStringAttr(prefix));
  repeat.replaceAllUsesWith(loop.getResults());
  repeat.erase();
}

/// The variables under the prefix that nothing outside the loop reads.
static SmallVector<Operation *> ownVariables(ForOp loop, StringRef prefix) {
  llvm::SetVector<Operation *> variables;
  loop.getBody().walk([&](Operation *op) {
    for (Value v : op->getOperands())
      if (Operation *d = v.getDefiningOp(); d && variableName(d))
        variables.insert(d);
  });
  return llvm::to_vector(
      llvm::make_filter_range(variables.getArrayRef(), [&](Operation *v) {
        return variableName(v).getValue().starts_with((prefix + ".").str()) &&
               llvm::all_of(v->getUsers(), [&](Operation *user) {
                 return loop->isProperAncestor(user);
               });
      }));
}

/// A variable of one more axis in the place of `one`.
static Value stacked(Operation *one, const Dim &times) {
  OpBuilder b(one);
  Operation *all = b.clone(*one);
  Shape s(one->getResult(0));
  s.dims.insert(s.dims.begin(), times);
  all->getResult(0).setType(s.type());
  auto init = one->getAttrOfType<StringAttr>("init").getValue();
  if (init.starts_with("he_") || init.starts_with("glorot_")) {
    NamedAttrList options(one->getAttrOfType<DictionaryAttr>("options"));
    auto before = dyn_cast_or_null<IntegerAttr>(options.get("stacked"));
    options.set("stacked",
                b.getI64IntegerAttr((before ? before.getInt() : 0) + 1));
    all->setAttr("options", options.getDictionary(b.getContext()));
  }
  return all->getResult(0);
}

void gradus::stackRepeatedVariables(ModelOp model) {
  SmallVector<ForOp> loops; // inner ones first
  model.walk([&](ForOp loop) {
    if (loop->hasAttr(repeatAttr))
      loops.push_back(loop);
  });
  for (ForOp loop : loops) {
    auto prefix = loop->getAttrOfType<StringAttr>(repeatAttr).getValue();
    SmallVector<Operation *> variables = ownVariables(loop, prefix);
    loop->removeAttr(repeatAttr);
    for (Operation *one : variables) {
      Value all = stacked(one, loop.getSteps());
      Value slice = loop.getBody().addArgument(one->getResult(0).getType(),
                                               one->getLoc());
      loop.getSourcesMutable().append(all);
      one->getResult(0).replaceAllUsesWith(slice);
      one->erase();
    }
  }
}
