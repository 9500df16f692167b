//===- TensorMultiplier.cpp - products in tensor cores (mma.sync) ---------===//
//
// Tiles that come by way of registers lie with the depth innermost, in words of
// 32 bits: one element, or two of 16 bits. Rows are four words longer than they
// hold, so that the eight rows that a warp reads at a time lie in different
// banks. Those that are copied in chunks lie as memory has them, several stages
// of both; ldmatrix reads them, and turns elements of 16 bits; of f32 the
// lowest 13 bits are cut off, not rounded, which would take as long as to
// multiply. A warp has warpRows x warpColumns of the result, in squares of 16 x
// 8; which lane holds what of a square: PTX ISA, "Warp-level matrix
// instructions".
//
// f32 as three products of tf32: x = h + l, where h is x without its lowest 13
// bits and l = x - h exactly, so x y = h h' + h l' + l h' but for l l', below
// 2^-20 of it. Infinities become NaN (inf - inf).
//
//===----------------------------------------------------------------------===//

#include "EmitProduct.h"
#include "Quads.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace LLVM = mlir::LLVM;
namespace memref = mlir::memref;
namespace NVVM = mlir::NVVM;

namespace {
constexpr int64_t squareRows = 16, squareColumns = 8;

class TensorMultiplier : public Multiplier {
public:
  TensorMultiplier(const Product &p, const Tiles &t, Precision precision,
                   std::optional<Stages> stages)
      : p(p), t(t), stages(stages) {
    Type element = p.lhs.element;
    if (element.isF16() || (element.isF32() && precision == Precision::F16))
      type = NVVM::MMATypes::f16;
    else if (element.isBF16() ||
             (element.isF32() && precision == Precision::Bf16))
      type = NVVM::MMATypes::bf16;
    else
      type = NVVM::MMATypes::tf32;
    isSplit = element.isF32() && precision == Precision::F32;
  }

  int64_t depthAtATime() const override { return halves() ? 2 : 1; }
  SmallVector<Value> zeros(Kernel &k) const override {
    return SmallVector<Value>(across() * down() * 4, k.zero(sumType()));
  }
  Type sumType() const override { return p.out.element; }

  void allocate(Kernel &k) override {
    Type word = k.b.getI32Type();
    constexpr int64_t lineOfBanks = 128;
    constexpr int64_t wordBytes = 4;
    bool isLarge =
        stages && stages->words() * wordBytes > Kernel::mostStaticShared;
    for (Factor f : {Lhs, Rhs}) {
      if (!stages) {
        tiles[f] = k.shared(word, (f == Lhs ? t.rows : t.columns) * pitch());
        continue;
      }
      int64_t words = stages->count * stages->tiles[f].size();
      tiles[f] = isLarge ? k.largeShared(word, words, lineOfBanks)
                         : k.shared(word, words, lineOfBanks);
    }
    Value warp = k.at.div(k.thread(), warpSize);
    lane = k.at.rem(k.thread(), warpSize);
    int64_t warps = t.columns / t.warpColumns;
    firstRow = k.at.mul(k.at.div(warp, warps), t.warpRows);
    firstColumn = k.at.mul(k.at.rem(warp, warps), t.warpColumns);
    group = k.at.div(lane, 4);
    member = k.at.rem(lane, 4);
  }

  Value memory(Factor operand) const override { return tiles[operand]; }

  void store(Kernel &k, Factor tile, Value row, Value depth,
             ArrayRef<Value> elements) override {
    Value place =
        k.at.add(k.at.mul(row, pitch()), k.at.div(depth, depthAtATime()));
    memref::StoreOp::create(k.b, wordOf(k, elements), tiles[tile], place);
  }

