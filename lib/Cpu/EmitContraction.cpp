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

Value gradus::flattenedBuffer(ImplicitLocOpBuilder &b, Value buffer) {
  auto type = cast<mlir::MemRefType>(buffer.getType());
  if (type.getRank() == 1)
    return buffer;
  auto flat =
      mlir::MemRefType::get({type.getNumElements()}, type.getElementType());
  SmallVector<mlir::ReassociationIndices> all;
  if (type.getRank() == 0)
    return memref::ExpandShapeOp::create(b, flat, buffer, all);
  all.push_back(llvm::to_vector(llvm::seq<int64_t>(0, type.getRank())));
  return memref::CollapseShapeOp::create(b, flat, buffer, all);
}

namespace {
class Emitter {
public:
  Emitter(ImplicitLocOpBuilder &b, const Contraction &contraction,
          const Blocking &blocking, bool startsAtZero, const Epilogue *epilogue)
      : b(b), c(contraction), k(blocking), startsAtZero(startsAtZero),
        epilogue(epilogue),
        vectorType(mlir::VectorType::get({c.lanes}, c.element)),
        panel(k.tileVectors * c.lanes) {
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

  //===-- Index arithmetic ------------------------------------------------===//

  Value index(int64_t n) { return arith::ConstantIndexOp::create(b, n); }
  Value add(Value a, Value x) { return arith::AddIOp::create(b, a, x); }
  Value add(Value a, int64_t n) { return n ? add(a, index(n)) : a; }
  /// a + n * i
  Value advance(Value a, Value i, int64_t n) {
    if (n == 0)
      return a;
    return add(a, n == 1 ? i : Value(arith::MulIOp::create(b, i, index(n))));
  }
  Position moved(Position p, unsigned loop, Value i) {
    p.lhs = advance(p.lhs, i, c.lhs.step[loop]);
    p.rhs = advance(p.rhs, i, c.rhs.step[loop]);
    p.out = advance(p.out, i, c.out.step[loop]);
    if (epilogue)
      p.loops[loop] = p.loops[loop] ? add(p.loops[loop], i) : i;
    return p;
  }
  /// `body(first, size)` for [0, size) in blocks; the last may be shorter, so
  /// that every body knows its size.
  void blocks(int64_t size, int64_t block,
              function_ref<void(Value, int64_t)> body) {
    int64_t whole = size / block * block;
    if (whole == block)
      body(index(0), block);
    else if (whole > 0)
      loop(0, whole, block, [&](Value i) { body(i, block); });
    if (whole < size)
      body(index(whole), size - whole);
  }
  void loop(int64_t low, int64_t high, int64_t step,
            function_ref<void(Value)> body) {
    scf::ForOp::create(
        b, index(low), index(high), index(step), ValueRange(),
        [&](OpBuilder &nested, Location loc, Value i, ValueRange) {
          within(nested, [&] { body(i); });
          scf::YieldOp::create(nested, loc);
        });
  }
  /// Runs `body` with `b` where `nested` stands.
  void within(OpBuilder &nested, function_ref<void()> body) {
    OpBuilder::InsertionGuard guard(b);
    b.restoreInsertionPoint(nested.saveInsertionPoint());
    body();
    nested.restoreInsertionPoint(b.saveInsertionPoint());
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
      panels = memref::AllocOp::create(
          b, mlir::MemRefType::get({k.blockDepth * k.blockColumns}, c.element));
    if (k.packLhs)
      lhsPanels = memref::AllocOp::create(
          b, mlir::MemRefType::get({k.blockDepth * k.blockRows}, c.element));
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
    blocks(c.size[d], 1, [&](Value i, int64_t) {
      parallelLoops(loops.drop_front(), moved(at, d, i), body);
    });
  }

  void columnBlocks(Position at) {
    blocks(c.columns(), k.blockColumns, [&](Value j, int64_t columns) {
      depthBlocks(moved(at, c.column, j), columns);
    });
  }

  void depthBlocks(Position at, int64_t columns) {
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
    blocks(c.rows(), k.blockRows, [&](Value i, int64_t rows) {
      Position block = c.row ? moved(at, *c.row, i) : at;
      if (k.packLhs)
        packLhs(block.lhs, rows, depth);
      blocks(columns, stretch(), [&](Value j, int64_t width) {
        Position part = moved(block, c.column, j);
        if (k.pack) // panels lie one after the other
          part.rhs = advance(index(0), j, depth);
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
        tile.rhs = advance(block.rhs, j, depth);
      blocks(rows, k.packLhs ? lhsGroup() : rows, [&](Value g, int64_t some) {
        lhsWidth = some;
        blocks(some, k.tileRows, [&](Value r, int64_t height) {
          Position corner =
              c.row ? moved(moved(tile, *c.row, g), *c.row, r) : tile;
          if (k.packLhs)
            corner.lhs = add(advance(index(0), g, depth), r);
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

  /// Rows that lie side by side in packed lhs: whole tiles, and whole vectors
  /// to copy.
  int64_t lhsGroup() const { return std::lcm(k.tileRows, c.lanes); }
  /// Copies a block of lhs: group after group of rows, in each the rows of one
  /// step of the reduction side by side.
  void packLhs(Value from, int64_t rows, int64_t depth) {
    int64_t step = c.lhs.step[c.reductions[0]];
    blocks(rows, lhsGroup(), [&](Value g, int64_t width) {
      Value source = advance(from, g, c.lhs.step[*c.row]),
            target = advance(index(0), g, depth);
      loop(0, depth, 1, [&](Value i) {
        Value here = advance(source, i, step),
              there = advance(target, i, width);
        forVectors(width, [&](int64_t v, Value mask) {
          Value x = loadVector(lhs, add(here, v * c.lanes), mask);
          storeVector(x, lhsPanels, add(there, v * c.lanes), mask);
        });
      });
    });
  }
  /// Copies a block of rhs: panel after panel, in each the columns of one step
  /// of the reduction side by side.
  void pack(Value from, int64_t columns, int64_t depth) {
    blocks(columns, panel, [&](Value j, int64_t width) {
      Value source = advance(from, j, c.rhs.step[c.column]);
      Value target = advance(index(0), j, depth);
      int64_t turned = 0;
      if (c.reductions.size() == 1 && c.rhs.step[c.reductions[0]] == 1)
        turned = packSquares(source, target, width, depth);
      if (turned < depth)
        packRows(0, source, target, width, depth, turned);
    });
  }
  /// Turns squares of a vector's length in registers; returns how far along the
  /// reduction they reach.
  int64_t packSquares(Value source, Value target, int64_t width,
                      int64_t depth) {
    int64_t n = c.lanes, whole = width / n * n == width ? depth / n * n : 0;
    if (whole == 0)
      return 0;
    loop(0, whole, n, [&](Value i) {
      loop(0, width, n, [&](Value j) {
        Value from = add(advance(source, j, c.rhs.step[c.column]), i);
        SmallVector<Value> rows;
        for (int64_t r = 0; r < n; ++r)
          rows.push_back(
              loadVector(rhs, add(from, r * c.rhs.step[c.column]), Value()));
        transpose(rows);
        Value to = add(advance(target, i, panel), j);
        for (int64_t r = 0; r < n; ++r)
          vector::StoreOp::create(b, rows[r], panels, add(to, r * panel));
      });
    });
    return whole;
  }
  /// A square of vectors transposed: halves of pairs change places, first at
  /// distance 1, then 2, 4, ...
  void transpose(SmallVector<Value> &rows) {
    int64_t n = c.lanes;
    for (int64_t step = 1; step < n; step *= 2)
      for (int64_t i = 0; i < n; ++i) {
        if (i & step)
          continue;
        SmallVector<int64_t> low, high;
        for (int64_t e = 0; e < n; ++e) {
          low.push_back(e & step ? n + e - step : e);
          high.push_back(e & step ? n + e : e + step);
        }
        Value x = rows[i], y = rows[i + step];
        rows[i] = vector::ShuffleOp::create(b, x, y, low);
        rows[i + step] = vector::ShuffleOp::create(b, x, y, high);
      }
  }
  /// From step `first` of the reduction on.
  void packRows(unsigned n, Value source, Value target, int64_t width,
                int64_t rest, int64_t first) {
    if (n == c.reductions.size())
      return packOne(source, target, width);
    unsigned d = c.reductions[n];
    // A block of a single reduction may be shorter than its loop.
    int64_t size = c.reductions.size() == 1 ? rest : c.size[d];
    rest /= size;
    loop(first, size, 1, [&](Value i) {
      packRows(n + 1, advance(source, i, c.rhs.step[d]),
               advance(target, i, rest * panel), width, rest, 0);
    });
  }
  void packOne(Value source, Value target, int64_t width) {
    if (c.rhs.step[c.column] == 1) {
      forVectors(width, [&](int64_t v, Value mask) {
        Value x = loadVector(rhs, add(source, v * c.lanes), mask);
        vector::StoreOp::create(b, x, panels, add(target, v * c.lanes));
      });
      return;
    }
    loop(0, width, 1, [&](Value j) {
      Value x = memref::LoadOp::create(
          b, rhs, advance(source, j, c.rhs.step[c.column]));
      memref::StoreOp::create(b, x, panels, add(target, j));
    });
  }

  //===-- The micro-kernel ------------------------------------------------===//

  /// `body(v, mask)` for each vector of `width` columns; the mask is null
  /// where the vector is full.
  void forVectors(int64_t width, function_ref<void(int64_t, Value)> body) {
    for (int64_t v = 0; v * c.lanes < width; ++v) {
      int64_t left = width - v * c.lanes;
      Value mask;
      if (left < c.lanes) {
        auto type = mlir::VectorType::get({c.lanes}, b.getI1Type());
        mask = vector::CreateMaskOp::create(b, type, index(left));
      }
      body(v, mask);
    }
  }
  Value zeroVector() {
    return arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
  }
  Value loadVector(Value buffer, Value at, Value mask) {
    if (!mask)
      return vector::LoadOp::create(b, vectorType, buffer, at);
    return vector::MaskedLoadOp::create(b, vectorType, buffer, at, mask,
                                        zeroVector());
  }
  void storeVector(Value v, Value buffer, Value at, Value mask) {
    if (mask)
      vector::MaskedStoreOp::create(b, buffer, at, mask, v);
    else
      vector::StoreOp::create(b, v, buffer, at);
  }
  Value multiplyAdd(Value x, Value y, Value sum) {
    if (isa<FloatType>(c.element))
      return vector::FMAOp::create(b, x, y, sum);
    return arith::AddIOp::create(b, sum, arith::MulIOp::create(b, x, y));
  }
  Value plus(Value x, Value y) {
    if (isa<FloatType>(c.element))
      return arith::AddFOp::create(b, x, y);
    return arith::AddIOp::create(b, x, y);
  }

  using Accumulators = SmallVector<Value>;

  void microKernel(Position at, int64_t height, int64_t width, int64_t depth,
                   bool zero) {
    int64_t vectors = llvm::divideCeil(width, c.lanes);
    Accumulators sums(height * vectors, zeroVector());
    sums = reduce(0, at, height, width, depth, sums);
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
    int64_t size = c.reductions.size() == 1 ? rest : c.size[d];
    rest /= size;
    auto atStep = [&](Position p, Value i) {
      Position q = moved(p, d, i);
      if (k.pack)
        q.rhs = advance(p.rhs, i, rest * panel);
      if (k.packLhs)
        q.lhs = advance(p.lhs, i, lhsWidth);
      return q;
    };
    bool innermost = n + 1 == c.reductions.size();
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
      y[v] = loadVector(k.pack ? panels : rhs, add(at.rhs, v * c.lanes),
                        k.pack || c.packed ? Value() : mask);
    });
    for (int64_t r = 0; r < height; ++r) {
      int64_t rowStep = k.packLhs ? 1 : c.row ? c.lhs.step[*c.row] : 0;
      Value x = memref::LoadOp::create(b, k.packLhs ? lhsPanels : lhs,
                                       add(at.lhs, r * rowStep));
      Value wide = vector::BroadcastOp::create(b, vectorType, x);
      for (int64_t v = 0; v < vectors; ++v)
        sums[r * vectors + v] = multiplyAdd(wide, y[v], sums[r * vectors + v]);
    }
    return sums;
  }

  ImplicitLocOpBuilder &b;
  Contraction c; ///< with the sizes of the part that is being emitted
  const Blocking &k;
  bool startsAtZero;
  const Epilogue *epilogue;
  bool keepsTile = false; ///< the result is `tile`, one block after the other
  mlir::VectorType vectorType;
  int64_t panel;        ///< columns of a tile
  int64_t lhsWidth = 0; ///< rows side by side in packed lhs
  Value lhs, rhs, out, panels, lhsPanels, tile;
};
} // namespace

void gradus::emitContraction(
    ImplicitLocOpBuilder &b, const Contraction &c, const Blocking &blocking,
    bool startsAtZero, const std::optional<std::pair<unsigned, Split>> &split,
    const Epilogue *epilogue) {
  Emitter(b, c, blocking, startsAtZero, epilogue).emit(split);
}
