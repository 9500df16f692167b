//===- Recompute.cpp - compute again what takes too much memory to keep ---===//
//
// In: functions of primitive ops. Out: the same, with copies of ops before late
// uses of their results, until no more than `limit` bytes are in use at once,
// as far as that goes. What is computed again, how many operations that takes,
// how many any choice would take at least, and how many bytes it saves is left
// as attributes of the function. The bytes in use are an estimate
// (Occupancy.h); the plan of memory knows better, and the caller compares.
//
// First all at once: a selection of what to keep over the fullest point that no
// other beats for what it needs (Selection.h). What it leaves above the limit,
// and what is too much elsewhere, goes greedily: at the point where most is in
// use, the tensor that frees most bytes for an operation leaves: its late uses
// read a copy, made right before the first. Operands that are gone by then are
// computed again too, or kept if they are small beside what is saved. After
// Chen et al. 2016 ("Training deep nets with sublinear memory cost") and
// Kirisame et al. 2021 ("Dynamic tensor rematerialization", whose score this
// is, without the time since the last use: all of it is known here).
//
//===----------------------------------------------------------------------===//

#include "Selection.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include <map>

namespace gradus {
#define GEN_PASS_DEF_RECOMPUTE
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;

namespace {
/// Ops to copy before position `at`, so that a tensor need not be kept over the
/// fullest point.
struct Copies {
  Value tensor;
  int64_t at = 0;
  llvm::SetVector<Operation *> ops;
  mlir::IRMapping there; ///< copies made before that are read again
  double operations = 0;
  int64_t saved = 0;

  double score() const { return double(saved) / (operations + 1); }
};

class FunctionRecompute {
public:
  FunctionRecompute(FuncOp f, const Costs &costs)
      : body(f.getBody().front()), costs(costs),
        now(std::make_unique<Occupancy>(body, costs)) {}

  int64_t bytes() const { return now->peakBytes; }
  BestSelections selections(int64_t limit) const {
    return selectWithin(*now, costs, now->peak, limit);
  }
  double operations() const {
    double sum = 0;
    for (Operation *op : now->order)
      if (op->getNumResults())
        sum += costs.operations(op);
    return sum;
  }

  /// Computes again, after the fullest point, what the selection says. What is
  /// there again already is read once more. Returns the number of tensors.
  int64_t apply(const Selection &selection) {
    Operation *point = now->order[now->peak];
    llvm::DenseMap<Value, Value> madeAgain;
    auto firstRead = [&](Value v) {
      int64_t first = INT64_MAX;
      for (const Use &use : now->tensors[v].uses)
        if (use.at > now->peak)
          first = std::min(first, use.at);
      return first;
    };
    std::multimap<int64_t, Value> needed; // by where it is
    for (const auto &[v, s] : now->tensors)
      if (selection.again.contains(v) && s.last > now->peak)
        needed.emplace(firstRead(v), v);
    for (auto [at, v] : needed) {
      now->peak = llvm::find(now->order, point) - now->order.begin();
      Copies c;
      c.tensor = v;
      c.at = now->tensors.contains(v) ? firstRead(v) : INT64_MAX;
      if (c.at == INT64_MAX)
        continue; // what read it reads copies now
      addSelected(c, v, selection, madeAgain);
      apply(c, &madeAgain);
      now = std::make_unique<Occupancy>(body, costs);
    }
    return int64_t(needed.size());
  }

  /// Frees some memory at the fullest point; false if nothing can be freed.
  bool step() {
    std::optional<Copies> best;
    for (auto &[v, s] : now->tensors)
      if (auto c = copiesFor(v, s); c && (!best || c->score() > best->score()))
        best = std::move(c);
    if (!best)
      return false;
    apply(*best);
    now = std::make_unique<Occupancy>(body, costs);
    return true;
  }

private:
  std::optional<Copies> copiesFor(Value v, const Stored &s) {
    if (s.bytes == 0 || s.first >= now->peak || s.last <= now->peak)
      return std::nullopt;
    Copies c;
    c.tensor = v;
    c.at = s.last;
    for (const Use &use : s.uses) {
      if (use.at == now->peak)
        return std::nullopt;
      if (use.at > now->peak)
        c.at = std::min(c.at, use.at);
    }
    c.saved = s.bytes;
    if (!add(c, v.getDefiningOp()) || c.saved <= 0)
      return std::nullopt;
    return c;
  }
  bool add(Copies &c, Operation *op) {
    constexpr size_t mostOps = 48;
    if (!mlir::isPure(op) || isa<HasBodies>(op) || c.ops.size() >= mostOps)
      return false;
    if (!c.ops.insert(op))
      return true;
    c.operations += costs.operations(op);
    for (Value operand : op->getOperands()) {
      Value v = storageOf(operand);
      auto known = now->tensors.find(v);
      // Arguments and variables stay; what is in use over the fullest point
      // costs nothing there for being kept a little longer.
      if (known == now->tensors.end() || isa<ConstantOp>(v.getDefiningOp()) ||
          (known->second.bytes > 0 && known->second.last > now->peak))
        continue;
      int64_t kept = costs.bytes(v);
      bool isSmall = kept * 8 <= costs.bytes(c.tensor);
      if (isSmall)
        c.saved -= kept;
      else if (!add(c, v.getDefiningOp()))
        return false;
    }
    return true;
  }

