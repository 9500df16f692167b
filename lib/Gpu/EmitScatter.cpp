//===- EmitScatter.cpp - sums at looked-up places as a kernel -------------===//
//
// In:   for each item, for each column: buffer[place(item), column] += term
//
// Where several items may have one place, adding them one after the other takes
// a trip to memory for each. So a warp has an item and some columns, 32 or,
// where there are warps enough, up to 256:
//
//   is there an earlier item with this place?          then it is not its turn
//   sum = buffer[place, column]
//   for the item and all behind it: if the place is the same, sum += term
//   buffer[place, column] = sum
//
// The lanes look at 32 items' places at once and vote. Sums are added up in the
// items' order, so that results are the same as one after the other, and from
// run to run.
//
//===----------------------------------------------------------------------===//

#include "EmitScatter.h"
#include "gradus/Graph.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace memref = mlir::memref;
namespace NVVM = mlir::NVVM;
namespace scf = mlir::scf;

//===----------------------------------------------------------------------===//
// Which loops these are
//===----------------------------------------------------------------------===//

static bool countsUp(scf::ForOp loop) {
  return mlir::getConstantIntValue(loop.getLowerBound()) == 0 &&
         mlir::getConstantIntValue(loop.getStep()) == 1 &&
         loop.getNumResults() == 0;
}
/// The steps that a loop takes at most.
static std::optional<int64_t> mostSteps(scf::ForOp loop) {
  Value end = loop.getUpperBound();
  auto size = end.getDefiningOp<graph::RuntimeSizeOp>();
  if (!size)
    return mlir::getConstantIntValue(end);
  auto bounds =
      loop->getParentOfType<ModuleOp>()->getAttrOfType<DictionaryAttr>(
          lowering::boundsAttr);
  return bounds.getAs<IntegerAttr>(size.getDimAttr()).getInt();
}

/// Adds what `v` is computed from in the nest's body, loops' indices excepted,
/// to `ops`; false if one of `columns` is among it.
static bool collect(Value v, Block *body, ArrayRef<scf::ForOp> columns,
                    llvm::SmallPtrSetImpl<Operation *> &ops) {
  for (scf::ForOp loop : columns)
    if (v == loop.getInductionVar())
      return false;
  Operation *op = v.getDefiningOp();
  if (!op || op->getBlock() != body || !ops.insert(op).second)
    return true;
  return llvm::all_of(op->getOperands(), [&](Value operand) {
    return collect(operand, body, columns, ops);
  });
}

std::optional<Scatter> Scatter::match(Operation *op) {
  Scatter s;
  SmallVector<scf::ForOp> loops;
  for (auto loop = dyn_cast<scf::ForOp>(op); loop;) {
    if (!countsUp(loop))
      return std::nullopt;
    loops.push_back(loop);
    Block *body = loop.getBody();
    auto inner = dyn_cast<scf::ForOp>(body->front());
    if (inner && body->without_terminator().end() !=
                     std::next(body->without_terminator().begin()))
      return std::nullopt;
    loop = inner;
  }
  if (loops.empty())
    return std::nullopt;
  Block *body = loops.back().getBody();
  for (Operation &inner : body->without_terminator()) {
    auto store = dyn_cast<memref::StoreOp>(inner);
    if (store && s.store)
      return std::nullopt;
    if (store)
      s.store = store;
    else if (!isa<memref::LoadOp>(inner) && !mlir::isPure(&inner))
      return std::nullopt;
  }
  if (!s.store)
    return std::nullopt;

  Operation *adder = s.store.getValue().getDefiningOp();
  if (!isa_and_nonnull<arith::AddFOp, arith::AddIOp>(adder))
    return std::nullopt;
  Value buffer = lowering::viewedBuffer(s.store.getMemRef());
  for (Operation &inner : body->without_terminator())
    if (auto load = dyn_cast<memref::LoadOp>(inner);
        load && lowering::viewedBuffer(load.getMemRef()) == buffer) {
      if (s.old || load.getMemRef() != s.store.getMemRef() ||
          load.getIndices() != s.store.getIndices() || !load->hasOneUse())
        return std::nullopt;
      s.old = load;
    }
  if (!s.old || *s.old->user_begin() != adder)
    return std::nullopt;

  for (scf::ForOp loop : loops) {
    bool isColumn =
        llvm::is_contained(s.store.getIndices(), loop.getInductionVar());
    bool isKnown = mlir::getConstantIntValue(loop.getUpperBound()).has_value();
    auto steps = mostSteps(loop);
    // The end that a call sets is that of all items.
    if (!steps || (!isKnown && (isColumn || !s.items.empty())))
      return std::nullopt;
    (isColumn ? s.columns : s.items).push_back(loop);
    (isColumn ? s.columnSizes : s.itemSizes).push_back(*steps);
  }

  if (s.items.empty())
    return std::nullopt;
  for (Value index : s.store.getIndices())
    if (!isa<BlockArgument>(index) &&
        !collect(index, body, s.columns, s.ofPlace))
      return std::nullopt;
  return s;
}

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

