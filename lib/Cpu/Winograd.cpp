//===- Winograd.cpp - 3 x 3 convolutions with fewer products --------------===//
//
// Lavin and Gray 2015, "Fast algorithms for convolutional neural networks". A
// tile of 2 x 2 results needs 16 products instead of 36:
//
//   Y = A' [ (G g G') * (B' d B) ] A       d: 4 x 4 pixels, g: 3 x 3 taps
//
// so that all tiles of an image and all channels are 16 matrix products. The
// gradient of the filter is the transposed algorithm, with the same matrices:
//
//   dg = G' [ (A dY A') * (B' d B) ] G
//
// One image at a time, so that what is transformed stays in the second-level
// cache. All transforms run along vectors of channels.
//
//===----------------------------------------------------------------------===//

#include "Winograd.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
namespace vector = mlir::vector;

/// Below these the transforms cost more than the products that they save.
static constexpr int64_t leastChannels = 32, leastTiles = 12;
static constexpr int64_t points = Winograd::points;

std::optional<Winograd> Winograd::match(const Contraction &c) {
  if (!isa<FloatType>(c.element) || c.isNarrow() || c.reductions.size() < 3 ||
      c.rhs.step[c.column] != 1)
    return std::nullopt;
  Winograd w;
  w.c = c;
  auto isReduction = [&](unsigned d) {
    return llvm::is_contained(c.reductions, d);
  };
  // Pairs of a pixel loop and a tap loop that move through the image alike. The
  // taps are added up in a convolution, the pixels in its filter's gradient.
  SmallVector<std::pair<unsigned, unsigned>> pairs;
  for (unsigned tap = 0; tap < c.size.size(); ++tap)
    for (unsigned pixel = 0; pixel < c.size.size(); ++pixel)
      if (tap != pixel && c.size[tap] == 3 && c.lhs.step[tap] != 0 &&
          c.lhs.step[tap] == c.lhs.step[pixel] && c.size[pixel] % 2 == 0 &&
          isReduction(tap) != isReduction(pixel))
        pairs.push_back({pixel, tap});
  if (pairs.size() != 2 || pairs[0].second == pairs[1].second ||
      isReduction(pairs[0].second) != isReduction(pairs[1].second))
    return std::nullopt;
  if (c.lhs.step[pairs[0].first] < c.lhs.step[pairs[1].first])
    std::swap(pairs[0], pairs[1]);
  std::tie(w.rows, w.tapRows) = pairs[0];
  std::tie(w.columns, w.tapColumns) = pairs[1];
  w.ofFilter = !isReduction(w.tapRows);
  std::optional<unsigned> channels;
  for (unsigned d = 0; d < c.size.size(); ++d) {
    if (llvm::is_contained(
            {w.rows, w.columns, w.tapRows, w.tapColumns, c.column}, d))
      continue;
    bool isChannel = c.lhs.step[d] == 1 && isReduction(d) != w.ofFilter;
    if (isChannel && !channels)
      channels = d;
    else
      w.images.push_back(d);
  }
  if (!channels)
    return std::nullopt;
  w.channels = *channels;
  // The filter is the same for all images, its gradient a sum over them.
  for (unsigned d : w.images)
    if (c.size[d] != 1 &&
        (w.ofFilter ? !isReduction(d) : isReduction(d) || c.rhs.step[d] != 0))
      return std::nullopt;
  int64_t tiles = c.size[w.rows] / 2 * (c.size[w.columns] / 2);
  for (int64_t n : {c.size[w.channels], c.columns()})
    if (n < leastChannels || n % c.lanes != 0)
      return std::nullopt;
  return tiles >= leastTiles ? std::optional(w) : std::nullopt;
}

std::optional<std::pair<unsigned, Split>>
Winograd::split(int64_t threads) const {
  if (threads < 2)
    return std::nullopt;
  Split best(c.columns(), c.lanes, threads);
  unsigned loop = c.column;
  if (!ofFilter)
    for (unsigned d : images)
      if (Split s(c.size[d], 1, threads);
          s.balance(threads) >= best.balance(threads)) {
        best = s;
        loop = d;
      }
  if (best.parts < 2)
    return std::nullopt;
  return std::make_pair(loop, best);
}

