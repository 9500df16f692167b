//===- VectorKernel.cpp - sums of a tile as vectors of each row -----------===//
//
// One vector for each row and vector of the tile, carried through the reduction
// loops as separate values of native width; every step loads the tile's vectors
// of rhs and, for each row, broadcasts one word of lhs. Ragged columns are
// masked.
//
//===----------------------------------------------------------------------===//

#include "MicroKernel.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace memref = mlir::memref;
namespace scf = mlir::scf;
namespace vector = mlir::vector;

namespace {
class VectorKernel : public MicroKernel {
public:
  using MicroKernel::MicroKernel;

  void open() override {
    if (k.streams)
      startsAtVector = isAligned(out);
    if (words.flips)
      excess = memref::AllocOp::create(
          b, mlir::MemRefType::get({k.blockRows}, words.sum));
  }
  /// Other threads see what was written past the caches before they see that
  /// this part is done.
  void close() override {
    if (k.streams)
      mlir::LLVM::CallIntrinsicOp::create(
          b, b.getStringAttr("llvm.x86.sse.sfence"), ValueRange());
  }

  /// All tiles of a row have the same excess.
  void openRows(const Offsets &at, Value first, int64_t height,
                int64_t depth) override {
    Accumulators rows(k.packLhs ? 1 : height, zeroVector(c.element));
    rows = sumRows(0, at, height, steps(depth), rows);
    Value each = arith::ConstantOp::create(b, b.getIntegerAttr(words.sum, 128));
    for (int64_t r = 0; r < height; ++r) {
      Value sum = k.packLhs ? Value(vector::ExtractOp::create(b, rows[0], r))
                            : vector::ReductionOp::create(
                                  b, vector::CombiningKind::ADD, rows[r]);
      memref::StoreOp::create(b, arith::MulIOp::create(b, sum, each), excess,
                              ValueRange{add(first, r)});
    }
  }

  void emit(const Offsets &at, int64_t height, int64_t width, int64_t depth,
            bool zero) override {
    int64_t vectors = llvm::divideCeil(width, lanes);
    // What is there comes first: products are added in one order, however deep
    // the blocks are.
    Accumulators sums(height * vectors, zeroVector(c.element));
    if (!zero)
      forSums(at, height, width, [&](int64_t i, Value place, Value mask) {
        Value old = loadVector(out, place, mask);
        sums[i] = isFirst
                      ? Value(arith::SelectOp::create(b, isFirst, sums[i], old))
                      : old;
      });
    if (words.flips)
      takeExcess(height, sums);
    sums = reduce(0, at, height, width, steps(depth), sums);
    auto store = [&](bool streams) {
      forSums(at, height, width, [&](int64_t i, Value place, Value mask) {
        if (streams)
          vector::StoreOp::create(b, sums[i], out, ValueRange{place},
                                  /*nontemporal=*/true,
                                  llvm::MaybeAlign(vectorBytes()));
        else
          storeVector(sums[i], out, place, mask);
      });
    };
    if (!startsAtVector || !zero || width % lanes != 0)
      return store(/*streams=*/false);
    eitherWay(startsAtVector, store);
  }

private:
  using Accumulators = SmallVector<Value>;
  static constexpr int64_t lineBits = 512; ///< of a cache

  int64_t vectorBytes() const {
    return lanes * lowering::elementBytes(c.element);
  }
  /// Does the buffer start where a vector may? A caller's need not.
  Value isAligned(Value buffer) {
    Value at = memref::ExtractAlignedPointerAsIndexOp::create(b, buffer);
    Value rest = arith::RemUIOp::create(b, at, index(vectorBytes()));
    return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, rest, index(0));
  }

  /// Calls visit(number, place in the result, mask or null) for each vector of
  /// a tile.
  void forSums(const Offsets &at, int64_t height, int64_t width,
               function_ref<void(int64_t, Value, Value)> visit) {
    int64_t vectors = llvm::divideCeil(width, lanes);
    for (int64_t r = 0; r < height; ++r) {
      Value row = add(at.out, r * outAcross());
      forVectors(width, [&](int64_t v, Value mask) {
        visit(r * vectors + v, add(row, v * lanes), mask);
      });
    }
  }

  //===-- Unsigned elements -----------------------------------------------===//

