//===- EmitOp.cpp - a linalg op by the threads of a block -----------------===//
//
// A thread has one result, or a slice of the sum that a result is. Slices meet
// in shared memory, in a fixed order: results are the same from run to run.
//
// Windows that overlap are not put back one after the other: a place of the
// result finds those that cover it, and adds up what they say.
//
//===----------------------------------------------------------------------===//

#include "EmitOp.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
using mlir::OpOperand;

OpEmitter::OpEmitter(linalg::LinalgOp op, ArrayRef<unsigned> rowLoops)
    : op(op), rowLoops(rowLoops), sizes(op.getStaticLoopRanges()),
      lengths(loopLengths(op)) {
  bool inAnyOrder = touchesOnce(op);
  auto kinds = op.getIteratorTypesArray();
  for (auto [d, kind] : llvm::enumerate(kinds))
    if (kind == mlir::utils::IteratorType::reduction && !inAnyOrder)
      reductions.push_back(d);
    else if (!llvm::is_contained(rowLoops, d))
      parallel.push_back(d);
  SmallVector<Window> found = windowsOf(op);
  if (llvm::all_of(found, [&](const Window &w) {
        return llvm::is_contained(reductions, w.position);
      }))
    for (const Window &w : found)
      findPlaces(w);
}

/// Has each place along the window's axis be a result by itself.
void OpEmitter::findPlaces(const Window &w) {
  llvm::erase(reductions, w.position);
  // Behind the loops of axes before, so that neighbours stay neighbours.
  mlir::AffineMap written = resultMap();
  auto *before = llvm::find_if(parallel, [&](unsigned d) {
    auto axis =
        written.getResultPosition(mlir::getAffineDimExpr(d, op->getContext()));
    return axis && *axis > w.axis;
  });
  parallel.insert(before, sizes.size());
  sizes.push_back(
      cast<mlir::MemRefType>(op.getDpsInits()[0].getType()).getDimSize(w.axis));
  windows.push_back(w);
}

mlir::AffineMap OpEmitter::resultMap() {
  SmallVector<mlir::AffineExpr> axes(
      op.getIndexingMapsArray().back().getResults());
  for (auto [i, w] : llvm::enumerate(windows))
    axes[w.axis] =
        mlir::getAffineDimExpr(op.getNumLoops() + i, op->getContext());
  return mlir::AffineMap::get(sizes.size(), 0, axes, op->getContext());
}
mlir::AffineMap OpEmitter::mapOf(OpOperand &operand) {
  return windows.empty() || op.isDpsInput(&operand)
             ? op.getMatchingIndexingMap(&operand)
             : resultMap();
}

Value OpEmitter::reached(Kernel &k, ArrayRef<unsigned> which,
                         ValueRange loops) {
  Value all;
  for (unsigned d : which)
    if (d < lengths.size() && lengths[d])
      all = k.at.both(all, k.at.below(loops[d], k.length(op, lengths[d])));
  return all;
}

Value OpEmitter::findPositions(Kernel &k, SmallVectorImpl<Value> &loops) {
  auto &b = k.b;
  Value all;
  auto require = [&](Value condition) { all = k.at.both(all, condition); };
  for (auto [i, w] : llvm::enumerate(windows)) {
    Value rest =
        mlir::affine::expandAffineExpr(b, b.getLoc(), w.rest, loops, {});
    // Below zero is, as unsigned, far above.
    Value way = arith::SubIOp::create(b, loops[op.getNumLoops() + i], rest);
    require(k.at.below(way, sizes[w.position] * w.step));
    if (w.step > 1)
      require(k.at.below(k.at.rem(way, w.step), 1));
    loops[w.position] = k.at.div(way, w.step);
    require(reached(k, w.position, loops));
  }
  return all;
}

int64_t OpEmitter::count(ArrayRef<unsigned> loops) {
  int64_t n = 1;
  for (unsigned d : loops)
    n *= sizes[d];
  return n;
}

bool OpEmitter::isSum(OpOperand &init) {
  mlir::AffineMap map = mapOf(init);
  bool isAddedUp = !reductions.empty() || !windows.empty();
  return isAddedUp && llvm::none_of(reductions, [&](unsigned d) {
           return map.isFunctionOfDim(d);
         });
}