namespace {
using Tile = SmallVector<Value>; ///< row-major

class Emitter {
public:
  Emitter(ImplicitLocOpBuilder &b, const Winograd &w,
          const RegisterFile &machine)
      : b(b), w(w), c(w.c), machine(machine), ci(c.size[w.channels]),
        co(c.columns()), tileRows(c.size[w.rows] / 2),
        tileColumns(c.size[w.columns] / 2), tiles(tileRows * tileColumns),
        vectorType(mlir::VectorType::get({c.lanes}, c.element)),
        filterColumns(co) {
    if (auto form = constantForm(c.rhs.buffer, lowering::winogradAttr))
      filterColumns = form.asArrayRef()[2];
  }

  Value filter() {
    if (constantForm(c.rhs.buffer, lowering::winogradAttr))
      return constantFilter();
    Value taps = flattenedBuffer(b, c.rhs.buffer), u = allocate(ci * co);
    Value start = startOf(c.rhs);
    loop(ci, 1, [&](Value i) {
      loop(co, c.lanes, [&](Value j) {
        Value at = add(advance(start, i, c.rhs.step[w.channels]), j);
        Tile g = loadTile(taps, at, 3, 3, c.rhs.step[w.tapRows],
                          c.rhs.step[w.tapColumns]);
        storePoints(u, add(advance(index(0), i, co), j), ci * co,
                    both(g, 3, 4, [&](const Tile &x) { return timesG(x); }));
      });
    });
    return u;
  }

  void convolve(Value u, bool startsAtZero) {
    Value v = allocate(tiles * ci), m = allocate(tiles * co);
    overImages([&](Value image, Value, Value result) {
      transformImage(image, v);
      products(v, u, m, {tiles * ci, ci, 0, 1},
               {ci * filterColumns, 0, 1, filterColumns},
               {tiles * co, co, 1, 0}, {points, tiles, co, ci}, true);
      overTiles(co, [&](Value row, Value column, Value tile, Value j) {
        Tile sums =
            loadPoints(m, add(advance(index(0), tile, co), j), tiles * co);
        Tile y = both(sums, 4, 2, [&](const Tile &x) { return timesA(x); });
        storeTile(flattenedBuffer(b, c.out.buffer),
                  add(atTile(result, c.out, row, column), j), y, 2, 2,
                  c.out.step[w.rows], c.out.step[w.columns], startsAtZero);
      });
    });
  }

  void filterGradient(bool startsAtZero) {
    Value v = allocate(tiles * ci), z = allocate(tiles * co),
          u = allocate(ci * co);
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
    loop(points * ci * co, c.lanes,
         [&](Value i) { vector::StoreOp::create(b, zero, u, i); });
    overImages([&](Value image, Value gradient, Value) {
      transformImage(image, v);
      Value from = flattenedBuffer(b, c.rhs.buffer);
      overTiles(co, [&](Value row, Value column, Value tile, Value j) {
        Tile y = loadTile(from, add(atTile(gradient, c.rhs, row, column), j), 2,
                          2, c.rhs.step[w.rows], c.rhs.step[w.columns]);
        storePoints(z, add(advance(index(0), tile, co), j), tiles * co,
                    both(y, 2, 4, [&](const Tile &x) { return spreadA(x); }));
      });
      products(v, z, u, {tiles * ci, 1, 0, ci}, {tiles * co, 0, 1, co},
               {ci * co, co, 1, 0}, {points, ci, co, tiles}, false);
    });
    Value out = flattenedBuffer(b, c.out.buffer), start = startOf(c.out);
    loop(ci, 1, [&](Value i) {
      loop(co, c.lanes, [&](Value j) {
        Tile sums = loadPoints(u, add(advance(index(0), i, co), j), ci * co);
        Tile g = both(sums, 4, 3, [&](const Tile &x) { return gatherG(x); });
        Value at = add(advance(start, i, c.out.step[w.channels]), j);
        storeTile(out, at, g, 3, 3, c.out.step[w.tapRows],
                  c.out.step[w.tapColumns], startsAtZero);
      });
    });
  }

private:
  /// From the first of the columns that a part computes.
  Value constantFilter() {
    Value whole = flattenedBuffer(b, c.rhs.buffer);
    for (auto [loop, i] : c.rowLoops)
      if (loop == c.column) {
        int64_t size = points * ci * filterColumns;
        auto layout = mlir::StridedLayoutAttr::get(b.getContext(),
                                                   ShapedType::kDynamic, {1});
        return memref::ReinterpretCastOp::create(
            b, mlir::MemRefType::get({size}, c.element, layout), whole,
            mlir::OpFoldResult(i),
            ArrayRef<mlir::OpFoldResult>{b.getIndexAttr(size)},
            ArrayRef<mlir::OpFoldResult>{b.getIndexAttr(1)});
      }
    return whole;
  }