  /// Elements of rhs that are 128 too high make each sum of a row 128 times the
  /// sum of the row's elements too large.
  void takeExcess(int64_t height, Accumulators &sums) {
    int64_t vectors = int64_t(sums.size()) / height;
    for (int64_t r = 0; r < height; ++r) {
      Value one = memref::LoadOp::create(b, excess, ValueRange{add(row, r)});
      Value all = vector::BroadcastOp::create(b, vectorOf(words.sum), one);
      for (int64_t v = 0; v < vectors; ++v)
        sums[r * vectors + v] =
            arith::SubIOp::create(b, sums[r * vectors + v], all);
    }
  }
  /// Adds the elements of each row of lhs up: in lanes of a vector a row, or,
  /// where words of the rows lie side by side, in a lane a row.
  Accumulators sumRows(unsigned n, const Offsets &at, int64_t height,
                       int64_t rest, const Accumulators &rows) {
    bool innermost = n + 1 == c.reductions.size();
    int64_t size = innermost ? rest : c.size[c.reductions[n]];
    rest /= size;
    if (!innermost)
      return carry(size, 1, rows, [&](Value i, const Accumulators &now) {
        return sumRows(n + 1, moved(at, n, i, rest), height, rest, now);
      });
    auto addWords = [&](Value i, int64_t count, const Accumulators &now) {
      Offsets place = moved(at, n, i, rest);
      Accumulators next;
      for (auto [r, sum] : llvm::enumerate(now)) {
        Value words =
            vectorOfWords(add(place.lhs, int64_t(r) * lhsAcross()), count);
        next.push_back(dotQuads(sum, ones(), words));
      }
      return next;
    };
    int64_t atOnce = k.packLhs ? 1 : lanes, whole = size / atOnce * atOnce;
    Accumulators sums =
        carry(whole, atOnce, rows, [&](Value i, const Accumulators &now) {
          return addWords(i, k.packLhs ? height : lanes, now);
        });
    return whole < size ? addWords(index(whole), size - whole, sums) : sums;
  }
  /// `count` words of lhs that follow each other.
  Value vectorOfWords(Value at, int64_t count) {
    int64_t elements = k.packLhs ? 1 : words.elements;
    Value mask;
    if (count < lanes)
      mask = vector::CreateMaskOp::create(
          b, mlir::VectorType::get({lanes * elements}, b.getI1Type()),
          index(count * elements));
    return loadVector(lhs, at, mask, elements);
  }
  mlir::VectorType quadsType() const {
    return mlir::VectorType::get({4 * lanes}, words.part);
  }
  Value ones() {
    return arith::ConstantOp::create(
        b, mlir::DenseElementsAttr::get(quadsType(),
                                        b.getIntegerAttr(words.part, 1)));
  }
  /// sum + the products of four unsigned and four signed elements a lane.
  Value dotQuads(Value sum, Value isUnsigned, Value isSigned) {
    auto quads = [&](Value v) {
      return vector::BitCastOp::create(b, quadsType(), v);
    };
    return call("llvm.x86.avx512.vpdpbusd." + Twine(lanes * 32),
                cast<mlir::VectorType>(sum.getType()),
                {sum, quads(isUnsigned), quads(isSigned)});
  }

  //===-- Sums ------------------------------------------------------------===//

  /// A loop that carries sums through.
  Accumulators
  carry(int64_t end, int64_t step, const Accumulators &sums,
        function_ref<Accumulators(Value, const Accumulators &)> body) {
    if (end == 0)
      return sums;
    if (end == step)
      return body(index(0), sums);
    return carry(index(0), index(end), step, sums, body);
  }
  Accumulators
  carry(Value from, Value end, int64_t step, const Accumulators &sums,
        function_ref<Accumulators(Value, const Accumulators &)> body) {
    auto loop = scf::ForOp::create(
        b, from, end, index(step), sums,
        [&](OpBuilder &nested, Location loc, Value i, ValueRange args) {
          Accumulators results;
          within(nested, [&] { results = body(i, Accumulators(args)); });
          scf::YieldOp::create(nested, loc, results);
        });
    return Accumulators(loop.getResults());
  }

