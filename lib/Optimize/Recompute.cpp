//===- Recompute.cpp - compute again what takes too much memory to keep ---===//
//
// In: functions of primitive ops. Out: the same, with copies of ops before late
// uses of their results, until no more than `limit` bytes are in use at once,
// as far as that goes. What is computed again, how many operations that takes
// and how many bytes it saves is left as attributes of the function.
//
// The bytes in use are an estimate: what fusion will keep in registers counts
// as nothing (results that elementwise ops and reductions nearby read alone),
// reshapes and broadcasts as what they read. The plan of memory knows better,
// and the caller compares.
//
// Greedy: at the point where most is in use, the tensor that frees most bytes
// for an operation leaves: its late uses read a copy, made right before the
// first. Operands that are gone by then are computed again too, or kept if they
// are small beside what is saved. After Chen et al. 2016 ("Training deep nets
// with sublinear memory cost") and Kirisame et al. 2021 ("Dynamic tensor
// rematerialization", whose score this is, without the time since the last
// use: all of it is known here).
//
//===----------------------------------------------------------------------===//

#include "gradus/Expand.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace gradus {
#define GEN_PASS_DEF_RECOMPUTE
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;
using mlir::OpOperand;

//===----------------------------------------------------------------------===//
// Costs
//===----------------------------------------------------------------------===//

static int64_t elementsOf(Value v) {
  return cast<RankedTensorType>(v.getType()).getNumElements();
}
static int64_t bytesOf(Value v) {
  Type e = cast<RankedTensorType>(v.getType()).getElementType();
  return elementsOf(v) * std::max(8U, e.getIntOrFloatBitWidth()) / 8;
}

/// Floating-point operations, roughly: a `while` takes one step, both branches
/// of an `if` run.
static double operationsOf(Operation *op) {
  if (isa<HasBodies>(op)) {
    double sum = 0;
    for (mlir::Region &body : op->getRegions())
      for (Operation &inner : body.front().without_terminator())
        sum += operationsOf(&inner);
    auto loop = dyn_cast<ForOp>(op);
    return loop ? sum * double(loop.getSteps().size) : sum;
  }
  auto out = double(elementsOf(op->getResult(0)));
  if (auto matmul = dyn_cast<MatMulOp>(op))
    return 2 * out * double(Shape(matmul.getLhs())[-1].size);
  if (auto conv = dyn_cast<ConvOp>(op)) {
    auto filter = double(elementsOf(conv.getFilter()));
    return 2 * out * filter / double(Shape(conv.getFilter())[-1].size);
  }
  if (auto conv = dyn_cast<ConvFilterOp>(op))
    return 2 * out * double(elementsOf(conv.getG())) /
           double(Shape(conv.getG())[-1].size);
  if (auto einsum = dyn_cast<EinsumOp>(op)) {
    auto [left, result] = einsum.getEquation().split("->");
    llvm::SmallDenseMap<char, int64_t> sizes;
    SmallVector<StringRef> terms;
    left.split(terms, ',');
    for (auto [term, x] : llvm::zip(terms, einsum.getInputs()))
      for (auto [letter, d] : llvm::zip(term, Shape(x).dims))
        sizes[letter] = d.size;
    double points = 2;
    for (auto [letter, size] : sizes)
      points *= double(size);
    return points;
  }
  // A reduction reads more than it writes; a function such as exp takes ten.
  double each =
      isa<ExpOp, LogOp, TanhOp, ErfOp, SinOp, CosOp, PowOp>(op) ? 10 : 1;
  double most = out;
  for (Value v : op->getOperands())
    most = std::max(most, double(elementsOf(v)));
  return each * most;
}

/// Reads its operand in place: no tensor of its own.
static bool isView(Operation *op) {
  return isa_and_nonnull<ReshapeOp, TransposeOp, BroadcastOp, SliceOp>(op);
}
/// Fusion keeps the results of such ops in registers where it can.
static bool isFused(Operation *op) {
  return isa<Formula, ReduceSumOp, ReduceMaxOp, ReduceMinOp>(op);
}
static Value storageOf(Value v) {
  while (isView(v.getDefiningOp()))
    v = v.getDefiningOp()->getOperand(0);
  return v;
}

//===----------------------------------------------------------------------===//
// What is in use where
//===----------------------------------------------------------------------===//

namespace {
struct Use {
  OpOperand *operand;
  int64_t at;
};
/// A tensor in memory from position `first` to `last`.
struct Stored {
  int64_t bytes = 0, first = 0, last = 0;
  SmallVector<Use> uses; ///< by ops that are no views
};

class Occupancy {
public:
  explicit Occupancy(Block &body) : body(body) {
    for (auto [i, op] : llvm::enumerate(body)) {
      position[&op] = i;
      order.push_back(&op);
    }
    for (Operation &op : body)
      if (!isView(&op))
        for (Value v : op.getResults())
          add(v);
    measure();
  }

