//===- EmitContraction.cpp - a contraction as loops over vectors ----------===//
//
// Where threads share the work, one parallel loop is cut into parts, each with
// all that follows to itself. The loops, outermost first (after Goto and van de
// Geijn 2008, "Anatomy of high-performance matrix multiplication"):
//
//   parallel loops that move rhs
//     blocks of columns
//       blocks of depth            copy this block of rhs to panels, if asked,
//                                  or leave that to its first tiles
//         parallel loops that do not move rhs
//           blocks of rows         copy this block of lhs, if asked
//             tiles of columns
//               tiles of rows      the micro-kernel: sums in registers
//             the epilogue         once a stretch of columns is complete
//
//===----------------------------------------------------------------------===//

#include "ContractionTiles.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace memref = mlir::memref;

namespace {
class Emitter : ContractionTiles {
public:
  Emitter(ImplicitLocOpBuilder &b, const Contraction &contraction,
          const Blocking &blocking, bool startsAtZero, const Epilogue *epilogue)
      : ContractionTiles(b, contraction, blocking, epilogue),
        startsAtZero(startsAtZero) {
    // A sum that is complete after one block of depth is in no need of memory
    // of its own.
    keepsTile = epilogue && epilogue->ownsResult && startsAtZero &&
                k.blockDepth == c.depth();
    if (!keepsTile)
      return;
    llvm::fill(c.out.step, 0);
    c.out.step[c.column] = 1;
    if (c.row)
      c.out.step[*c.row] = stretch();
  }

  void emit(const std::optional<std::pair<unsigned, Split>> &split) {
    lhs = kernel->lhs = flattenedBuffer(b, c.lhs.buffer);
    rhs = kernel->rhs = kernel->uncopied = flattenedBuffer(b, c.rhs.buffer);
    if (!keepsTile)
      kernel->out = flattenedBuffer(b, c.out.buffer);
    if (epilogue && c.row)
      for (const LinearAccess &other : epilogue->others)
        if (other.step[*c.row] != 0 && other.step[c.column] == 1) {
          epilogueAccesses.push_back(other);
          epilogueAccesses.back().buffer = flattenedBuffer(b, other.buffer);
        }
    Position at{index(c.lhs.start), index(c.rhs.start), index(c.out.start),
                SmallVector<Value>(c.size.size())};
    for (auto [loop, i] : c.rowLoops)
      at = movedToRow(at, loop, i);
    if (split) {
      parts(split->first, split->second, at);
    } else {
      allocatePanels();
      whole(at);
    }
  }

private:
  //===-- The loops -------------------------------------------------------===//

  /// Each part runs over its range of loop `d` as if that were all.
  void parts(unsigned d, const Split &split, Position at) {
    createEvenParts(
        b, split, [&] { allocatePanels(); },
        [&](Value first, int64_t size) {
          c.size[d] = size;
          whole(moved(at, d, first));
          c.size[d] = split.size;
        });
  }

  void allocatePanels() {
    if (k.pack)
      kernel->rhs = allocate(k.blockColumns, k.blockDepth);
    if (k.packLhs)
      kernel->lhs = allocate(k.blockRows, k.blockDepth);
    kernel->open();
    if (keepsTile) {
      SmallVector<int64_t> shape{stretch()};
      if (c.row)
        shape.insert(shape.begin(), k.blockRows);
      tile =
          memref::AllocOp::create(b, mlir::MemRefType::get(shape, c.element));
      kernel->out = flattenedBuffer(b, tile);
    }
  }
  void whole(Position at) {
    bool bounds = c.isBound(c.column) || (c.row && c.isBound(*c.row)) ||
                  c.extent.has_value();
    preparedOnce =
        !bounds && c.columns() % panel == 0 && c.rows() % k.tileRows == 0;
    if (preparedOnce)
      kernel->prepare(k.tileRows, panel);
    parallelLoops(c.outer, at, [&](Position p) { columnBlocks(p); });
    kernel->close();
  }

  void parallelLoops(ArrayRef<unsigned> loops, Position at,
                     function_ref<void(Position)> body) {
    if (loops.empty())
      return body(at);
    unsigned d = loops.front();
    blocksOf(d, c.size[d], {1}, [&](Value i, int64_t) {
      parallelLoops(loops.drop_front(), moved(at, d, i), body);
    });
  }

