//===- EmitLoops.cpp - one linalg op on buffers as loops ------------------===//
//
// The order of the loops: parallel ones, then reductions. One of them may run
// along vectors, if every operand is contiguous along it or does not move:
//
//   parallel   the vectors of the results are written side by side
//   reduction  the sums are vectors, added up at the end
//
// A result that no reduction loop moves is carried through them in registers;
// any other is written where it is computed. Several vectors at a time hide the
// latency of the sums.
//
//===----------------------------------------------------------------------===//

#include "LoopPlan.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"

using namespace gradus;
namespace affine = mlir::affine;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
namespace vector = mlir::vector;
using mlir::AffineMap;
using mlir::OpOperand;

namespace {
class LoopEmitter : LoopPlan {
public:
  LoopEmitter(ImplicitLocOpBuilder &b, const LoopPlan &plan,
              const LocalBuffers &buffers)
      : LoopPlan(plan), b(b), buffers(buffers), ivs(ranges.size()) {
    for (auto [d, r] : llvm::enumerate(ranges))
      ivs[d] = r.at;
  }

  void emit() {
    SmallVector<unsigned> outer(parallel);
    if (along && isParallel(*along))
      llvm::erase(outer, *along);
    nest(outer, [&] {
      if (along && isParallel(*along))
        overVectors();
      else
        point(1, Value());
    });
  }

private:
  using Values = SmallVector<Value>;

  //===-- Loops -----------------------------------------------------------===//

  Value index(int64_t n) { return arith::ConstantIndexOp::create(b, n); }
  Value low(unsigned d) {
    return mlir::getValueOrCreateConstantIndexOp(b, b.getLoc(), ranges[d].low);
  }
  Value high(unsigned d) {
    return mlir::getValueOrCreateConstantIndexOp(b, b.getLoc(), ranges[d].high);
  }
  /// A loop that carries values; `body` gets the index and the values so far.
  Values loop(Value from, Value to, int64_t step, const Values &start,
              function_ref<Values(Value, ValueRange)> body) {
    auto first = mlir::getConstantIntValue(from),
         last = mlir::getConstantIntValue(to);
    if (first && last && *last - *first == step)
      return body(from, start);
    if (first && last && *first == *last)
      return start;
    auto made = scf::ForOp::create(b, from, to, index(step), start);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(made.getBody());
    Values results = body(made.getInductionVar(), made.getRegionIterArgs());
    if (!start.empty())
      scf::YieldOp::create(b, results);
    return Values(made.getResults());
  }
  /// The iterations of a short loop that is written out, unless the copies get
  /// too many.
  std::optional<int64_t> writtenOut(unsigned d) {
    constexpr int64_t shortLoop = 4, mostCopies = 8;
    auto n = lengthOf(d);
    if (!n || *n <= 0 || *n > shortLoop || copies * *n > mostCopies)
      return std::nullopt;
    return n;
  }
  /// `body` for each of `n` iterations, one after the other.
  void writeOut(unsigned d, int64_t n, function_ref<void()> body) {
    copies *= n;
    for (int64_t i = 0; i < n; ++i) {
      ivs[d] = index(*mlir::getConstantIntValue(ranges[d].low) + i);
      body();
    }
    copies /= n;
  }
  void nest(ArrayRef<unsigned> loops, function_ref<void()> body) {
    if (loops.empty())
      return body();
    if (auto n = writtenOut(loops[0]))
      return writeOut(loops[0], *n, [&] { nest(loops.drop_front(), body); });
    loop(low(loops[0]), high(loops[0]), 1, {}, [&](Value i, ValueRange) {
      ivs[loops[0]] = i;
      nest(loops.drop_front(), body);
      return Values();
    });
  }
  /// The reduction loops but the one along vectors, around `body`.
  Values reduce(ArrayRef<unsigned> loops, const Values &sums,
                function_ref<Values(const Values &)> body) {
    if (loops.empty())
      return body(sums);
    if (along && loops[0] == *along)
      return reduce(loops.drop_front(), sums, body);
    if (auto n = writtenOut(loops[0])) {
      Values carried = sums;
      writeOut(loops[0], *n,
               [&] { carried = reduce(loops.drop_front(), carried, body); });
      return carried;
    }
    return loop(low(loops[0]), high(loops[0]), 1, sums,
                [&](Value i, ValueRange carried) {
                  ivs[loops[0]] = i;
                  return reduce(loops.drop_front(), Values(carried), body);
                });
  }