  int64_t peak = 0;      ///< position of the fullest point
  int64_t peakBytes = 0; ///< in use there
  llvm::MapVector<Value, Stored> tensors;
  SmallVector<Operation *> order;

private:
  void addUses(Stored &s, Value v) {
    for (OpOperand &use : v.getUses())
      if (isView(use.getOwner()) && use.getOwner()->getBlock() == &body)
        addUses(s, use.getOwner()->getResult(0));
      else
        s.uses.push_back({&use, position.lookup(body.findAncestorOpInBlock(
                                    *use.getOwner()))});
  }
  void add(Value v) {
    Stored s;
    s.first = s.last = position.lookup(v.getDefiningOp());
    addUses(s, v);
    for (const Use &use : s.uses)
      s.last = std::max(s.last, use.at);
    // Outputs and variables have memory of their own, constants need none.
    bool leaves = llvm::all_of(s.uses, [](const Use &use) {
      return isa<UpdateOp, ReturnOp>(use.operand->getOwner());
    });
    constexpr int64_t nearby = 24;
    bool inRegisters = isFused(v.getDefiningOp()) &&
                       s.last - s.first <= nearby &&
                       llvm::all_of(s.uses, [](const Use &use) {
                         return isFused(use.operand->getOwner());
                       });
    if (!leaves && !inRegisters && !isa<ConstantOp>(v.getDefiningOp()))
      s.bytes = bytesOf(v);
    tensors[v] = std::move(s);
  }
  void measure() {
    std::vector<int64_t> change(order.size() + 1, 0);
    for (auto &[v, s] : tensors) {
      change[s.first] += s.bytes;
      change[s.last + 1] -= s.bytes;
    }
    int64_t bytes = 0;
    for (int64_t i = 0, n = order.size(); i < n; ++i) {
      bytes += change[i];
      if (bytes > peakBytes) {
        peakBytes = bytes;
        peak = i;
      }
    }
  }
  Block &body;
  llvm::DenseMap<Operation *, int64_t> position;
};

/// Ops to copy before position `at`, so that a tensor need not be kept over the
/// fullest point.
struct Copies {
  Value tensor;
  int64_t at = 0;
  llvm::SetVector<Operation *> ops;
  double operations = 0;
  int64_t saved = 0;

  double score() const { return double(saved) / (operations + 1); }
};

class FunctionRecompute {
public:
  explicit FunctionRecompute(FuncOp f)
      : body(f.getBody().front()), now(std::make_unique<Occupancy>(body)) {}

  int64_t bytes() const { return now->peakBytes; }
  double operations() const {
    double sum = 0;
    for (Operation *op : now->order)
      if (op->getNumResults())
        sum += operationsOf(op);
    return sum;
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
    now = std::make_unique<Occupancy>(body);
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
    c.operations += operationsOf(op);
    for (Value operand : op->getOperands()) {
      Value v = storageOf(operand);
      auto known = now->tensors.find(v);
      // Arguments and variables stay; what is in use over the fullest point
      // costs nothing there for being kept a little longer.
      if (known == now->tensors.end() || isa<ConstantOp>(v.getDefiningOp()) ||
          (known->second.bytes > 0 && known->second.last > now->peak))
        continue;
      int64_t kept = bytesOf(v);
      bool isSmall = kept * 8 <= bytesOf(c.tensor);
      if (isSmall)
        c.saved -= kept;
      else if (!add(c, v.getDefiningOp()))
        return false;
    }
    return true;
  }

  void apply(const Copies &c) {
    OpBuilder b(now->order[c.at]);
    mlir::IRMapping copies;
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
    }
    const Stored &s = now->tensors[c.tensor];
    for (const Use &use : s.uses)
      if (use.at >= c.at)
        use.operand->set(current(use.operand->get()));
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
      if (mlir::isOpTriviallyDead(&op))
        op.erase();
  }

  Block &body;
  std::unique_ptr<Occupancy> now;
};

struct Recompute : impl::RecomputeBase<Recompute> {
  using RecomputeBase::RecomputeBase;

  void runOnOperation() override {
    for (auto f : getOperation().getOps<FuncOp>()) {
      FunctionRecompute work(f);
      int64_t before = work.bytes();
      double operations = work.operations();
      int64_t steps = 0;
      // Each step frees memory at one point; some move the fullest point to
      // where they compute. Where that goes on without end, all is done.
      constexpr int64_t mostInVain = 24;
      int64_t least = before, inVain = 0;
      while (work.bytes() > limit && inVain < mostInVain && work.step()) {
        ++steps;
        inVain = work.bytes() < least ? 0 : inVain + 1;
        least = std::min(least, work.bytes());
      }
      Builder b(&getContext());
      f->setAttr(
          lowering::recomputedAttr,
          b.getDictionaryAttr(
              {b.getNamedAttr("steps", b.getI64IntegerAttr(steps)),
               b.getNamedAttr("before", b.getI64IntegerAttr(before)),
               b.getNamedAttr("after", b.getI64IntegerAttr(work.bytes())),
               b.getNamedAttr(
                   "more",
                   b.getF64FloatAttr(work.operations() / operations - 1))}));
    }
  }
};
} // namespace
