//===- Selection.cpp - what to keep over a point --------------------------===//

#include "Selection.h"
#include "MinimumCut.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace gradus;
using namespace gradus::graph;

namespace {
/// A tensor made before the point, and two choices: is it there after the
/// point, and if so, because it is computed again?
struct Tensor {
  Value value;
  int64_t bytes = 0; ///< if it is kept
  int64_t operations = 0;
  bool isNeeded = false; ///< by what comes after the point
  Choices::Id there = 0, again = 0;
};

class Point {
public:
  Point(const Occupancy &now, const Costs &costs, int64_t at)
      : costs(costs), at(at) {
    for (const auto &[v, s] : now.tensors) {
      bool isUsedHere =
          llvm::any_of(s.uses, [&](const Use &u) { return u.at == at; });
      if (s.first >= at || isUsedHere) {
        if (s.first <= at && s.last >= at)
          others += s.bytes; // whatever is chosen
        continue;
      }
      index[v] = unsigned(tensors.size());
      tensors.push_back(tensor(v, s));
    }
  }

  Selection select(double operationsPerByte) {
    Choices choices;
    auto price = [&](int64_t bytes) {
      return int64_t(operationsPerByte * double(bytes));
    };
    for (Tensor &t : tensors) {
      t.there = choices.add();
      t.again = choices.add();
      choices.price(t.there, price(t.bytes));
      if (t.operations == Choices::never)
        choices.price(t.again, Choices::never);
      else
        choices.price(t.again, t.operations - price(t.bytes));
      choices.demand(t.again, t.there);
      if (t.isNeeded)
        choices.demand(t.there);
    }
    for (const Tensor &t : tensors)
      for (Value operand : t.value.getDefiningOp()->getOperands())
        if (auto other = index.find(storageOf(operand)); other != index.end())
          choices.demand(t.again, tensors[other->second].there);
    choices.solve();
    Selection s;
    s.bytes = others;
    for (const Tensor &t : tensors) {
      if (choices.isYes(t.again)) {
        s.again.insert(t.value);
        s.operations += double(t.operations);
      } else if (choices.isYes(t.there)) {
        s.bytes += t.bytes;
      }
    }
    return s;
  }

private:
  Tensor tensor(Value v, const Stored &s) const {
    Operation *op = v.getDefiningOp();
    Tensor t;
    t.value = v;
    t.isNeeded = s.last > at;
    // Something that nothing needs now would be a tensor if it were kept.
    bool isKept = s.last > at || isa<ConstantOp>(op);
    t.bytes = isKept ? s.bytes : costs.bytes(v);
    bool isRead = llvm::any_of(s.uses, [&](const Use &u) { return u.at < at; });
    if (!mlir::isPure(op) || isa<HasBodies>(op))
      t.operations = Choices::never;
    else if (isRead) // else it is computed later, not again
      t.operations = int64_t(costs.operations(op));
    return t;
  }

  const Costs &costs;
  int64_t at;
  int64_t others = 0;
  std::vector<Tensor> tensors;
  llvm::DenseMap<Value, unsigned> index;
};
} // namespace

BestSelections gradus::selectWithin(const Occupancy &now, const Costs &costs,
                                    int64_t at, int64_t limit) {
  Point point(now, costs, at);
  BestSelections best;
  // Prices from far below one operation for all bytes to more operations for a
  // byte than any product takes, halved by their logarithms.
  double low = -40, high = 20;
  constexpr int halvings = 24;
  for (int i = 0; i < halvings; ++i) {
    double middle = (low + high) / 2, price = std::exp2(middle);
    Selection s = point.select(price);
    best.leastOperations = std::max(
        best.leastOperations, s.operations + price * double(s.bytes - limit));
    bool fits = s.bytes <= limit;
    (fits ? high : low) = middle;
    (fits ? best.within : best.near) = std::move(s);
  }
  return best;
}
