//===- ContractionLoops.cpp - a contraction's loops in blocks -------------===//

#include "ContractionLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace gradus;
namespace arith = mlir::arith;

void ContractionLoops::blocksOf(unsigned d, int64_t size,
                                ArrayRef<int64_t> sizes,
                                function_ref<void(Value, int64_t)> body) {
  if (!c.isBound(d))
    return blocks(size, sizes[0], body);
  SmallVector<int64_t> smaller;
  for (int64_t n : sizes)
    if (n <= size && (smaller.empty() || n < smaller.back()))
      smaller.push_back(n);
  if (smaller.empty() || smaller.back() != 1)
    smaller.push_back(1);
  blocksTo(c.lengths[d].build(b, b.getLoc()), smaller, body);
}

void ContractionLoops::unitsOf(const Extent &e, int64_t size,
                               function_ref<void(Value, int64_t)> body) {
  int64_t whole = size / e.unit * e.unit;
  Value end = e.high;
  if (whole < size)
    end = arith::MinSIOp::create(b, end, index(whole));
  loop(e.low, end, e.unit, [&](Value i) { body(i, e.unit); });
  if (whole == size)
    return;
  Value isLeft =
      arith::CmpIOp::create(b, arith::CmpIPredicate::sgt, e.high, index(whole));
  when(isLeft, [&] { body(index(whole), size - whole); });
}

void ContractionLoops::rowBlocksOf(function_ref<void(Value, int64_t)> body) {
  if (c.row && hasExtent(*c.row))
    return unitsOf(*c.extent, c.rows(), [&](Value unit, int64_t some) {
      blocks(some, k.blockRows,
             [&](Value i, int64_t rows) { body(add(unit, i), rows); });
    });
  if (!c.row || !c.isBound(*c.row))
    return blocks(c.rows(), k.blockRows, body);
  // Where rows end in the midst of a block, tiles and then single ones go on.
  constexpr int64_t mostRows = 48;
  int64_t whole = llvm::alignDown(mostRows, k.tileRows);
  int64_t sizes[] = {std::min(k.blockRows, whole), k.tileRows};
  blocksOf(*c.row, c.rows(), sizes, body);
}

Value ContractionLoops::placeAt(const LinearForm &form, ArrayRef<Value> loops) {
  Value at = index(form.start);
  for (auto [i, step] : llvm::zip(loops, form.step))
    if (i)
      at = advance(at, i, step);
  return at;
}

StepRanges ContractionLoops::rangesAt(ArrayRef<Value> loops, int64_t height,
                                      int64_t width) {
  StepRanges ranges(c.reductions.size());
  for (const Clip &clip : c.clips) {
    auto [from, end] = rangeAt(clip, loops, height, width);
    auto &range =
        ranges[llvm::find(c.reductions, clip.loop) - c.reductions.begin()];
    // Both operands may leave steps of a loop out.
    if (range) {
      from = arith::MaxSIOp::create(b, from, range->first);
      end = arith::MinSIOp::create(b, end, range->second);
    }
    range = {from, end};
  }
  return ranges;
}

std::pair<Value, Value> ContractionLoops::rangeAt(const Clip &clip,
                                                  ArrayRef<Value> loops,
                                                  int64_t height,
                                                  int64_t width) {
  // The places of a tile's corner and of its other points.
  int64_t least = 0, most = 0;
  auto extend = [&](unsigned loop, int64_t size) {
    int64_t last = clip.place.step[loop] * (size - 1);
    least += std::min<int64_t>(last, 0);
    most += std::max<int64_t>(last, 0);
  };
  extend(c.column, width);
  if (c.row)
    extend(*c.row, height);
  int64_t low = clip.low - most, high = clip.high - least;
  SmallVector<Value> others(loops);
  Value start = std::exchange(others[clip.loop], Value());
  Value first = placeAt(clip.place, others), zero = index(0),
        all = index(c.size[clip.loop]);
  int64_t step = clip.place.step[clip.loop];
  // The first step whose place is `end` or behind it.
  auto stepAt = [&](int64_t end) {
    Value rest = arith::SubIOp::create(b, index(end), first);
    if (step != 1)
      rest = arith::CeilDivSIOp::create(b, rest, index(step));
    return start ? Value(arith::SubIOp::create(b, rest, start)) : rest;
  };
  Value from = zero, end;
  if (step == 0) {
    auto is = [&](arith::CmpIPredicate what, int64_t limit) {
      return arith::CmpIOp::create(b, what, first, index(limit));
    };
    Value isInside =
        arith::AndIOp::create(b, is(arith::CmpIPredicate::sge, low),
                              is(arith::CmpIPredicate::slt, high));
    end = arith::SelectOp::create(b, isInside, all, zero);
  } else {
    from = arith::MaxSIOp::create(b, stepAt(low), zero);
    end = arith::MinSIOp::create(b, stepAt(high), all);
  }
  if (clip.isOff) {
    from = arith::SelectOp::create(b, clip.isOff, zero, from);
    end = arith::SelectOp::create(b, clip.isOff, all, end);
  }
  return {from, end};
}