  SmallVector<Value> multiply(Kernel &k, ValueRange before,
                              Value stage) override {
    SmallVector<Value> sums(before);
    if (stage)
      for (Factor f : {Lhs, Rhs})
        stageStart[f] = k.at.mul(stage, stages->tiles[f].size());
    // A step of the instruction takes eight words of depth.
    for (int64_t word = 0; word < wordsDeep(); word += 8) {
      Fragments a = fragments(k, Lhs, word), b = fragments(k, Rhs, word);
      if (!isSplit) {
        addSquares(k, a, b, sums);
        continue;
      }
      auto [aHigh, aLow] = split(k, a);
      auto [bHigh, bLow] = split(k, b);
      // The small terms first.
      addSquares(k, aLow, bHigh, sums);
      addSquares(k, aHigh, bLow, sums);
      addSquares(k, aHigh, bHigh, sums);
    }
    return sums;
  }

  void forEachSum(Kernel &k, ValueRange sums, int64_t stored,
                  function_ref<void(Value, Value, ValueRange)> visit) override {
    SmallVector<QuadSums> all;
    for (int64_t i = 0; i < down(); ++i)
      for (int64_t half = 0; half < 2; ++half) {
        QuadSums row{i * squareRows + half * 8, {}};
        for (int64_t j = 0; j < across(); ++j)
          row.pairs.push_back(sums.slice((i * across() + j) * 4 + half * 2, 2));
        all.push_back(row);
      }
    visitQuads(k, all, stored, [&](Value row, Value column, ValueRange sums) {
      visit(k.at.add(firstRow, row), k.at.add(firstColumn, column), sums);
    });
  }

private:
  using Fragments = SmallVector<SmallVector<Value>>;

  bool halves() const { return type != NVVM::MMATypes::tf32; }
  int64_t wordsDeep() const { return t.depth / depthAtATime(); }
  int64_t pitch() const { return wordsDeep() + 4; }
  int64_t down() const { return t.warpRows / squareRows; }
  int64_t across() const { return t.warpColumns / squareColumns; }

  /// An element or two, rounded, as one word.
  Value wordOf(Kernel &k, ArrayRef<Value> elements) {
    Type word = k.b.getI32Type(), half = k.b.getI16Type();
    if (!halves()) {
      Value v = elements[0];
      return arith::BitcastOp::create(k.b, word,
                                      isSplit ? v : roundedToTf32(k, v));
    }
    SmallVector<Value> bits;
    for (Value v : elements) {
      Type narrow = type == NVVM::MMATypes::f16 ? Type(k.b.getF16Type())
                                                : k.b.getBF16Type();
      if (v.getType() != narrow)
        v = arith::TruncFOp::create(k.b, narrow, v);
      v = arith::BitcastOp::create(k.b, half, v);
      bits.push_back(arith::ExtUIOp::create(k.b, word, v));
    }
    Value sixteen = arith::ConstantOp::create(k.b, k.b.getI32IntegerAttr(16));
    Value high = arith::ShLIOp::create(k.b, bits[1], sixteen);
    return arith::OrIOp::create(k.b, bits[0], high);
  }

  /// What this lane holds of each square of an operand and eight words of
  /// depth.
  Fragments fragments(Kernel &k, Factor tile, int64_t word) {
    Value first = tile == Lhs ? firstRow : firstColumn;
    int64_t count = tile == Lhs ? down() : across();
    Fragments all;
    if (!stages) {
      int64_t rows = tile == Lhs ? squareRows : squareColumns;
      for (int64_t i = 0; i < count; ++i)
        all.push_back(fragment(k, tile, first, i * rows, word));
      return all;
    }
    // Four words at a time: a square of 16 rows, or two of 8 columns.
    for (int64_t i = 0; i < count; i += tile == Lhs ? 1 : 2) {
      SmallVector<Value> four = fourWords(
          k, tile, first, i * (tile == Lhs ? squareRows : squareColumns), word);
      if (tile == Lhs) {
        all.push_back(four);
        continue;
      }
      all.push_back({four[0], four[1]});
      all.push_back({four[2], four[3]});
    }
    return all;
  }