  /// Where whole groups of `unroll` vectors, and whole vectors, end.
  Value wholeEnd(unsigned d, int64_t step) {
    if (auto n = lengthOf(d))
      return index(*mlir::getConstantIntValue(ranges[d].high) - *n % step);
    Value n = arith::SubIOp::create(b, high(d), low(d));
    Value rest = arith::RemUIOp::create(b, n, index(step));
    return arith::SubIOp::create(b, high(d), rest);
  }
  /// A mask of the lanes that are left at `at`.
  Value tailMask(unsigned d, Value at) {
    Value left = arith::SubIOp::create(b, high(d), at);
    return vector::CreateMaskOp::create(
        b, mlir::VectorType::get({lanes}, b.getI1Type()), left);
  }
  /// Is the range a known multiple of `step` elements long?
  bool divides(unsigned d, int64_t step) {
    auto n = lengthOf(d);
    return n && *n % step == 0;
  }
  void ifLeft(unsigned d, Value at, function_ref<void()> body) {
    if (divides(d, lanes))
      return;
    Value left =
        arith::CmpIOp::create(b, arith::CmpIPredicate::slt, at, high(d));
    auto made = scf::IfOp::create(b, left, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&made.getThenRegion().front());
    body();
  }

  /// A parallel loop along vectors: groups of them, single ones, a masked one.
  void overVectors() {
    unsigned d = *along;
    // Without sums there is no latency to hide; short rows are written out,
    // unless much is computed in each place.
    constexpr size_t shortBody = 24;
    int64_t length = lengthOf(d).value_or(op.getStaticLoopRanges()[d]);
    bool writesOut = length <= unroll * lanes &&
                     op.getBlock()->getOperations().size() <= shortBody;
    int64_t group = reductions.empty() && !writesOut ? 1 : unroll;
    Value at = low(d);
    auto stretch = [&](int64_t vectors) {
      Value end = wholeEnd(d, vectors * lanes);
      loop(at, end, vectors * lanes, {}, [&](Value i, ValueRange) {
        ivs[d] = i;
        point(vectors, Value());
        return Values();
      });
      at = end;
    };
    if (group > 1)
      stretch(group);
    if (!divides(d, group * lanes) || group == 1)
      stretch(1);
    ifLeft(d, at, [&] {
      ivs[d] = at;
      point(1, tailMask(d, at));
    });
  }

  /// All reductions at one point, or at `vectors` vectors side by side.
  void point(int64_t vectors, Value mask) {
    bool reducesVectors = along && !isParallel(*along);
    Values sums;
    for (int64_t u = 0; u < (reducesVectors ? unroll : vectors); ++u)
      for (OpOperand &o : op.getDpsInitsMutable())
        if (carried(o))
          sums.push_back(reducesVectors ? identity(o) : load(o, u, mask));
    sums = reduce(reductions, sums, [&](const Values &s) {
      return reducesVectors ? alongReduction(s) : body(s, vectors, mask);
    });
    unsigned k = 0;
    unsigned each = reducesVectors ? sums.size() / unroll : 0;
    for (int64_t u = 0; u < vectors; ++u)
      for (OpOperand &o : op.getDpsInitsMutable()) {
        if (!carried(o))
          continue;
        if (!reducesVectors) {
          store(o, sums[k++], u, mask);
          continue;
        }
        auto kind = *combiner(o);
        Value sum = sums[k];
        for (int64_t other = 1; other < unroll; ++other)
          sum = combine(o, sum, sums[k + other * each]);
        ++k;
        Value total = vector::ReductionOp::create(b, kind, sum);
        store(o, combine(o, load(o, 0, Value()), total), 0, Value());
      }
  }