  //===-- The matrices ----------------------------------------------------===//

  Value plus(Value x, Value y) { return arith::AddFOp::create(b, x, y); }
  Value minus(Value x, Value y) { return arith::SubFOp::create(b, x, y); }
  Value half(Value x) {
    Value h = arith::ConstantOp::create(
        b, mlir::DenseElementsAttr::get(vectorType,
                                        b.getFloatAttr(c.element, 0.5)));
    return arith::MulFOp::create(b, x, h);
  }
  Tile timesB(const Tile &d) {
    return {minus(d[0], d[2]), plus(d[1], d[2]), minus(d[2], d[1]),
            minus(d[1], d[3])};
  }
  Tile timesG(const Tile &g) {
    Value ends = plus(g[0], g[2]);
    return {g[0], half(plus(ends, g[1])), half(minus(ends, g[1])), g[2]};
  }
  Tile gatherG(const Tile &u) {
    Value sum = half(plus(u[1], u[2])), difference = half(minus(u[1], u[2]));
    return {plus(u[0], sum), difference, plus(sum, u[3])};
  }
  Tile timesA(const Tile &m) {
    return {plus(plus(m[0], m[1]), m[2]), minus(minus(m[1], m[2]), m[3])};
  }
  Tile spreadA(const Tile &y) {
    return {y[0], plus(y[0], y[1]), minus(y[0], y[1]),
            arith::NegFOp::create(b, y[1])};
  }
  /// The same matrix from the left and, transposed, from the right: `from` x
  /// `from` values become `to` x `to`.
  static Tile both(const Tile &x, unsigned from, unsigned to,
                   function_ref<Tile(const Tile &)> times) {
    Tile columns(to * from), out(to * to);
    for (unsigned j = 0; j < from; ++j) {
      Tile column;
      for (unsigned i = 0; i < from; ++i)
        column.push_back(x[i * from + j]);
      for (auto [i, v] : llvm::enumerate(times(column)))
        columns[i * from + j] = v;
    }
    for (unsigned i = 0; i < to; ++i) {
      Tile row(columns.begin() + i * from, columns.begin() + (i + 1) * from);
      for (auto [j, v] : llvm::enumerate(times(row)))
        out[i * to + j] = v;
    }
    return out;
  }

  //===-- Loops and memory ------------------------------------------------===//

  Value index(int64_t n) { return arith::ConstantIndexOp::create(b, n); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, x, y); }
  Value advance(Value at, Value i, int64_t n) {
    return add(at, arith::MulIOp::create(b, i, index(n)));
  }
  Value startOf(const LinearAccess &access) {
    Value at = index(access.start);
    for (auto [loop, i] : c.rowLoops)
      if (access.step[loop] != 0)
        at = advance(at, i, access.step[loop]);
    return at;
  }
  /// Room for the 16 points of `each` values.
  Value allocate(int64_t each) {
    return memref::AllocOp::create(
        b, mlir::MemRefType::get({points * each}, c.element));
  }
  void loop(int64_t size, int64_t step, function_ref<void(Value)> body) {
    auto made = scf::ForOp::create(b, index(0), index(size), index(step));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(made.getBody());
    body(made.getInductionVar());
  }
  /// `body` with where each image starts in the three buffers.
  void overImages(function_ref<void(Value, Value, Value)> body) {
    imageLoops(w.images, startOf(c.lhs), startOf(c.rhs), startOf(c.out), body);
  }
  void imageLoops(ArrayRef<unsigned> loops, Value lhs, Value rhs, Value out,
                  function_ref<void(Value, Value, Value)> body) {
    if (loops.empty())
      return body(lhs, rhs, out);
    unsigned d = loops[0];
    if (c.size[d] == 1)
      return imageLoops(loops.drop_front(), lhs, rhs, out, body);
    loop(c.size[d], 1, [&](Value i) {
      imageLoops(loops.drop_front(), advance(lhs, i, c.lhs.step[d]),
                 advance(rhs, i, c.rhs.step[d]), advance(out, i, c.out.step[d]),
                 body);
    });
  }
  /// `body` with the row and column of each tile, its number, and where each
  /// vector of `channels` starts.
  void overTiles(int64_t channels,
                 function_ref<void(Value, Value, Value, Value)> body) {
    loop(tileRows, 1, [&](Value row) {
      loop(tileColumns, 1, [&](Value column) {
        Value tile = add(advance(index(0), row, tileColumns), column);
        loop(channels, c.lanes, [&](Value j) { body(row, column, tile, j); });
      });
    });
  }
  Value atTile(Value start, const LinearAccess &access, Value row,
               Value column) {
    return advance(advance(start, row, 2 * access.step[w.rows]), column,
                   2 * access.step[w.columns]);
  }