  /// Of 16 rows from `offset` after `first` and eight words of depth, in
  /// chunked tiles. Lhs: four words of depth of all rows, then the other four;
  /// rhs: all words of depth of eight columns, then of the other eight.
  SmallVector<Value> fourWords(Kernel &k, Factor tile, Value first,
                               int64_t offset, int64_t word) {
    const ChunkedTile &layout = stages->tiles[tile];
    if (!layout.depthInLine && !halves())
      return singleWords(k, tile, first, offset, word);
    // A lane says where a row of one of four matrices begins: 8 lanes each.
    Value row = k.at.rem(lane, 8), odd = k.at.rem(k.at.div(lane, 8), 2),
          second = k.at.div(lane, 16);
    Value rowHalf = tile == Lhs ? odd : second,
          depthHalf = tile == Lhs ? second : odd,
          start = k.at.add(first, offset);
    Value line, chunk;
    if (layout.depthInLine) {
      line = k.at.add(k.at.add(start, row), k.at.mul(rowHalf, 8));
      chunk = k.at.add(depthHalf, word / 4);
    } else {
      line = k.at.add(k.at.add(row, k.at.mul(depthHalf, 8)),
                      word * depthAtATime());
      chunk = k.at.add(k.at.div(start, 8), rowHalf);
    }
    Type type = k.b.getI32Type();
    Value place = k.at.add(stageStart[tile], layout.place(k, line, chunk));
    Value loaded = NVVM::LdMatrixOp::create(
        k.b,
        LLVM::LLVMStructType::getLiteral(k.b.getContext(),
                                         {type, type, type, type}),
        k.address(tiles[tile], place), 4,
        layout.depthInLine ? NVVM::MMALayout::row : NVVM::MMALayout::col,
        NVVM::LdStMatrixShapeAttr::get(k.b.getContext(), 8, 8),
        NVVM::LdStMatrixEltType::B16);
    SmallVector<Value> words;
    for (int64_t i = 0; i < 4; ++i)
      words.push_back(LLVM::ExtractValueOp::create(k.b, loaded, i));
    return words;
  }
  /// The same of elements of 32 bits whose rows follow each other.
  SmallVector<Value> singleWords(Kernel &k, Factor tile, Value first,
                                 int64_t offset, int64_t word) {
    const ChunkedTile &layout = stages->tiles[tile];
    SmallVector<Value> words;
    for (int64_t i = 0; i < 4; ++i) {
      bool otherRows = tile == Lhs ? i % 2 : i / 2,
           otherDepth = tile == Lhs ? i / 2 : i % 2;
      Value row = k.at.add(k.at.add(first, group), offset + 8 * otherRows),
            depth = k.at.add(member, word + 4 * otherDepth);
      Value place = layout.place(k, depth, k.at.div(row, layout.elements));
      place = k.at.add(place, k.at.rem(row, layout.elements));
      words.push_back(memref::LoadOp::create(
          k.b, tiles[tile], k.at.add(stageStart[tile], place)));
    }
    return words;
  }
  /// What this lane holds of 16 (lhs) or 8 (rhs) rows and eight words of depth.
  SmallVector<Value> fragment(Kernel &k, Factor tile, Value first,
                              int64_t offset, int64_t word) {
    SmallVector<Value> words;
    auto load = [&](int64_t row, int64_t column) {
      Value place = k.at.add(k.at.mul(k.at.add(first, group), pitch()), member);
      words.push_back(memref::LoadOp::create(
          k.b, tiles[tile],
          k.at.add(place, (offset + row) * pitch() + word + column)));
    };
    for (int64_t column : {0, 4})
      for (int64_t row = 0; row < (tile == Lhs ? squareRows : squareColumns);
           row += 8)
        load(row, column);
    return words;
  }