  /// The reduction loop along vectors, `unroll` at a time.
  Values alongReduction(const Values &start) {
    unsigned d = *along;
    size_t each = start.size() / unroll;
    Value at = low(d), end = wholeEnd(d, unroll * lanes);
    Values sums = loop(at, end, unroll * lanes, start,
                       [&](Value i, ValueRange carriedSums) {
                         ivs[d] = i;
                         return body(Values(carriedSums), unroll, Value());
                       });
    at = end;
    end = wholeEnd(d, lanes);
    Values first(sums.begin(), sums.begin() + each);
    first = loop(at, end, lanes, first, [&](Value i, ValueRange carriedSums) {
      ivs[d] = i;
      return body(Values(carriedSums), 1, Value());
    });
    if (!divides(d, lanes)) {
      // An empty mask leaves the sums as they are.
      ivs[d] = end;
      first = body(first, 1, tailMask(d, end));
    }
    llvm::copy(first, sums.begin());
    return sums;
  }

  //===-- Elements --------------------------------------------------------===//

  mlir::VectorType vectorOf(Type element) {
    return mlir::VectorType::get({lanes}, element);
  }
  Type elementOf(OpOperand &o) {
    return mlir::getElementTypeOrSelf(o.get().getType());
  }
  Value asVector(Value v) {
    if (isa<mlir::VectorType>(v.getType()))
      return v;
    return vector::BroadcastOp::create(b, vectorOf(v.getType()), v);
  }
  bool inVectors(OpOperand &o) { return along && moves(o, *along); }

  /// Where loop `d` stands in the whole op.
  Value place(unsigned d) {
    if (!ranges[d].origin || ranges[d].at)
      return ivs[d];
    return arith::AddIOp::create(b, ivs[d], ranges[d].origin);
  }
  /// Is the expression a loop whose index is given?
  bool isGiven(mlir::AffineExpr e) const {
    auto d = dyn_cast<mlir::AffineDimExpr>(e);
    return d && ranges[d.getPosition()].at;
  }
  Values indicesOf(OpOperand &o, int64_t u) {
    Values at;
    bool local = buffers.local.contains(o.get()),
         tile = buffers.tile.contains(o.get());
    for (auto [i, e] : llvm::enumerate(mapOf(o).getResults())) {
      if (local && i < buffers.rows) {
        at.push_back(index(0));
        continue;
      }
      if (tile && isGiven(e))
        continue;
      AffineMap one = AffineMap::get(ivs.size(), 0, e);
      SmallVector<mlir::OpFoldResult> operands;
      for (unsigned d = 0; d < ivs.size(); ++d) {
        bool moves = ivs[d] && e.isFunctionOfDim(d);
        operands.push_back(
            moves ? mlir::OpFoldResult(tile || local ? ivs[d] : place(d))
                  : b.getIndexAttr(0));
      }
      Value v = mlir::getValueOrCreateConstantIndexOp(
          b, b.getLoc(),
          affine::makeComposedFoldedAffineApply(b, b.getLoc(), one, operands));
      if (u > 0 && e.isFunctionOfDim(*along))
        v = arith::AddIOp::create(b, v, index(u * lanes));
      at.push_back(v);
    }
    return at;
  }
  Value bufferOf(OpOperand &o) {
    for (auto *small : {&buffers.local, &buffers.tile})
      if (Value buffer = small->lookup(o.get()))
        return buffer;
    return o.get();
  }
  Value load(OpOperand &o, int64_t u, Value mask) {
    if (isScalar(o))
      return o.get();
    Values at = indicesOf(o, u);
    if (!inVectors(o))
      return memref::LoadOp::create(b, bufferOf(o), at);
    auto type = vectorOf(elementOf(o));
    if (!mask)
      return vector::LoadOp::create(b, type, bufferOf(o), at);
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
    return vector::MaskedLoadOp::create(b, type, bufferOf(o), at, mask, zero);
  }
  void store(OpOperand &o, Value v, int64_t u, Value mask) {
    Values at = indicesOf(o, u);
    if (!inVectors(o)) {
      memref::StoreOp::create(b, v, bufferOf(o), at);
      return;
    }
    v = asVector(v);
    if (mask)
      vector::MaskedStoreOp::create(b, bufferOf(o), at, mask, v);
    else
      vector::StoreOp::create(b, v, bufferOf(o), at);
  }
  /// What adding to a result leaves as it is.
  Value identity(OpOperand &o) {
    return asVector(
        arith::getIdentityValue(combination(o), elementOf(o), b, b.getLoc()));
  }
  Value combine(OpOperand &o, Value x, Value y) {
    unsigned r = o.getOperandNumber() - op.getNumDpsInputs();
    Operation *copy =
        op.getBlock()->getTerminator()->getOperand(r).getDefiningOp()->clone();
    copy->setOperands({x, y});
    copy->getResult(0).setType(x.getType());
    b.insert(copy);
    return copy->getResult(0);
  }