namespace {
class ScatterEmitter {
public:
  ScatterEmitter(mlir::gpu::GPUModuleOp kernels, Scatter scatter)
      : s(std::move(scatter)), k(kernels, "scatter", s.store.getLoc(), threads),
        at(k.at), b(k.b), buffer(*Access::of(s.store.getMemRef())) {
    for (int64_t size : s.columnSizes)
      columns *= size;
    int64_t ofFirst = 1;
    for (int64_t size : ArrayRef(s.itemSizes).drop_front())
      ofFirst *= size;
    mostItems = s.itemSizes.front() * ofFirst;
    scf::ForOp first = s.items.front();
    items = at.mul(k.inside(first.getUpperBound()), ofFirst);
    // Votes are the same for all columns.
    constexpr int64_t enoughWarps = 2048, mostColumns = 8;
    while (columnsALane < mostColumns && columns >= 2 * columnsAWarp() &&
           mostItems * columns >= 2 * columnsAWarp() * enoughWarps)
      columnsALane *= 2;
  }

  void emit(OpBuilder &host) {
    int64_t acrossWarps = llvm::divideCeilSigned(columns, columnsAWarp()),
            warps = mostItems * acrossWarps;
    Value warp = at.div(
        at.add(at.mul(k.block(mlir::gpu::Dimension::x), threads), k.thread()),
        warpSize);
    lane = at.rem(k.thread(), warpSize);
    Value item = at.div(warp, acrossWarps);
    k.when(at.below(item, items), [&] {
      Value first =
          at.add(at.mul(at.rem(warp, acrossWarps), columnsAWarp()), lane);
      addAll(item, first);
    });
    k.launch(host, {llvm::divideCeilSigned(warps * warpSize, threads)});
  }

private:
  static constexpr int64_t threads = 256;

  /// A step for this item, as far as its place.
  StepCloner stepOf(Value item) {
    StepCloner step(k);
    for (auto [loop, i] : llvm::zip(s.items, at.takenApart(item, s.itemSizes)))
      step.map(loop.getInductionVar(), i);
    for (Operation &op : *s.store->getBlock())
      if (s.ofPlace.contains(&op))
        step.clone(&op);
    return step;
  }
  /// Where the item adds to, columns left out.
  Value placeOf(StepCloner &step) {
    Value place = at.number(0);
    for (auto [index, by] : llvm::zip(s.store.getIndices(), buffer.steps))
      if (!isColumn(index))
        place = at.add(place, at.mul(step.here(index), by));
    return place;
  }
  bool isColumn(Value index) {
    return llvm::any_of(s.columns, [&](scf::ForOp loop) {
      return loop.getInductionVar() == index;
    });
  }

  Value word(int64_t n) {
    return arith::ConstantIntOp::create(b, b.getI32Type(), n);
  }
  Value isNot(Value v, int64_t n) {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, v, word(n));
  }
  /// Which of 32 items from `first` on, those for which `counts`, have the
  /// place: a bit each.
  Value vote(Value place, Value first, function_ref<Value(Value)> counts) {
    Value item = at.add(first, lane),
          last = arith::SubIOp::create(b, items, at.number(1)),
          there = arith::MinUIOp::create(b, item, last);
    StepCloner step = stepOf(there);
    Value same = arith::CmpIOp::create(b, arith::CmpIPredicate::eq,
                                       placeOf(step), place);
    return NVVM::VoteSyncOp::create(
        b, b.getI32Type(), word(-1),
        arith::AndIOp::create(b, counts(item), same),
        NVVM::VoteSyncKind::ballot);
  }

  Value hasEarlier(Value item, Value place) {
    SmallVector<Value> starts{at.number(0), word(0)};
    auto loop = scf::WhileOp::create(
        b, mlir::TypeRange{b.getIndexType(), b.getI32Type()}, starts,
        [&](OpBuilder &, Location, ValueRange now) {
          Value none = arith::CmpIOp::create(b, arith::CmpIPredicate::eq,
                                             now[1], word(0));
          scf::ConditionOp::create(
              b, arith::AndIOp::create(b, none, at.below(now[0], item)), now);
        },
        [&](OpBuilder &, Location, ValueRange now) {
          Value votes = vote(place, now[0], [&](Value other) {
            return at.below(other, item);
          });
          scf::YieldOp::create(b, ValueRange{at.add(now[0], warpSize), votes});
        });
    return isNot(loop.getResult(1), 0);
  }