  std::pair<Fragments, Fragments> split(Kernel &k, const Fragments &all) {
    Type f32 = k.b.getF32Type(), word = k.b.getI32Type();
    Fragments high, low;
    for (const auto &words : all) {
      high.emplace_back();
      low.emplace_back();
      for (Value v : words) {
        auto [upper, rest] =
            splitForTf32(k, arith::BitcastOp::create(k.b, f32, v));
        high.back().push_back(arith::BitcastOp::create(k.b, word, upper));
        low.back().push_back(arith::BitcastOp::create(k.b, word, rest));
      }
    }
    return {high, low};
  }

  void addSquares(Kernel &k, const Fragments &a, const Fragments &b,
                  llvm::MutableArrayRef<Value> sums) {
    for (int64_t i = 0; i < down(); ++i)
      for (int64_t j = 0; j < across(); ++j) {
        auto square = sums.slice((i * across() + j) * 4, 4);
        SmallVector<Value> next = addSquare(k, a[i], b[j], square);
        llvm::copy(next, square.begin());
      }
  }
  SmallVector<Value> addSquare(Kernel &k, ArrayRef<Value> a, ArrayRef<Value> b,
                               ArrayRef<Value> sums) {
    auto operands = [&](ArrayRef<Value> words) {
      if (type != NVVM::MMATypes::f16)
        return SmallVector<Value>(words);
      auto pair = mlir::VectorType::get({2}, k.b.getF16Type());
      return llvm::map_to_vector(words, [&](Value w) -> Value {
        return LLVM::BitcastOp::create(k.b, pair, w);
      });
    };
    Type f32 = k.b.getF32Type();
    auto result = LLVM::LLVMStructType::getLiteral(k.b.getContext(),
                                                   {f32, f32, f32, f32});
    std::optional<std::array<NVVM::MMATypes, 2>> types;
    if (type != NVVM::MMATypes::f16) // which f16 says by itself
      types = {type, type};
    Value d = NVVM::MmaOp::create(
        k.b, result, operands(a), operands(b), sums,
        {squareRows, squareColumns, halves() ? 16 : 8}, std::nullopt,
        std::nullopt, types,
        std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
    SmallVector<Value> next;
    for (int64_t r = 0; r < 4; ++r)
      next.push_back(LLVM::ExtractValueOp::create(k.b, d, r));
    return next;
  }

  const Product &p;
  const Tiles &t;
  std::optional<Stages> stages;
  NVVM::MMATypes type;
  bool isSplit;
  Value tiles[2], lane, firstRow, firstColumn, group, member;
  Value stageStart[2]; ///< the first word of the stage that is multiplied
};
} // namespace

Value gpu::roundedToTf32(Kernel &k, Value v) {
  // The tensor core cuts the lowest 13 bits off. What is no number has them
  // set, and would become one.
  auto number = [&](int32_t n) -> Value {
    return arith::ConstantOp::create(k.b, k.b.getI32IntegerAttr(n));
  };
  Value bits = arith::BitcastOp::create(k.b, k.b.getI32Type(), v);
  Value rounded = arith::AndIOp::create(
      k.b, arith::AddIOp::create(k.b, bits, number(0x1000)), number(~0x1fff));
  Value isNan = arith::CmpFOp::create(k.b, arith::CmpFPredicate::UNO, v, v);
  return arith::SelectOp::create(
      k.b, isNan, v, arith::BitcastOp::create(k.b, v.getType(), rounded));
}

std::pair<Value, Value> gpu::splitForTf32(Kernel &k, Value v) {
  Value mask = arith::ConstantOp::create(k.b, k.b.getI32IntegerAttr(~0x1fff));
  Value bits = arith::BitcastOp::create(k.b, k.b.getI32Type(), v);
  Value high = arith::BitcastOp::create(k.b, v.getType(),
                                        arith::AndIOp::create(k.b, bits, mask));
  return {high, arith::SubFOp::create(k.b, v, high)};
}

std::unique_ptr<Multiplier>
gpu::createTensorMultiplier(const Product &p, const Tiles &t,
                            Precision precision, std::optional<Stages> stages) {
  return std::make_unique<TensorMultiplier>(p, t, precision, stages);
}