  void columnBlocks(Position at) {
    if (hasExtent(c.column))
      return unitsOf(*c.extent, c.columns(), [&](Value j, int64_t columns) {
        Position unit = moved(at, c.column, j);
        blocks(columns, k.blockColumns, [&](Value i, int64_t some) {
          depthBlocks(moved(unit, c.column, i), some);
        });
      });
    int64_t sizes[] = {k.blockColumns, panel, c.lanes};
    blocksOf(c.column, c.columns(), sizes, [&](Value j, int64_t columns) {
      depthBlocks(moved(at, c.column, j), columns);
    });
  }

  void depthBlocks(Position at, int64_t columns) {
    if (!c.reductions.empty() && hasExtent(c.reductions[0]))
      return depthInExtent(at, columns);
    if (!c.reductions.empty() && c.isBound(c.reductions[0]))
      return depthToRuntimeLength(at, columns);
    if (c.reductions.empty())
      return depthBlock(at, columns, c.depth(), startsAtZero, true);
    if (c.reductions.size() > 1 && k.blockDepth < c.depth())
      return depthNest(0, at, columns, Value(), Value());
    // Blocks of the outermost loop. The first may start from zero; the others
    // add to it. The last is apart if something follows it, or if it is
    // shorter.
    unsigned d = c.reductions[0];
    int64_t all = c.size[d], inside = c.depth() / all,
            steps = std::min(k.blockDepth / inside, all);
    auto block = [&](Position from, int64_t steps, bool zero, bool last) {
      c.size[d] = steps;
      depthBlock(from, columns, steps * inside, zero, last);
      c.size[d] = all;
    };
    int64_t count = llvm::divideCeil(all, steps);
    int64_t start = (count - 1) * steps, rest = all - start;
    bool apart = count > 1 && (epilogue || rest != steps);
    block(at, steps, startsAtZero, count == 1);
    int64_t end = apart ? start : all;
    if (end > steps)
      loop(steps, end, steps,
           [&](Value i) { block(moved(at, d, i), steps, false, false); });
    if (apart)
      block(moved(at, d, index(start)), rest, false, true);
  }
  /// Blocks of a sum over several loops are alike: whether one is the first or
  /// the last of all is known when it runs. `isFirst`, `isLast`: in the loops
  /// around the `n`th.
  void depthNest(unsigned n, Position at, int64_t columns, Value isFirst,
                 Value isLast) {
    unsigned d = c.reductions[n];
    int64_t all = c.size[d], steps = 1;
    if (n == k.blockLoop) {
      steps = k.blockDepth;
      for (unsigned inner : ArrayRef(c.reductions).drop_front(n + 1))
        steps /= c.size[inner];
    }
    c.size[d] = steps;
    loop(0, all, steps, [&](Value i) {
      auto alsoAt = [&](Value condition, int64_t place) {
        Value isThere =
            arith::CmpIOp::create(b, arith::CmpIPredicate::eq, i, index(place));
        return condition ? Value(arith::AndIOp::create(b, condition, isThere))
                         : isThere;
      };
      Value first = alsoAt(isFirst, 0), last = alsoAt(isLast, all - steps);
      Position there = moved(at, d, i);
      if (n < k.blockLoop)
        return depthNest(n + 1, there, columns, first, last);
      kernel->isFirst = startsAtZero ? first : Value();
      lastBlock = last;
      depthBlock(there, columns, k.blockDepth, /*zero=*/false, /*last=*/true);
      kernel->isFirst = lastBlock = Value();
    });
    c.size[d] = all;
  }
  /// Block after block of each unit; the first of all may start from zero.
  void depthInExtent(Position at, int64_t columns) {
    unsigned d = c.reductions[0];
    int64_t all = c.size[d];
    int64_t word = c.words.elements * c.words.stepsAtOnce;
    int64_t most = std::max<int64_t>(llvm::alignDown(k.blockDepth, word), word);
    unitsOf(*c.extent, all, [&](Value i, int64_t unit) {
      int64_t part = evenPart(llvm::divideCeil(unit, word), most / word) * word;
      blocks(unit, std::min(part, unit), [&](Value s, int64_t steps) {
        c.size[d] = steps;
        Value step = add(i, s);
        auto block = [&](bool zero) {
          depthBlock(moved(at, d, step), columns, steps, zero, /*last=*/false);
        };
        startsAtZero ? fromZeroAt(step, block) : block(false);
      });
    });
    c.size[d] = all;
  }
  /// `block`, starting from zero if `step` is the extent's first.
  void fromZeroAt(Value step, function_ref<void(bool)> block) {
    Value isFirst =
        arith::CmpIOp::create(b, arith::CmpIPredicate::eq, step, c.extent->low);
    if (!c.words.tiles) {
      kernel->isFirst = isFirst;
      block(false);
      kernel->isFirst = Value();
      return;
    }
    eitherWay(isFirst, block);
  }
  /// Each block adds to the result: it is zero before, for there may be none.
  void depthToRuntimeLength(Position at, int64_t columns) {
    unsigned d = c.reductions[0];
    int64_t all = c.size[d], inside = c.depth() / all;
    constexpr int64_t some = 8;
    int64_t sizes[] = {std::max<int64_t>(k.blockDepth / inside, 1), some};
    blocksOf(d, all, sizes, [&](Value i, int64_t steps) {
      c.size[d] = steps;
      depthBlock(moved(at, d, i), columns, steps * inside, /*zero=*/false,
                 /*last=*/false);
    });
    c.size[d] = all;
  }
  void depthBlock(Position at, int64_t columns, int64_t depth, bool zero,
                  bool last) {
    if (k.packsOnUse && columns % panel == 0)
      at.row = index(0);
    else if (k.pack)
      pack(at.rhs, index(0), columns, depth);
    parallelLoops(c.repeats, at, [&](Position p) {
      rowBlocks(p, columns, depth, zero, last);
    });
  }

