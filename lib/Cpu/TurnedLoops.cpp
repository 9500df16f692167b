//===- TurnedLoops.cpp - elementwise ops that read across their rows ------===//

#include "TurnedLoops.h"
#include "LoopBuilder.h"
#include "LoopElements.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace vector = mlir::vector;
using mlir::OpOperand;

namespace {
class TurnedLoops : LoopElements {
public:
  TurnedLoops(ImplicitLocOpBuilder &b, const LoopPlan &plan,
              const LocalBuffers &buffers, unsigned vectorBits)
      : LoopElements(b, plan, buffers), vectorBits(vectorBits),
        square(std::min<int64_t>(lanes, largestSquare)), loops(b, square) {}

  /// Finds the two loops, and what is turned.
  bool match() {
    auto holds = [&](const auto &buffers) {
      return llvm::any_of(op->getOperands(),
                          [&](Value v) { return buffers.contains(v); });
    };
    if (along || !reductions.empty() || square < 2 || !bodyVectorizes() ||
        !isa<linalg::GenericOp>(op.getOperation()) || holds(buffers.local) ||
        holds(buffers.tile) || holds(buffers.windows))
      return false;
    int64_t longest = square - 1;
    for (unsigned d : parallel)
      if (length(d) > longest && writesAlong(d) && findAcross(d)) {
        longest = length(d);
        result = d;
      }
    return result && findAcross(*result);
  }
  void emit() {
    for (OpOperand *in : turned)
      tiles.push_back(memref::AllocOp::create(
          b, mlir::MemRefType::get({blockAcross, blockAlong}, elementOf(*in))));
    SmallVector<unsigned> others(parallel);
    llvm::erase(others, *result);
    llvm::erase(others, *across);
    overOthers(others, [&] {
      blocksOf(*across, blockAcross, [&](Value i, mlir::OpFoldResult rows) {
        ivs[*across] = i;
        blocksOf(*result, blockAlong, [&](Value j, mlir::OpFoldResult columns) {
          ivs[*result] = j;
          block(rows, columns);
        });
      });
    });
  }

private:
  static constexpr int64_t largestSquare = 16; ///< registers of a square
  /// Whole lines of what is read, and long stretches of what is written.
  static constexpr int64_t blockAcross = 32, blockAlong = 128;

  int64_t length(unsigned d) {
    return lengthOf(d).value_or(op.getStaticLoopRanges()[d]);
  }
  bool writesAlong(unsigned d) {
    return llvm::all_of(op.getDpsInitsMutable(),
                        [&](OpOperand &o) { return contiguous(o, d); });
  }
  /// Is all that is not contiguous along `d` so along one other loop?
  bool findAcross(unsigned d) {
    turned.clear();
    across.reset();
    for (OpOperand *in : op.getDpsInputOperands()) {
      if (!moves(*in, d) || contiguous(*in, d))
        continue;
      turned.push_back(in);
      for (unsigned other : parallel)
        if (!across && other != d && length(other) >= square &&
            contiguous(*in, other))
          across = other;
      if (!across || !contiguous(*in, *across))
        return false;
    }
    return across.has_value();
  }

  //===-- Blocks ----------------------------------------------------------===//