  /// The op's body for `vectors` vectors side by side (or one point). Carried
  /// results come and go in `sums`, vector by vector; others are stored.
  Values body(const Values &sums, int64_t vectors, Value mask) {
    Values results;
    unsigned k = 0;
    for (int64_t u = 0; u < vectors; ++u) {
      mlir::IRMapping map;
      SmallVector<Value> before;
      for (OpOperand &o : op->getOpOperands()) {
        BlockArgument arg = op.getMatchingBlockArgument(&o);
        bool isSum = op.isDpsInit(&o) && carried(o);
        Value v;
        if (isSum)
          v = sums[k++];
        else if (!arg.use_empty())
          v = load(o, u, mask);
        if (isSum)
          before.push_back(v);
        if (v)
          map.map(arg, v);
      }
      for (Operation &inner : op.getBlock()->without_terminator())
        cloneInner(inner, map, u);
      unsigned s = 0;
      for (OpOperand &o : op.getDpsInitsMutable()) {
        unsigned r = o.getOperandNumber() - op.getNumDpsInputs();
        Value v =
            map.lookupOrDefault(op.getBlock()->getTerminator()->getOperand(r));
        if (!carried(o)) {
          store(o, v, u, mask);
          continue;
        }
        Value old = before[s++];
        if (isa<mlir::VectorType>(old.getType()))
          v = asVector(v);
        // Lanes past the end add nothing to a sum of vectors.
        if (mask && !isParallel(*along))
          v = arith::SelectOp::create(b, mask, v, old);
        results.push_back(v);
      }
    }
    return results;
  }

  void cloneInner(Operation &inner, mlir::IRMapping &map, int64_t u) {
    if (auto at = dyn_cast<linalg::IndexOp>(inner)) {
      Value i = place(at.getDim());
      if (along && at.getDim() == *along) {
        if (u > 0)
          i = arith::AddIOp::create(b, i, index(u * lanes));
        Value steps = vector::StepOp::create(b, vectorOf(b.getIndexType()));
        i = arith::AddIOp::create(b, asVector(i), steps);
      }
      map.map(at.getResult(), i);
      return;
    }
    bool anyVector = llvm::any_of(inner.getOperands(), [&](Value v) {
      return isa<mlir::VectorType>(map.lookupOrDefault(v).getType());
    });
    // What is the same for all lanes is computed once.
    Operation *copy = b.clone(inner, map);
    if (!anyVector)
      return;
    for (OpOperand &o : copy->getOpOperands()) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(copy);
      o.set(asVector(o.get()));
    }
    for (Value r : copy->getResults())
      r.setType(vectorOf(r.getType()));
  }

  ImplicitLocOpBuilder &b;
  const LocalBuffers &buffers;
  Values ivs;         ///< the index of each loop, where it is known
  int64_t copies = 1; ///< of the body, by short loops
};
} // namespace

void gradus::emitLoops(ImplicitLocOpBuilder &b, linalg::LinalgOp op,
                       ArrayRef<LoopRange> ranges, const LocalBuffers &buffers,
                       unsigned vectorBits) {
  LoopEmitter(b, LoopPlan(op, ranges, vectorBits), buffers).emit();
}
