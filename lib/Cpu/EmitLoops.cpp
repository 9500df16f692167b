//===- EmitLoops.cpp - one linalg op on buffers as loops ------------------===//
//
// The order of the loops: parallel ones, then reductions. One of them may run
// along vectors, if every operand is contiguous along it or does not move:
//
//   parallel   the vectors of the results are written side by side
//   reduction  the sums are vectors, added up at the end
//
// A result that no reduction loop moves is carried through them in registers;
// any other is written where it is computed. Several vectors at a time, and
// several iterations of a parallel loop that leaves an operand where it is,
// hide the latency of the sums.
//
//===----------------------------------------------------------------------===//

#include "LoopBody.h"
#include "SplitLoops.h"
#include "TurnedLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include <algorithm>

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
namespace vector = mlir::vector;
using mlir::OpOperand;

namespace {
class LoopEmitter : LoopBody {
public:
  using LoopBody::LoopBody;

  void emit() {
    SmallVector<unsigned> outer(parallel);
    if (along && isParallel(*along))
      llvm::erase(outer, *along);
    llvm::erase_if(outer, [&](unsigned d) { return isBeside(d); });
    // What is read most stays in the cache while it is read again.
    if (OpOperand *largest = largestInput(op);
        largest && along && !isParallel(*along))
      std::stable_partition(outer.begin(), outer.end(),
                            [&](unsigned d) { return moves(*largest, d); });
    auto overAll = [&] { nest(outer, [&] { overSides(0); }); };
    aroundAll(outermost, overAll);
  }

private:
  //===-- Loops -----------------------------------------------------------===//

  /// The reductions that are outermost, around `body`.
  void aroundAll(ArrayRef<unsigned> loops, function_ref<void()> body) {
    if (loops.empty())
      return body();
    unsigned d = loops.front();
    Value first = low(d), before = isFirst;
    loop(first, high(d), 1, {}, [&](Value i, ValueRange) {
      ivs[d] = i;
      isFirst = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, i, first);
      if (before)
        isFirst = arith::AndIOp::create(b, before, isFirst);
      aroundAll(loops.drop_front(), body);
      return Values();
    });
    isFirst = before;
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
    constexpr int64_t shortLoop = 4, taps = 3 * 3;
    int64_t mostCopies = sharesWindows() ? taps : taps - 1;
    auto n = lengthOf(d);
    if (!n || *n <= 0 || *n > shortLoop || copies * *n > mostCopies)
      return std::nullopt;
    return n;
  }
  /// Do places side by side read some of the same vectors?
  bool sharesWindows() {
    return llvm::any_of(op.getDpsInputOperands(), [&](OpOperand *in) {
      return !isScalar(*in) && inVectors(*in) && !windowAxes(*in).empty() &&
             (isInside || !windowOf(*in));
    });
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
    if (divides(d, step))
      return high(d);
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
    return n.value_or(ranges[d].unit) % step == 0;
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

  /// Of the loops from the `n`th on that are beside each other some iterations
  /// at a time, then those that are left.
  void overSides(unsigned n) {
    if (n == beside.size()) {
      if (along && isParallel(*along))
        return overVectors();
      return point(1, Value());
    }
    unsigned d = beside[n].loop;
    Value whole = wholeEnd(d, beside[n].count);
    auto stretch = [&](Value from, Value to, int64_t count) {
      loop(from, to, count, {}, [&](Value i, ValueRange) {
        sides.push_back({i, count});
        overSides(n + 1);
        sides.pop_back();
        return Values();
      });
    };
    stretch(low(d), whole, beside[n].count);
    stretch(whole, high(d), 1);
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

  //===-- One point -------------------------------------------------------===//

  /// All reductions at one point, or at `vectors` vectors side by side.
  void point(int64_t vectors, Value mask) {
    if (asksAtEachStep())
      return reduceAt(vectors, mask);
    whereInside(reductions, {}, [&] {
      reduceAt(vectors, mask);
      return Values();
    });
  }
  void reduceAt(int64_t vectors, Value mask) {
    bool reducesVectors = along && !isParallel(*along);
    Values sums;
    if (along && !reducesVectors)
      atEachSide([&] {
        for (OpOperand *in : op.getDpsInputOperands())
          fetchNextWindow(*in, vectors);
      });
    atEachSide([&] {
      for (int64_t u = 0; u < (reducesVectors ? unroll : vectors); ++u)
        for (OpOperand &o : op.getDpsInitsMutable())
          if (carried(o))
            sums.push_back(reducesVectors ? identity(o) : old(o, u, mask));
    });
    sums = reduce(reductions, sums, [&](const Values &s) {
      return reducesVectors ? alongReduction(s) : body(s, vectors, mask);
    });
    unsigned k = 0;
    unsigned each = reducesVectors ? sums.size() / unroll : 0;
    if (!reducesVectors) {
      atEachSide([&] {
        for (int64_t u = 0; u < vectors; ++u)
          for (OpOperand &o : op.getDpsInitsMutable())
            if (carried(o))
              store(o, sums[k++], u, mask);
      });
      return;
    }
    atEachSide([&] {
      for (OpOperand &o : op.getDpsInitsMutable()) {
        if (!carried(o))
          continue;
        auto kind = *combiner(o);
        Value sum = sums[k];
        for (int64_t other = 1; other < unroll; ++other)
          sum = combine(o, sum, sums[k + other * each]);
        ++k;
        Value total = vector::ReductionOp::create(b, kind, sum);
        store(o, combine(o, old(o, 0, Value()), total), 0, Value());
      }
    });
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

  int64_t copies = 1; ///< of the body, by short loops
};
} // namespace

void gradus::emitLoops(ImplicitLocOpBuilder &b, linalg::LinalgOp op,
                       ArrayRef<LoopRange> ranges, const LocalBuffers &buffers,
                       unsigned vectorBits) {
  LoopPlan plan(op, ranges, vectorBits);
  if (!emitTurned(b, plan, buffers, vectorBits))
    LoopEmitter(b, plan, buffers).emit();
}

void gradus::emitZeros(ImplicitLocOpBuilder &b, Value buffer,
                       ArrayRef<LoopRange> ranges, unsigned vectorBits) {
  Type element = cast<mlir::MemRefType>(buffer.getType()).getElementType();
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(element));
  auto fill = linalg::FillOp::create(b, zero, buffer);
  auto op = cast<linalg::LinalgOp>(fill.getOperation());
  emitLoops(b, op, ranges.empty() ? wholeRanges(b, op) : ranges, LocalBuffers(),
            vectorBits);
  fill.erase();
}