  Tile loadTile(Value from, Value at, int64_t rows, int64_t columns,
                int64_t rowStep, int64_t columnStep) {
    Tile tile;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        tile.push_back(
            vector::LoadOp::create(b, vectorType, from,
                                   add(at, index(i * rowStep + j * columnStep)))
                .getResult());
    return tile;
  }
  void storeTile(Value to, Value at, const Tile &tile, int64_t rows,
                 int64_t columns, int64_t rowStep, int64_t columnStep,
                 bool overwrite) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        Value place = add(at, index(i * rowStep + j * columnStep));
        Value v = tile[i * columns + j];
        if (!overwrite)
          v = plus(vector::LoadOp::create(b, vectorType, to, place), v);
        vector::StoreOp::create(b, v, to, place);
      }
  }
  Tile loadPoints(Value from, Value at, int64_t step) {
    return loadTile(from, at, 1, points, 0, step);
  }
  void storePoints(Value to, Value at, int64_t step, const Tile &tile) {
    storeTile(to, at, tile, 1, points, 0, step, true);
  }

  //===-- The steps -------------------------------------------------------===//

  /// B' d B of every tile of an image.
  void transformImage(Value image, Value v) {
    Value from = flattenedBuffer(b, c.lhs.buffer);
    overTiles(ci, [&](Value row, Value column, Value tile, Value j) {
      Tile d = loadTile(from, add(atTile(image, c.lhs, row, column), j), 4, 4,
                        c.lhs.step[w.rows], c.lhs.step[w.columns]);
      storePoints(v, add(advance(index(0), tile, ci), j), tiles * ci,
                  both(d, 4, 4, [&](const Tile &x) { return timesB(x); }));
    });
  }

  using Steps = std::array<int64_t, 4>;
  /// out[p, i, j] (+)= sum over k of lhs[p, i, k] * rhs[p, k, j]; steps by p,
  /// i, j, k.
  void products(Value lhs, Value rhs, Value out, Steps lhsSteps, Steps rhsSteps,
                Steps outSteps, Steps sizes, bool startsAtZero) {
    auto access = [](Value buffer, const Steps &steps) {
      return LinearAccess{
          {/*start=*/0, SmallVector<int64_t>(ArrayRef<int64_t>(steps))},
          buffer};
    };
    Contraction product;
    product.lhs = access(lhs, lhsSteps);
    product.rhs = access(rhs, rhsSteps);
    product.out = access(out, outSteps);
    product.size = SmallVector<int64_t>(ArrayRef<int64_t>(sizes));
    product.outer = {0};
    product.row = 1;
    product.column = 2;
    product.reductions = {3};
    product.element = c.element;
    product.lanes = c.lanes;
    product.words = Words::single(c.element);
    emitContraction(b, product, Blocking::choose(product, machine),
                    startsAtZero, {});
  }

  ImplicitLocOpBuilder &b;
  const Winograd &w;
  const Contraction &c;
  RegisterFile machine;
  int64_t ci, co, tileRows, tileColumns, tiles;
  mlir::VectorType vectorType;
  int64_t filterColumns; ///< from channel to channel of the filter
};
} // namespace

Value Winograd::emitFilter(ImplicitLocOpBuilder &b) const {
  return ofFilter ? Value() : Emitter(b, *this, {}).filter();
}
void Winograd::emit(ImplicitLocOpBuilder &b, Value filter, bool startsAtZero,
                    const RegisterFile &machine) const {
  Emitter emitter(b, *this, machine);
  if (ofFilter)
    emitter.filterGradient(startsAtZero);
  else
    emitter.convolve(filter, startsAtZero);
}