  /// Runs reduction loop `n` and those inside it; `rest` steps are left of
  /// the block.
  Accumulators reduce(unsigned n, Offsets at, int64_t height, int64_t width,
                      int64_t rest, const Accumulators &sums) {
    if (n == c.reductions.size())
      return step(at, height, width, sums);
    bool innermost = n + 1 == c.reductions.size();
    int64_t size = innermost ? rest : c.size[c.reductions[n]];
    rest /= size;
    if (n < ranges.size() && ranges[n])
      return carry(ranges[n]->first, ranges[n]->second, 1, sums,
                   [&](Value i, const Accumulators &now) {
                     return reduce(n + 1, moved(at, n, i, rest), height, width,
                                   rest, now);
                   });
    // A small tile is repeated until a step has work to overlap; a large one
    // only costs compile time.
    constexpr int64_t enough = 16;
    int64_t work = height * llvm::divideCeil(width, lanes);
    int64_t unroll = innermost ? std::clamp<int64_t>(enough / work, 1,
                                                     std::min<int64_t>(size, 4))
                               : 1;
    int64_t whole = size / unroll * unroll;
    auto steps = [&](Value first, int64_t count, Accumulators s) {
      for (int64_t u = 0; u < count; ++u)
        s = reduce(n + 1, moved(at, n, add(first, u), rest), height, width,
                   rest, s);
      return s;
    };
    Accumulators carried =
        carry(whole, unroll, sums, [&](Value i, const Accumulators &now) {
          if (c.reductions.size() == 1 && unroll == 1)
            for (const LaterTile &tile : later)
              fetch(tile, i, whole, height, width);
          return steps(i, unroll, now);
        });
    if (whole < size)
      carried = steps(index(whole), size - whole, carried);
    return carried;
  }

  Accumulators step(const Offsets &at, int64_t height, int64_t width,
                    Accumulators sums) {
    int64_t vectors = llvm::divideCeil(width, lanes);
    Accumulators y(vectors);
    // Packed panels are whole vectors: what lies past the columns is not
    // stored.
    forVectors(width, [&](int64_t v, Value mask) {
      Value loaded = loadVector(
          at.copyTo ? uncopied : rhs, add(at.rhs, v * lanes * rhsElements()),
          k.pack || c.panel ? Value() : mask, rhsElements());
      y[v] = rhsElements() > 1
                 ? vector::BitCastOp::create(b, vectorOf(words.type()), loaded)
                 : widened(loaded, words.type());
      if (at.copyTo)
        storeVector(y[v], rhs, add(at.copyTo, v * lanes), /*mask=*/Value());
    });
    // A low tile waits for memory anyway, and has no time to ask for more.
    constexpr int64_t enoughRows = 5;
    if (height >= enoughRows)
      prefetch(at, vectors);
    for (int64_t r = 0; r < height; ++r) {
      Value place = add(at.lhs, r * lhsAcross());
      Value x =
          words.part && !k.packLhs
              ? wordAt(lhs, place)
              : widened(memref::LoadOp::create(b, lhs, place), words.type());
      Value wide = vector::BroadcastOp::create(b, vectorOf(words.type()), x);
      for (int64_t v = 0; v < vectors; ++v)
        sums[r * vectors + v] = multiplyAdd(wide, y[v], sums[r * vectors + v]);
    }
    return sums;
  }

  /// Does the first cache hold the columns of a tile and the next ones, while
  /// several tiles of rows read them where they lie?
  bool keepsNextColumns() {
    constexpr int64_t firstCacheBytes = 40 * 1024;
    int64_t bytes =
        k.blockDepth * panel * (words.type().getIntOrFloatBitWidth() / 8);
    return c.rhs.step[c.column] == 1 && c.rows() > k.tileRows &&
           2 * bytes <= firstCacheBytes;
  }
  /// Do rows of rhs start with a line if the first does?
  bool startsWithLines() const {
    int64_t bits = int64_t(words.type().getIntOrFloatBitWidth());
    return c.rhs.step[c.reductions.back()] * bits % lineBits == 0;
  }
  /// Asks for rhs some steps ahead. The processor's own prefetching is not far
  /// enough ahead of a tile for the caches behind the second, and does not
  /// follow rows that lie far apart.
  void prefetch(const Offsets &at, int64_t vectors) {
    constexpr int64_t panelSteps = 32, rowSteps = 16;
    constexpr unsigned intoFirstCache = 3;
    bool inPanels = (k.pack && !at.copyTo) || c.panel;
    if (!inPanels && c.reductions.size() != 1)
      return;
    int64_t ahead = inPanels ? panelSteps * panel * rhsElements()
                    : keepsNextColumns() && !at.copyTo
                        ? panel
                        : rowSteps * c.rhs.step[c.reductions[0]];
    // Once a line.
    int64_t bits = lanes * words.type().getIntOrFloatBitWidth(),
            together = std::max<int64_t>(lineBits / bits, 1);
    auto fetch = [&](int64_t element) {
      memref::PrefetchOp::create(b, at.copyTo ? uncopied : rhs,
                                 ValueRange{add(at.rhs, element + ahead)},
                                 /*isWrite=*/false, intoFirstCache,
                                 /*isDataCache=*/true);
    };
    for (int64_t v = 0; v < vectors; v += together)
      fetch(v * lanes * rhsElements());
    // Stretches that do not start with a line end in the midst of another one,
    // of short ones a large part.
    constexpr int64_t fewVectors = 3;
    if (!inPanels && vectors <= fewVectors && !startsWithLines())
      fetch(vectors * lanes - 1);
  }