  /// The op of a tensor, and those of the selection that it reads in turn.
  void addSelected(Copies &c, Value v, const Selection &selection,
                   const llvm::DenseMap<Value, Value> &madeAgain) {
    if (!c.ops.insert(v.getDefiningOp()))
      return;
    for (Value operand : v.getDefiningOp()->getOperands()) {
      Value read = storageOf(operand);
      if (!selection.again.contains(read))
        continue;
      if (Value again = madeAgain.lookup(read)) {
        auto known = now->tensors.find(again);
        if (known != now->tensors.end() && known->second.last >= c.at) {
          c.there.map(read, again);
          continue;
        }
      }
      addSelected(c, read, selection, madeAgain);
    }
  }

  /// `madeAgain`, if given, gets the copies.
  void apply(const Copies &c,
             llvm::DenseMap<Value, Value> *madeAgain = nullptr) {
    OpBuilder b(now->order[c.at]);
    mlir::IRMapping copies = c.there;
    std::function<Value(Value)> current = [&](Value v) -> Value {
      if (copies.contains(v))
        return copies.lookup(v);
      Operation *op = v.getDefiningOp();
      if (!isView(op) || !copies.contains(storageOf(v)))
        return v;
      copies.map(op->getOperand(0), current(op->getOperand(0)));
      return b.clone(*op, copies)->getResult(0);
    };
    SmallVector<Operation *> inOrder(c.ops.getArrayRef());
    llvm::sort(inOrder, [](Operation *x, Operation *y) {
      return x->isBeforeInBlock(y);
    });
    for (Operation *op : inOrder) {
      for (Value operand : op->getOperands())
        if (Value v = current(operand); v != operand)
          copies.map(operand, v);
      b.clone(*op, copies);
      if (madeAgain)
        for (Value r : op->getResults())
          (*madeAgain)[r] = copies.lookup(r);
    }
    const Stored &s = now->tensors[c.tensor];
    for (const Use &use : s.uses)
      if (use.at >= c.at)
        use.operand->set(current(use.operand->get()));
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
      if (mlir::isOpTriviallyDead(&op)) {
        if (madeAgain)
          forget(op.getResults(), *madeAgain);
        op.erase();
      }
  }
  /// Others may get the places in memory of what goes.
  static void forget(ValueRange gone, llvm::DenseMap<Value, Value> &madeAgain) {
    SmallVector<Value> keys;
    for (auto [from, to] : madeAgain)
      if (llvm::is_contained(gone, from) || llvm::is_contained(gone, to))
        keys.push_back(from);
    for (Value key : keys)
      madeAgain.erase(key);
  }

  Block &body;
  const Costs &costs;
  std::unique_ptr<Occupancy> now;
};

struct Recompute : impl::RecomputeBase<Recompute> {
  using RecomputeBase::RecomputeBase;

  void runOnOperation() override {
    llvm::StringMap<int64_t> largest;
    for (StringRef bound : bounds) {
      auto [name, size] = bound.split('=');
      (void)size.getAsInteger(10, largest[name]);
    }
    Costs costs(std::move(largest));
    for (auto f : getOperation().getOps<FuncOp>()) {
      auto tried = [&](bool selects) {
        mlir::OwningOpRef<FuncOp> copy = f.clone();
        return compute(*copy, costs, selects, INT64_MAX);
      };
      Result greedy = tried(/*selects=*/false), selected = tried(true);
      bool selects = selected.isBetterThan(greedy, limit);
      record(f, compute(f, costs, selects,
                        selects ? selected.moves : greedy.moves));
    }
  }

private:
  struct Result {
    int64_t moves = 0; ///< selections applied, tensors chosen greedily
    int64_t before, after, tensors = 0;
    double more = 0, leastMore = 0; ///< operations, as shares of all
    bool isBetterThan(const Result &other, int64_t limit) const {
      auto excess = [&](const Result &r) {
        return std::max<int64_t>(r.after - limit, 0);
      };
      return std::pair(excess(*this), more) <
             std::pair(excess(other), other.more);
    }
  };
  /// Greedily; or first all at once, as the cheapest selection near the limit
  /// says, and the rest greedily. Says what the state of fewest bytes is; with
  /// as many moves as led there it is left in the function.
  Result compute(FuncOp f, const Costs &costs, bool selects,
                 int64_t mostMoves) const {
    FunctionRecompute work(f, costs);
    Result best;
    best.before = best.after = work.bytes();
    double operations = work.operations();
    if (work.bytes() > limit)
      best.leastMore = work.selections(limit).leastOperations / operations;
    // Some moves only move the fullest point to where they compute. Where that
    // goes on without end, all is done.
    constexpr int64_t mostInVain = 24;
    int64_t tensors = 0;
    for (int64_t moves = 1; work.bytes() > limit && moves <= mostMoves &&
                            moves - best.moves <= mostInVain;
         ++moves) {
      int64_t before = work.bytes();
      if (selects) {
        tensors += work.apply(work.selections(limit).near);
        selects = work.bytes() < before;
      } else if (work.step()) {
        ++tensors;
      } else {
        break;
      }
      if (work.bytes() < best.after) {
        best.moves = moves;
        best.after = work.bytes();
        best.tensors = tensors;
        best.more = work.operations() / operations - 1;
      }
    }
    return best;
  }

  static void record(FuncOp f, const Result &r) {
    Builder b(f.getContext());
    auto number = [&](StringRef name, int64_t n) {
      return b.getNamedAttr(name, b.getI64IntegerAttr(n));
    };
    auto share = [&](StringRef name, double x) {
      return b.getNamedAttr(name, b.getF64FloatAttr(x));
    };
    f->setAttr(lowering::recomputedAttr,
               b.getDictionaryAttr(
                   {number("tensors", r.tensors), number("before", r.before),
                    number("after", r.after), share("more", r.more),
                    share("leastMore", r.leastMore)}));
  }
};
} // namespace