  void overOthers(ArrayRef<unsigned> others, function_ref<void()> body) {
    if (others.empty())
      return body();
    unsigned d = others.front();
    loops.loop(end(ranges[d].low), end(ranges[d].high), 1, [&](Value i) {
      ivs[d] = i;
      overOthers(others.drop_front(), body);
    });
  }
  Value end(mlir::OpFoldResult bound) {
    return mlir::getValueOrCreateConstantIndexOp(b, b.getLoc(), bound);
  }
  /// `body` gets where each block begins and how long it is.
  void blocksOf(unsigned d, int64_t size,
                function_ref<void(Value, mlir::OpFoldResult)> body) {
    Value low = end(ranges[d].low), high = end(ranges[d].high);
    if (auto n = lengthOf(d))
      return loops.blocks(*n, size, [&](Value i, int64_t part) {
        body(loops.add(low, i), b.getIndexAttr(part));
      });
    loops.loop(low, high, size, [&](Value i) {
      Value left = arith::SubIOp::create(b, high, i);
      body(i, arith::MinSIOp::create(b, left, index(size)).getResult());
    });
  }
  /// The op on a block, what it reads across copied to tiles.
  void block(mlir::OpFoldResult rows, mlir::OpFoldResult columns) {
    auto copy = cast<linalg::GenericOp>(b.clone(*op));
    auto maps = copy.getIndexingMapsArray();
    auto *context = b.getContext();
    LocalBuffers inside;
    for (auto [in, tile] : llvm::zip(turned, tiles)) {
      fill(tile, *in, rows, columns);
      unsigned number = in->getOperandNumber();
      copy->setOperand(number, tile);
      maps[number] =
          mlir::AffineMap::get(maps[number].getNumDims(), 0,
                               {mlir::getAffineDimExpr(*across, context),
                                mlir::getAffineDimExpr(*result, context)},
                               context);
      inside.tile[tile] = tile;
    }
    copy.setIndexingMapsAttr(b.getAffineMapArrayAttr(maps));
    SmallVector<LoopRange> own(ranges);
    for (unsigned d : parallel)
      own[d].at = place(d);
    own[*across] = {Value(), b.getIndexAttr(0), rows, place(*across)};
    own[*result] = {Value(), b.getIndexAttr(0), columns, place(*result)};
    emitLoops(b, cast<linalg::LinalgOp>(copy.getOperation()), own, inside,
              vectorBits);
    copy.erase();
  }

  //===-- Tiles -----------------------------------------------------------===//

  void fill(Value tile, OpOperand &in, mlir::OpFoldResult rows,
            mlir::OpFoldResult columns) {
    Value row = ivs[*across], column = ivs[*result];
    auto squaresOf = [&](mlir::OpFoldResult size, function_ref<void(Value)> f) {
      loops.loop(index(0), end(size), square, f);
    };
    squaresOf(columns, [&](Value j) {
      squaresOf(rows, [&](Value i) {
        ivs[*across] = loops.add(row, i);
        auto lines = readSquare(in, column, j, columns, left(rows, i));
        loops.transpose(lines);
        for (auto [r, line] : llvm::enumerate(lines))
          vector::StoreOp::create(b, line, tile,
                                  ValueRange{loops.add(i, int64_t(r)), j});
      });
    });
    ivs[*across] = row;
    ivs[*result] = column;
  }
  /// A mask of what a square has behind `i`; null if it is whole everywhere.
  Value left(mlir::OpFoldResult size, Value i) {
    if (auto n = mlir::getConstantIntValue(size); n && *n % square == 0)
      return {};
    Value rest = arith::SubIOp::create(b, end(size), i);
    return vector::CreateMaskOp::create(
        b, mlir::VectorType::get({square}, b.getI1Type()), rest);
  }
  /// Lines along `across`; past the block's end the last one again.
  SmallVector<Value> readSquare(OpOperand &in, Value column, Value j,
                                mlir::OpFoldResult columns, Value mask) {
    auto n = mlir::getConstantIntValue(columns);
    bool isWhole = n && *n % square == 0;
    Value last = isWhole
                     ? Value()
                     : Value(arith::SubIOp::create(b, end(columns), index(1)));
    SmallVector<Value> lines;
    for (int64_t r = 0; r < square; ++r) {
      Value at = loops.add(j, r);
      if (last)
        at = arith::MinSIOp::create(b, at, last);
      ivs[*result] = loops.add(column, at);
      Values place = indicesOf(in, 0);
      lines.push_back(loops.loadVector(in.get(), place, mask));
    }
    return lines;
  }

  unsigned vectorBits;
  int64_t square; ///< lines, and elements of each, that are turned at a time
  LoopBuilder loops;
  std::optional<unsigned> result, across; ///< loops that move what is written,
                                          ///< and what is read, along vectors
  SmallVector<OpOperand *> turned;
  Values tiles; ///< for each of them
};
} // namespace

bool gradus::emitTurned(ImplicitLocOpBuilder &b, LoopPlan &plan,
                        const LocalBuffers &buffers, unsigned vectorBits) {
  TurnedLoops loops(b, plan, buffers, vectorBits);
  bool matches = loops.match();
  if (matches)
    loops.emit();
  return matches;
}