/// The operation that adds to a sum, if the sum goes nowhere else.
static Operation *adderOf(linalg::LinalgOp op, unsigned result) {
  Value yielded = op.getBlock()->getTerminator()->getOperand(result);
  BlockArgument sum = op.getMatchingBlockArgument(op.getDpsInitOperand(result));
  Operation *adder = yielded.getDefiningOp();
  if (!adder || !sum.hasOneUse() || *sum.user_begin() != adder ||
      adder->getBlock() != op.getBlock())
    return nullptr;
  return adder;
}

bool OpEmitter::canSlice() {
  return llvm::all_of(op.getDpsInitsMutable(), [&](OpOperand &init) {
    unsigned i =
        init.getOperandNumber() - op.getNumDpsInputs(); // its result's number
    // Steps that add to memory are in order, and so in one thread.
    if (!isSum(init))
      return op.getMatchingBlockArgument(&init).use_empty();
    Operation *adder = adderOf(op, i);
    return adder && arith::getNeutralElement(adder);
  });
}
/// What changes no sum.
static Value neutralFor(ImplicitLocOpBuilder &b, Operation *adder) {
  return arith::ConstantOp::create(b, *arith::getNeutralElement(adder));
}

bool OpEmitter::reducesAlongMemory() {
  OpOperand *largest = nullptr;
  int64_t most = 0;
  for (OpOperand *in : op.getDpsInputOperands())
    if (auto type = dyn_cast<mlir::MemRefType>(in->get().getType()))
      if (type.getNumElements() > most) {
        most = type.getNumElements();
        largest = in;
      }
  if (!largest || reductions.empty())
    return false;
  mlir::AffineMap map = op.getMatchingIndexingMap(largest);
  return llvm::any_of(reductions, [&](unsigned d) {
    return map.getNumResults() > 0 &&
           map.getResults().back().isFunctionOfDim(d);
  });
}

SmallVector<Value> OpEmitter::operandIndices(Kernel &k, mlir::AffineMap map,
                                             ValueRange loops) {
  return llvm::map_to_vector(map.getResults(), [&](mlir::AffineExpr e) {
    if (auto d = dyn_cast<mlir::AffineDimExpr>(e))
      return loops[d.getPosition()];
    return mlir::affine::expandAffineExpr(k.b, k.b.getLoc(), e, loops, {});
  });
}

/// The place of an element in its row of a buffer.
static Value placeInRow(Kernel &k, Value buffer, ArrayRef<Value> indices,
                        unsigned rowAxes) {
  Access inRow = *Access::of(buffer);
  Value place = k.at.number(0);
  for (unsigned i = rowAxes; i < indices.size(); ++i)
    place = k.at.add(place, k.at.mul(indices[i], inRow.steps[i]));
  return place;
}

Value OpEmitter::read(Kernel &k, const BufferFacts &facts, OpOperand &operand,
                      ValueRange loops) {
  Value v = operand.get();
  if (!isa<mlir::MemRefType>(v.getType()))
    return k.inside(v);
  SmallVector<Value> indices = operandIndices(k, mapOf(operand), loops);
  if (Value start = facts.filled.lookup(v); start && op.isDpsInit(&operand))
    return k.inside(start);
  if (Value row = facts.rows.lookup(v)) {
    Value place = placeInRow(k, v, indices, facts.rowAxes);
    return memref::LoadOp::create(k.b, row, place);
  }
  return k.load(*Access::of(v), indices);
}
void OpEmitter::write(Kernel &k, const BufferFacts &facts, OpOperand &operand,
                      ValueRange loops, Value v) {
  SmallVector<Value> indices = operandIndices(k, mapOf(operand), loops);
  Value buffer = operand.get();
  if (Value row = facts.rows.lookup(buffer)) {
    Value place = placeInRow(k, buffer, indices, facts.rowAxes);
    memref::StoreOp::create(k.b, v, row, place);
    return;
  }
  k.store(*Access::of(buffer), indices, v);
}

