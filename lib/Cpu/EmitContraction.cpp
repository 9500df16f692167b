//===- EmitContraction.cpp - a contraction as loops over vectors ----------===//
//
// Where threads share the work, one parallel loop is cut into parts, each with
// all that follows to itself. The loops, outermost first (after Goto and van de
// Geijn 2008, "Anatomy of high-performance matrix multiplication"):
//
//   parallel loops that move rhs
//     blocks of columns
//       blocks of depth            copy this block of rhs to panels, if asked
//         parallel loops that do not move rhs
//           blocks of rows         copy this block of lhs, if asked
//             tiles of columns
//               tiles of rows      the micro-kernel: sums in registers
//             the epilogue         once a stretch of columns is complete
//
// The micro-kernel keeps one vector for each row and vector of its tile,
// carried through the reduction loops as separate values of native width;
// every step loads the tile's vectors of rhs and, for each row, broadcasts one
// element of lhs. Ragged columns are masked.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include <numeric>

using namespace gradus;
namespace arith = mlir::arith;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
namespace vector = mlir::vector;

namespace {
class Emitter : PanelBuilder {
public:
  Emitter(ImplicitLocOpBuilder &b, const Contraction &contraction,
          const Blocking &blocking, bool startsAtZero, const Epilogue *epilogue)
      : PanelBuilder(b, contraction.lanes, blocking.words, contraction.pairs),
        c(contraction), k(blocking), startsAtZero(startsAtZero),
        epilogue(epilogue), panel(k.tileVectors * c.lanes) {
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
    lhs = flattenedBuffer(b, c.lhs.buffer);
    rhs = flattenedBuffer(b, c.rhs.buffer);
    if (!keepsTile)
      out = flattenedBuffer(b, c.out.buffer);
    Position at{index(c.lhs.start), index(c.rhs.start), index(c.out.start),
                SmallVector<Value>(c.size.size())};
    for (auto [loop, i] : c.rowLoops)
      at = moved(at, loop, i);
    if (split) {
      parts(split->first, split->second, at);
    } else {
      allocatePanels();
      whole(at);
    }
  }

private:
  /// Offsets into the three buffers, and the loops' indices (null: 0).
  struct Position {
    Value lhs, rhs, out;
    SmallVector<Value> loops;
  };