  void rowBlocks(Position at, int64_t columns, int64_t depth, bool zero,
                 bool last) {
    rowBlocksOf([&](Value i, int64_t rows) {
      Position block = c.row ? moved(at, *c.row, i) : at;
      if (k.packLhs)
        packLhs(block.lhs, rows, depth);
      if (words.flips)
        openRows(block, rows, depth);
      blocks(columns, stretch(), [&](Value j, int64_t width) {
        Position part = moved(block, c.column, j);
        if (k.pack) // panels lie one after the other
          part.panel = advance(index(0), j, kernel->steps(depth));
        if (keepsTile)
          part.out = index(0);
        tiles(part, rows, width, depth, zero, last);
        if (epilogue && last)
          onLastBlock([&] { follow(part, rows, width); });
      });
    });
  }
  /// Of several that are alike.
  void onLastBlock(function_ref<void()> body) {
    if (!lastBlock)
      return body();
    when(lastBlock, body);
  }

  //===-- The epilogue ----------------------------------------------------===//

  /// Columns of a block after which the epilogue runs: what its rows take stays
  /// in the first two caches.
  int64_t stretch() const {
    constexpr int64_t tileBytes = 96 * 1024;
    if (!epilogue)
      return k.blockColumns;
    int64_t bytes = lowering::elementBytes(c.element);
    int64_t most = std::max<int64_t>(tileBytes / bytes / k.blockRows, panel);
    int64_t columns =
        std::min<int64_t>(llvm::alignTo(c.columns(), panel), k.blockColumns);
    return evenPart(columns / panel, most / panel) * panel;
  }
  void follow(const Position &block, int64_t rows, int64_t columns) {
    SmallVector<LoopRange> ranges(c.size.size());
    for (unsigned d = 0; d < ranges.size(); ++d) {
      Value i = block.loops[d];
      bool isRow = c.row && d == *c.row;
      if (isRow || d == c.column)
        ranges[d] = {Value(), b.getIndexAttr(0),
                     b.getIndexAttr(isRow ? rows : columns), i};
      else
        ranges[d].at = i ? i : index(0);
    }
    epilogue->emit(ranges, tile);
  }

  bool startsAtZero;
  bool keepsTile = false; ///< the result is `tile`, one block after the other
  Value tile;
  Value lastBlock; ///< is it, if that is known only when it runs
};
} // namespace

void gradus::emitContraction(
    ImplicitLocOpBuilder &b, const Contraction &c, const Blocking &blocking,
    bool startsAtZero, const std::optional<std::pair<unsigned, Split>> &split,
    const Epilogue *epilogue) {
  Emitter(b, c, blocking, startsAtZero, epilogue).emit(split);
}