SmallVector<Value> OpEmitter::emitBody(Kernel &k, linalg::LinalgOp op,
                                       ValueRange loops,
                                       function_ref<Value(OpOperand &)> read) {
  mlir::IRMapping map;
  for (OpOperand &operand : op->getOpOperands())
    if (BlockArgument arg = op.getMatchingBlockArgument(&operand);
        !arg.use_empty())
      map.map(arg, read(operand));
  // What the body takes from outside: scalars, and buffers that it looks up in.
  auto here = [&](Value v) {
    if (!map.contains(v))
      map.map(v, k.inside(v));
  };
  for (Operation &inner : op.getBlock()->without_terminator()) {
    if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
      map.map(index.getResult(), loops[index.getDim()]);
      continue;
    }
    if (auto load = dyn_cast<memref::LoadOp>(inner)) {
      SmallVector<Value> indices;
      for (Value i : load.getIndices()) {
        here(i);
        indices.push_back(map.lookup(i));
      }
      map.map(load.getResult(), k.load(*Access::of(load.getMemRef()), indices));
      continue;
    }
    for (Value operand : inner.getOperands())
      here(operand);
    k.b.clone(inner, map);
  }
  return llvm::map_to_vector(op.getBlock()->getTerminator()->getOperands(),
                             [&](Value v) {
                               here(v);
                               return map.lookup(v);
                             });
}

void OpEmitter::follow(Kernel &k, ValueRange loops, Value sum) {
  linalg::GenericOp next = epilogue.follower;
  SmallVector<Value> own =
      epilogue.loops(cast<linalg::GenericOp>(op.getOperation()), loops);
  auto indices = [&](OpOperand &o) {
    return operandIndices(k, next.getMatchingIndexingMap(&o), own);
  };
  SmallVector<Value> values = emitBody(
      k, cast<linalg::LinalgOp>(next.getOperation()), own,
      [&](OpOperand &o) -> Value {
        Value given = epilogue.given(k, o, sum);
        return given ? given : k.load(*Access::of(o.get()), indices(o));
      });
  for (auto [init, v] : llvm::zip(next.getDpsInitsMutable(), values))
    k.store(*Access::of(init.get()), indices(init), v);
}

Value OpEmitter::combined(Kernel &k, unsigned result, Value x, Value y) {
  Operation *adder = adderOf(op, result);
  mlir::OperationState state(k.b.getLoc(), adder->getName());
  state.addOperands({x, y});
  state.addTypes(adder->getResultTypes());
  return k.b.create(state)->getResult(0);
}

SmallVector<Value> OpEmitter::combineSlices(Kernel &k, ArrayRef<unsigned> sums,
                                            ArrayRef<Value> parts, Value result,
                                            Value slice,
                                            const Sharing &sharing) {
  auto &b = k.b;
  SmallVector<Value> totals;
  for (auto [i, part] : llvm::zip(sums, parts)) {
    Value memory = k.shared(part.getType(), sharing.results * sharing.slices);
    auto place = [&](Value s) {
      return k.at.add(k.at.mul(s, sharing.results), result);
    };
    memref::StoreOp::create(b, part, memory, place(slice));
    k.barrier();
    for (int64_t half = sharing.slices / 2; half > 0; half /= 2) {
      auto active = scf::IfOp::create(b, k.at.below(slice, half),
                                      /*withElseRegion=*/false);
      {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(active.thenBlock());
        Value own = memref::LoadOp::create(b, memory, place(slice)),
              other = memref::LoadOp::create(b, memory,
                                             place(k.at.add(slice, half)));
        memref::StoreOp::create(b, combined(k, i, own, other), memory,
                                place(slice));
      }
      k.barrier();
    }
    totals.push_back(memref::LoadOp::create(b, memory, result));
    // The memory is written again if the block comes back here.
    k.barrier();
  }
  return totals;
}