  /// A step for each of a lane's columns.
  SmallVector<StepCloner> stepsOf(Value item, ArrayRef<Value> ofColumns) {
    SmallVector<StepCloner> steps;
    StepCloner step = stepOf(item);
    for (Value column : ofColumns) {
      for (auto [loop, i] :
           llvm::zip(s.columns, at.takenApart(column, s.columnSizes)))
        step.map(loop.getInductionVar(), i);
      steps.push_back(step);
    }
    return steps;
  }

  void addAll(Value item, Value firstColumn) {
    StepCloner own = stepOf(item);
    Value place = placeOf(own);
    Value isFirst = arith::XOrIOp::create(
        b, hasEarlier(item, place),
        arith::ConstantIntOp::create(b, b.getI1Type(), 1));
    k.when(isFirst, [&] {
      SmallVector<Value> ofColumns, has, sums;
      for (int64_t i = 0; i < columnsALane; ++i) {
        Value column = at.add(firstColumn, i * warpSize);
        has.push_back(columns % columnsAWarp() == 0
                          ? Value()
                          : at.below(column, columns));
        // Lanes without a column stay, to vote.
        if (has.back())
          column = arith::MinUIOp::create(b, column, at.number(columns - 1));
        ofColumns.push_back(column);
      }
      SmallVector<StepCloner> steps = stepsOf(item, ofColumns);
      for (StepCloner &step : steps) {
        step.clone(s.old);
        sums.push_back(step.here(s.old));
      }
      sums = addFrom(item, place, ofColumns, sums);
      for (auto [step, isThere, sum] : llvm::zip(steps, has, sums)) {
        step.map(s.store.getValue(), sum);
        k.when(isThere, [&] { step.clone(s.store); });
      }
    });
  }

  SmallVector<Value> addFrom(Value item, Value place, ArrayRef<Value> ofColumns,
                             ArrayRef<Value> old) {
    Value start = at.mul(at.div(item, warpSize), warpSize);
    auto loop = scf::ForOp::create(b, start, items, at.number(warpSize), old);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value first = loop.getInductionVar();
    Value votes = vote(place, first, [&](Value other) -> Value {
      Value behind =
          arith::CmpIOp::create(b, arith::CmpIPredicate::uge, other, item);
      return arith::AndIOp::create(b, behind, at.below(other, items));
    });
    scf::YieldOp::create(
        b, where(isNot(votes, 0), loop.getRegionIterArgs(), [&] {
          return addVoted(first, votes, ofColumns, loop.getRegionIterArgs());
        }));
    return loop.getResults();
  }

  SmallVector<Value> addVoted(Value first, Value votes,
                              ArrayRef<Value> ofColumns, ValueRange sums) {
    auto loop = scf::ForOp::create(b, at.number(0), at.number(warpSize),
                                   at.number(1), sums);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value number = arith::IndexCastUIOp::create(b, b.getI32Type(),
                                                loop.getInductionVar()),
          bit = arith::ShLIOp::create(b, word(1), number);
    Value isVoted = isNot(arith::AndIOp::create(b, votes, bit), 0);
    scf::YieldOp::create(
        b, where(isVoted, loop.getRegionIterArgs(), [&] {
          SmallVector<Value> added;
          auto steps =
              stepsOf(at.add(first, loop.getInductionVar()), ofColumns);
          for (auto [step, sum] : llvm::zip(steps, loop.getRegionIterArgs())) {
            step.map(s.old, sum);
            for (Operation &op : s.store->getBlock()->without_terminator())
              if (&op != s.store && &op != s.old && !s.ofPlace.contains(&op))
                step.clone(&op);
            added.push_back(step.here(s.store.getValue()));
          }
          return added;
        }));
    return loop.getResults();
  }

  SmallVector<Value> where(Value condition, ValueRange otherwise,
                           function_ref<SmallVector<Value>()> then) {
    return k.choose(condition, otherwise.getTypes(), then,
                    [&] { return SmallVector<Value>(otherwise); });
  }

  int64_t columnsAWarp() const { return columnsALane * warpSize; }

  Scatter s;
  Kernel k;
  IndexBuilder &at;
  ImplicitLocOpBuilder &b;
  Access buffer;
  int64_t columns = 1, columnsALane = 1, mostItems;
  Value items, lane;
};
} // namespace

void gpu::emitScatter(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
                      Scatter scatter) {
  ScatterEmitter(kernels, std::move(scatter)).emit(host);
}