  Position moved(Position p, unsigned loop, Value i) {
    p.lhs = advance(p.lhs, i, c.lhs.step[loop]);
    p.rhs = advance(p.rhs, i, c.rhs.step[loop]);
    p.out = advance(p.out, i, c.out.step[loop]);
    if (epilogue)
      p.loops[loop] = p.loops[loop] ? add(p.loops[loop], i) : i;
    return p;
  }

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
      panels = allocate(k.blockColumns, k.blockDepth);
    if (k.packLhs)
      lhsPanels = allocate(k.blockRows, k.blockDepth);
    if (keepsTile) {
      SmallVector<int64_t> shape{stretch()};
      if (c.row)
        shape.insert(shape.begin(), k.blockRows);
      tile =
          memref::AllocOp::create(b, mlir::MemRefType::get(shape, c.element));
      out = flattenedBuffer(b, tile);
    }
  }
  void whole(Position at) {
    parallelLoops(c.outer, at, [&](Position p) { columnBlocks(p); });
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

  /// Blocks of loop `d`: of the first of the sizes, the last one shorter; of
  /// all of them where a call says how long the loop is.
  void blocksOf(unsigned d, int64_t size, ArrayRef<int64_t> sizes,
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

  void columnBlocks(Position at) {
    int64_t sizes[] = {k.blockColumns, panel, c.lanes};
    blocksOf(c.column, c.columns(), sizes, [&](Value j, int64_t columns) {
      depthBlocks(moved(at, c.column, j), columns);
    });
  }

  void depthBlocks(Position at, int64_t columns) {
    if (!c.reductions.empty() && c.isBound(c.reductions[0]))
      return depthToRuntimeLength(at, columns);
    if (c.reductions.size() != 1)
      return depthBlock(at, columns, c.depth(), startsAtZero, true);
    // The first block may start from zero; the others add to it. The last is
    // apart if something follows it, or if it is shorter.
    unsigned d = c.reductions[0];
    int64_t count = llvm::divideCeil(c.depth(), k.blockDepth);
    int64_t start = (count - 1) * k.blockDepth, rest = c.depth() - start;
    bool apart = count > 1 && (epilogue || rest != k.blockDepth);
    depthBlock(at, columns, std::min(c.depth(), k.blockDepth), startsAtZero,
               count == 1);
    int64_t end = apart ? start : c.depth();
    if (end > k.blockDepth)
      loop(k.blockDepth, end, k.blockDepth, [&](Value i) {
        depthBlock(moved(at, d, i), columns, k.blockDepth, false, false);
      });
    if (apart)
      depthBlock(moved(at, d, index(start)), columns, rest, false, true);
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
    if (k.pack)
      pack(at.rhs, columns, depth);
    parallelLoops(c.repeats, at, [&](Position p) {
      rowBlocks(p, columns, depth, zero, last);
    });
  }

  void rowBlocks(Position at, int64_t columns, int64_t depth, bool zero,
                 bool last) {
    // Where rows end in the midst of a block, tiles and then single ones go on.
    constexpr int64_t mostRows = 48;
    int64_t whole = llvm::alignDown(mostRows, k.tileRows);
    int64_t sizes[] = {std::min(k.blockRows, whole), k.tileRows};
    auto eachBlock = [&](function_ref<void(Value, int64_t)> body) {
      if (c.row && c.isBound(*c.row))
        blocksOf(*c.row, c.rows(), sizes, body);
      else
        blocks(c.rows(), k.blockRows, body);
    };
    eachBlock([&](Value i, int64_t rows) {
      Position block = c.row ? moved(at, *c.row, i) : at;
      if (k.packLhs)
        packLhs(block.lhs, rows, depth);
      blocks(columns, stretch(), [&](Value j, int64_t width) {
        Position part = moved(block, c.column, j);
        if (k.pack) // panels lie one after the other
          part.rhs = advance(index(0), j, steps(depth));
        if (keepsTile)
          part.out = index(0);
        tiles(part, rows, width, depth, zero);
        if (epilogue && last)
          follow(part, rows, width);
      });
    });
  }
  /// All tiles of a block.
  void tiles(Position block, int64_t rows, int64_t columns, int64_t depth,
             bool zero) {
    blocks(columns, panel, [&](Value j, int64_t width) {
      Position tile = moved(block, c.column, j);
      if (k.pack)
        tile.rhs = advance(block.rhs, j, steps(depth));
      blocks(rows, k.packLhs ? lhsGroup() : rows, [&](Value g, int64_t some) {
        lhsWidth = some;
        blocks(some, k.tileRows, [&](Value r, int64_t height) {
          Position corner =
              c.row ? moved(moved(tile, *c.row, g), *c.row, r) : tile;
          if (k.packLhs)
            corner.lhs = add(advance(index(0), g, steps(depth)), r);
          microKernel(corner, height, width, depth, zero);
        });
      });
    });
  }

  //===-- The epilogue ----------------------------------------------------===//

  /// Columns of a block after which the epilogue runs: what its rows take stays
  /// in the first two caches.
  int64_t stretch() const {
    constexpr int64_t tileBytes = 96 * 1024;
    if (!epilogue)
      return k.blockColumns;
    int64_t bytes = c.element.getIntOrFloatBitWidth() / 8;
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

  //===-- Packing ---------------------------------------------------------===//

  /// Steps of a block's reduction loops: a step of the innermost takes a word.
  int64_t steps(int64_t depth) const {
    if (c.reductions.size() == 1)
      return words.steps(depth);
    int64_t inner = c.size[c.reductions.back()];
    return depth / inner * words.steps(inner);
  }
  /// Rows that lie side by side in packed lhs: whole tiles, and whole vectors
  /// to copy.
  int64_t lhsGroup() const { return std::lcm(k.tileRows, c.lanes); }
  /// Copies a block of lhs: group after group of rows.
  void packLhs(Value from, int64_t rows, int64_t depth) {
    Lines lines{lhs, c.lhs.step[*c.row], c.lhs.step[c.reductions[0]]};
    blocks(rows, lhsGroup(), [&](Value g, int64_t width) {
      copy(lines, advance(from, g, lines.across), lhsPanels,
           advance(index(0), g, steps(depth)), width, depth, width);
    });
  }
  /// Copies a block of rhs: panel after panel of columns.
  void pack(Value from, int64_t columns, int64_t depth) {
    blocks(columns, panel, [&](Value j, int64_t width) {
      packColumns(0, advance(from, j, c.rhs.step[c.column]),
                  advance(index(0), j, steps(depth)), width, depth);
    });
  }
  /// The columns under reduction loop `n` and those inside it.
  void packColumns(unsigned n, Value source, Value target, int64_t width,
                   int64_t depth) {
    unsigned d = c.reductions[n];
    if (n + 1 == c.reductions.size())
      return copy({rhs, c.rhs.step[c.column], c.rhs.step[d]}, source, panels,
                  target, width, depth, panel);
    int64_t inner = depth / c.size[d];
    loop(0, c.size[d], 1, [&](Value i) {
      packColumns(n + 1, advance(source, i, c.rhs.step[d]),
                  advance(target, i, steps(inner) * panel), width, inner);
    });
  }

  //===-- The micro-kernel ------------------------------------------------===//

  Value plus(Value x, Value y) {
    if (isa<FloatType>(c.element))
      return arith::AddFOp::create(b, x, y);
    return arith::AddIOp::create(b, x, y);
  }

  using Accumulators = SmallVector<Value>;

  void microKernel(Position at, int64_t height, int64_t width, int64_t depth,
                   bool zero) {
    int64_t vectors = llvm::divideCeil(width, c.lanes);
    Accumulators sums(height * vectors, zeroVector(c.element));
    sums = reduce(0, at, height, width, steps(depth), sums);
    for (int64_t r = 0; r < height; ++r) {
      Value row = add(at.out, c.row ? r * c.out.step[*c.row] : 0);
      forVectors(width, [&](int64_t v, Value mask) {
        Value sum = sums[r * vectors + v], place = add(row, v * c.lanes);
        if (!zero)
          sum = plus(loadVector(out, place, mask), sum);
        storeVector(sum, out, place, mask);
      });
    }
  }

  /// Runs reduction loop `n` and those inside it; `rest` steps are left of
  /// the block.
  Accumulators reduce(unsigned n, Position at, int64_t height, int64_t width,
                      int64_t rest, const Accumulators &sums) {
    if (n == c.reductions.size())
      return step(at, height, width, sums);
    unsigned d = c.reductions[n];
    bool innermost = n + 1 == c.reductions.size();
    int64_t size = innermost ? rest : c.size[d];
    rest /= size;
    auto atStep = [&](Position p, Value i) {
      Position q = moved(p, d, i);
      if (innermost && words.pair)
        q.lhs = advance(p.lhs, i, words.elements() * c.lhs.step[d]);
      if (k.pack)
        q.rhs = advance(p.rhs, i, rest * panel);
      if (k.packLhs)
        q.lhs = advance(p.lhs, i, lhsWidth);
      return q;
    };
    // A small tile is repeated until a step has work to overlap; a large one
    // only costs compile time.
    constexpr int64_t enough = 16;
    int64_t work = height * llvm::divideCeil(width, c.lanes);
    int64_t unroll = innermost ? std::clamp<int64_t>(enough / work, 1,
                                                     std::min<int64_t>(size, 4))
                               : 1;
    int64_t whole = size / unroll * unroll;
    Accumulators carried = sums;
    auto steps = [&](Value first, int64_t count, Accumulators s) {
      for (int64_t u = 0; u < count; ++u)
        s = reduce(n + 1, atStep(at, add(first, u)), height, width, rest, s);
      return s;
    };
    if (whole == unroll) {
      carried = steps(index(0), unroll, carried);
    } else {
      auto loop = scf::ForOp::create(
          b, index(0), index(whole), index(unroll), carried,
          [&](OpBuilder &nested, Location loc, Value i, ValueRange args) {
            Accumulators results;
            within(nested,
                   [&] { results = steps(i, unroll, Accumulators(args)); });
            scf::YieldOp::create(nested, loc, results);
          });
      carried = Accumulators(loop.getResults());
    }
    if (whole < size)
      carried = steps(index(whole), size - whole, carried);
    return carried;
  }

  Accumulators step(Position at, int64_t height, int64_t width,
                    Accumulators sums) {
    int64_t vectors = llvm::divideCeil(width, c.lanes);
    Accumulators y(vectors);
    // Packed panels are whole vectors: what lies past the columns is not
    // stored.
    forVectors(width, [&](int64_t v, Value mask) {
      y[v] = widened(loadVector(k.pack ? panels : rhs, add(at.rhs, v * c.lanes),
                                k.pack || c.packed ? Value() : mask),
                     words.type());
    });
    for (int64_t r = 0; r < height; ++r) {
      int64_t rowStep = k.packLhs ? 1 : c.row ? c.lhs.step[*c.row] : 0;
      Value place = add(at.lhs, r * rowStep);
      Value x = words.pair && !k.packLhs
                    ? pairAt(lhs, place)
                    : widened(memref::LoadOp::create(
                                  b, k.packLhs ? lhsPanels : lhs, place),
                              words.type());
      Value wide = vector::BroadcastOp::create(b, vectorOf(words.type()), x);
      for (int64_t v = 0; v < vectors; ++v)
        sums[r * vectors + v] = multiplyAdd(wide, y[v], sums[r * vectors + v]);
    }
    return sums;
  }

  Contraction c; ///< with the sizes of the part that is being emitted
  const Blocking &k;
  bool startsAtZero;
  const Epilogue *epilogue;
  bool keepsTile = false; ///< the result is `tile`, one block after the other
  int64_t panel;          ///< columns of a tile
  int64_t lhsWidth = 0;   ///< rows side by side in packed lhs
  Value lhs, rhs, out, panels, lhsPanels, tile;
};
} // namespace

void gradus::emitContraction(
    ImplicitLocOpBuilder &b, const Contraction &c, const Blocking &blocking,
    bool startsAtZero, const std::optional<std::pair<unsigned, Split>> &split,
    const Epilogue *epilogue) {
  Emitter(b, c, blocking, startsAtZero, epilogue).emit(split);
}