void OpEmitter::emit(Kernel &k, const BufferFacts &facts, ValueRange rows,
                     Value first, const Sharing &sharing) {
  auto &b = k.b;
  Value result = k.thread(), slice = k.at.number(0);
  if (sharing.slices > 1 && sharing.slicesFirst) {
    slice = k.at.rem(k.thread(), sharing.slices);
    result = k.at.div(k.thread(), sharing.slices);
  } else if (sharing.slices > 1) {
    result = k.at.rem(k.thread(), sharing.results);
    slice = k.at.div(k.thread(), sharing.results);
  }
  SmallVector<unsigned> sums;
  for (auto [i, init] : llvm::enumerate(op.getDpsInitsMutable()))
    if (isSum(init))
      sums.push_back(i);
  SmallVector<Type> sumTypes = llvm::map_to_vector(sums, [&](unsigned i) {
    return mlir::getElementTypeOrSelf(op.getDpsInits()[i].getType());
  });

  Value flat = k.at.add(first, result);
  SmallVector<Value> loops(sizes.size());
  for (auto [d, row] : llvm::zip(rowLoops, rows))
    loops[d] = row;
  auto place = [&](ArrayRef<unsigned> which, Value index) {
    SmallVector<int64_t> extents =
        llvm::map_to_vector(which, [&](unsigned d) { return sizes[d]; });
    for (auto [d, i] : llvm::zip(which, k.at.takenApart(index, extents)))
      loops[d] = i;
  };
  // Inits of sums do not depend on the reductions: zero stands for these.
  auto atFirst = [&] {
    for (unsigned d : reductions)
      loops[d] = k.at.number(0);
  };
  auto storeSums = [&](ValueRange values) {
    atFirst();
    if (epilogue.stores)
      for (auto [i, v] : llvm::zip(sums, values))
        write(k, facts, *op.getDpsInitOperand(i), loops, v);
    if (epilogue.follower)
      follow(k, loops, values.front());
  };
  /// One step: reads, computes, writes what is no sum.
  auto step = [&](ValueRange carried) {
    SmallVector<Value> yielded =
        emitBody(k, op, loops, [&](OpOperand &operand) -> Value {
          if (op.isDpsInit(&operand))
            for (auto [n, i] : llvm::enumerate(sums))
              if (op.getDpsInitOperand(i) == &operand)
                return carried[n];
          return read(k, facts, operand, loops);
        });
    for (auto [i, init] : llvm::enumerate(op.getDpsInitsMutable()))
      if (!isSum(init))
        write(k, facts, init, loops, yielded[i]);
    return llvm::map_to_vector(sums, [&](unsigned i) { return yielded[i]; });
  };
  /// All of a thread's steps; its share of each sum.
  auto steps = [&]() -> SmallVector<Value> {
    place(parallel, flat);
    atFirst();
    SmallVector<Value> starts;
    for (unsigned i : sums) {
      Value start = read(k, facts, *op.getDpsInitOperand(i), loops);
      if (sharing.slices > 1)
        start = arith::SelectOp::create(b, k.at.below(slice, 1), start,
                                        neutralFor(b, adderOf(op, i)));
      starts.push_back(start);
    }
    if (sums.empty() && reductions.empty())
      return step({});
    auto loop = scf::ForOp::create(b, slice, k.at.number(reductionCount()),
                                   k.at.number(sharing.slices), starts);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    place(reductions, loop.getInductionVar());
    SmallVector<Value> before(loop.getRegionIterArgs());
    Value isThere =
        k.at.both(reached(k, reductions, loops), findPositions(k, loops));
    SmallVector<Value> next = k.choose(
        isThere, sumTypes, [&] { return step(before); },
        [&] { return before; });
    if (!starts.empty())
      scf::YieldOp::create(b, next);
    return SmallVector<Value>(loop.getResults());
  };
  // Which threads have a result: none past the end, none beyond the shares.
  Value has;
  int64_t used = sharing.results * sharing.slices;
  if (used < k.threads())
    has = k.at.below(k.thread(), used);
  if (resultCount() % sharing.results != 0 || sharing.results > resultCount()) {
    Value within = k.at.below(flat, resultCount());
    has = k.at.both(has, within);
  }
  if (!lengths.empty()) {
    place(parallel, flat);
    has = k.at.both(has, reached(k, parallel, loops));
  }
  if (sharing.slices == 1)
    return k.when(has, [&] { storeSums(steps()); });
  SmallVector<Value> parts = k.choose(has, sumTypes, steps, [&] {
    return llvm::map_to_vector(sums, [&](unsigned i) -> Value {
      return neutralFor(b, adderOf(op, i));
    });
  });
  SmallVector<Value> totals =
      combineSlices(k, sums, parts, result, slice, sharing);
  Value stores = k.at.both(has, k.at.below(slice, 1));
  k.when(stores, [&] {
    place(parallel, flat);
    storeSums(totals);
  });
}