  /// Asks for step `i`'s share of a tile: some steps for each of its rows, so
  /// that requests do not wait for each other.
  void fetch(const LaterTile &tile, Value i, int64_t steps, int64_t height,
             int64_t width) {
    constexpr unsigned intoSecondCache = 2;
    int64_t line =
        lineBits / 8 / lowering::elementBytes(elementOf(tile.buffer));
    int64_t lines = llvm::divideCeil(width, line);
    // Powers of two: there is no time to divide. Steps past the last row ask
    // for the rows below, whose turn is next.
    int64_t stepsOfRow =
        llvm::bit_floor(uint64_t(std::max<int64_t>(steps / height, 1)));
    int64_t places =
        std::min<int64_t>(stepsOfRow, llvm::bit_ceil(uint64_t(lines)));
    int64_t atOnce = llvm::divideCeil(lines, places);
    Value row = arith::ShRUIOp::create(b, i, index(llvm::Log2_64(stepsOfRow)));
    Value place = arith::AndIOp::create(b, i, index(places - 1));
    Value at =
        advance(advance(tile.corner, row, tile.across), place, atOnce * line);
    for (int64_t n = 0; n < atOnce; ++n)
      memref::PrefetchOp::create(b, tile.buffer, ValueRange{add(at, n * line)},
                                 /*isWrite=*/false, intoSecondCache,
                                 /*isDataCache=*/true);
  }

  //===-- Products --------------------------------------------------------===//

  Value call(const Twine &intrinsic, mlir::VectorType result,
             ValueRange operands) {
    return mlir::LLVM::CallIntrinsicOp::create(
               b, result, b.getStringAttr(intrinsic), operands)
        .getResult(0);
  }

  /// sum + x * y on vectors of words.
  Value multiplyAdd(Value x, Value y, Value sum) {
    if (!words.part) {
      if (isa<FloatType>(words.sum))
        return vector::FMAOp::create(b, x, y, sum);
      return arith::AddIOp::create(b, sum, arith::MulIOp::create(b, x, y));
    }
    if (words.flips)
      return dotQuads(sum, y, x);
    auto type = cast<mlir::VectorType>(sum.getType());
    int64_t bits = lanes * 32;
    auto pairs = mlir::VectorType::get({2 * lanes}, words.part);
    x = vector::BitCastOp::create(b, pairs, x);
    y = vector::BitCastOp::create(b, pairs, y);
    if (words.part.isBF16())
      return call("llvm.x86.avx512bf16.dpbf16ps." + Twine(bits), type,
                  {sum, x, y});
    if (c.dots.i16Add)
      return call("llvm.x86.avx512.vpdpwssd." + Twine(bits), type, {sum, x, y});
    StringRef product = bits == 512   ? "llvm.x86.avx512.pmaddw.d.512"
                        : bits == 256 ? "llvm.x86.avx2.pmadd.wd"
                                      : "llvm.x86.sse2.pmadd.wd";
    return arith::AddIOp::create(b, sum, call(product, type, {x, y}));
  }

  Value excess; ///< of each row of a block, if elements of rhs are flipped
  Value startsAtVector; ///< null if the result is not written past the caches
};
} // namespace

std::unique_ptr<MicroKernel> gradus::createVectorKernel(ImplicitLocOpBuilder &b,
                                                        const Contraction &c,
                                                        const Blocking &k) {
  return std::make_unique<VectorKernel>(b, c, k);
}
