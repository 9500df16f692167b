//===- TileKernel.cpp - sums of a tile in tile registers (AMX) ------------===//
//
// The processor has eight registers of up to 16 rows of 64 bytes. One
// instruction multiplies 16 rows of lhs, of 16 words each, with 16 steps of
// rhs, of 16 columns each, and adds to 16 x 16 sums. Each sum of the tile has a
// register, as has each of its 16 rows of lhs and each of its 16 columns of
// rhs; lhs is read where it lies, if the elements of a row follow each other
// there.
//
// The registers' sizes are those of the tile, ragged or not: reading and
// writing needs no masks. Setting the sizes takes about as long as multiplying
// ten times, so it is done once where all tiles are of one size.
//
// Registers are named by number here, not left to LLVM's allocator, which
// keeps every size in a register of its own and so has too few.
//
//===----------------------------------------------------------------------===//

#include "MicroKernel.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace LLVM = mlir::LLVM;
namespace memref = mlir::memref;
namespace vector = mlir::vector;

namespace {
/// What `ldtilecfg` reads (Intel, Software Developer's Manual, vol. 1, 18.3).
struct TileSizes {
  static constexpr int64_t bytes = 64;
  [[maybe_unused]] static constexpr int64_t registers = 8;
  std::array<int8_t, bytes> data{/*palette=*/1};

  void set(int64_t number, int64_t rows, int64_t rowBytes) {
    constexpr int64_t firstRowBytes = 16, firstRows = 48;
    assert(number < registers && rows <= 16 && rowBytes <= 64);
    data[firstRowBytes + 2 * number] = int8_t(rowBytes);
    data[firstRows + number] = int8_t(rows);
  }
};

class TileKernel : public MicroKernel {
public:
  using MicroKernel::MicroKernel;

  void open() override {
    sizes = memref::AllocOp::create(
        b, mlir::MemRefType::get({TileSizes::bytes}, b.getI8Type()));
  }
  /// A thread that leaves its tiles as they are pays for them at each switch.
  void close() override { call("llvm.x86.tilerelease", {}); }

  void prepare(int64_t height, int64_t width) override {
    constexpr int64_t wordBytes = 4;
    TileSizes tile;
    forSums(height, width, [&](int64_t r, int64_t v, int64_t number) {
      tile.set(number, part(height, r), part(width, v) * wordBytes);
    });
    for (int64_t r = 0; r < tiles(height); ++r)
      tile.set(lhsTile(height, width, r), part(height, r),
               words.stepsAtOnce * wordBytes);
    for (int64_t v = 0; v < tiles(width); ++v)
      tile.set(rhsTile(height, width, v), words.stepsAtOnce,
               part(width, v) * wordBytes);
    auto type = mlir::VectorType::get({TileSizes::bytes}, b.getI8Type());
    vector::StoreOp::create(
        b,
        arith::ConstantOp::create(
            b, mlir::DenseElementsAttr::get(type, ArrayRef<int8_t>(tile.data))),
        sizes, index(0));
    call("llvm.x86.ldtilecfg", {address(sizes, index(0))});
  }

  void emit(const Offsets &at, int64_t height, int64_t width, int64_t depth,
            bool zero) override {
    auto place = [&](int64_t r, int64_t v) {
      return add(at.out, r * side * outAcross() + v * side);
    };
    forSums(height, width, [&](int64_t r, int64_t v, int64_t number) {
      if (zero)
        call("llvm.x86.tilezero", {tile(number)});
      else
        load(number, out, place(r, v), outAcross());
    });
    reduce(0, at, height, width, steps(depth));
    forSums(height, width, [&](int64_t r, int64_t v, int64_t number) {
      call("llvm.x86.tilestored64",
           {tile(number), address(out, place(r, v)), stride(out, outAcross())});
    });
  }

private:
  /// Rows, columns and steps of a register.
  static constexpr int64_t side = 16;

  static int64_t tiles(int64_t size) { return llvm::divideCeil(size, side); }
  static int64_t part(int64_t size, int64_t i) {
    return std::min(size - i * side, side);
  }
  static void forSums(int64_t height, int64_t width,
                      function_ref<void(int64_t, int64_t, int64_t)> body) {
    for (int64_t r = 0; r < tiles(height); ++r)
      for (int64_t v = 0; v < tiles(width); ++v)
        body(r, v, r * tiles(width) + v);
  }
  static int64_t lhsTile(int64_t height, int64_t width, int64_t r) {
    return tiles(height) * tiles(width) + r;
  }
  static int64_t rhsTile(int64_t height, int64_t width, int64_t v) {
    return lhsTile(height, width, tiles(height)) + v;
  }

  /// Runs reduction loop `n` and those inside it; `rest` steps are left of the
  /// block.
  void reduce(unsigned n, const Offsets &at, int64_t height, int64_t width,
              int64_t rest) {
    if (n == c.reductions.size())
      return multiply(at, height, width);
    bool innermost = n + 1 == c.reductions.size();
    int64_t size = innermost ? rest : c.size[c.reductions[n]];
    rest /= size;
    blocks(size, innermost ? words.stepsAtOnce : 1, [&](Value i, int64_t) {
      reduce(n + 1, moved(at, n, i, rest), height, width, rest);
    });
  }
  void multiply(const Offsets &at, int64_t height, int64_t width) {
    for (int64_t v = 0; v < tiles(width); ++v)
      load(rhsTile(height, width, v), rhs,
           add(at.rhs, v * side * rhsElements()), panel * rhsElements());
    for (int64_t r = 0; r < tiles(height); ++r) {
      int64_t x = lhsTile(height, width, r);
      load(x, lhs, add(at.lhs, r * side * lhsAcross()), lhsAcross());
      for (int64_t v = 0; v < tiles(width); ++v)
        call(words.part.isBF16() ? "llvm.x86.tdpbf16ps" : "llvm.x86.tdpbssd",
             {tile(r * tiles(width) + v), tile(x),
              tile(rhsTile(height, width, v))});
    }
  }

  //===-- Instructions ----------------------------------------------------===//

  void call(StringRef intrinsic, ValueRange operands) {
    LLVM::CallIntrinsicOp::create(b, b.getStringAttr(intrinsic), operands);
  }
  Value tile(int64_t number) {
    return LLVM::ConstantOp::create(b, b.getI8Type(), number);
  }
  void load(int64_t number, Value buffer, Value at, int64_t rowElements) {
    call("llvm.x86.tileloadd64",
         {tile(number), address(buffer, at), stride(buffer, rowElements)});
  }
  static int64_t bytesOf(Value buffer) {
    return lowering::elementBytes(elementOf(buffer));
  }
  Value stride(Value buffer, int64_t elements) {
    return LLVM::ConstantOp::create(b, b.getI64Type(),
                                    elements * bytesOf(buffer));
  }
  Value address(Value buffer, Value at) {
    Value first = memref::ExtractAlignedPointerAsIndexOp::create(b, buffer);
    Value bits = arith::IndexCastOp::create(
        b, b.getI64Type(), advance(first, at, bytesOf(buffer)));
    return LLVM::IntToPtrOp::create(
        b, LLVM::LLVMPointerType::get(b.getContext()), bits);
  }

  Value sizes;
};
} // namespace

std::unique_ptr<MicroKernel> gradus::createTileKernel(ImplicitLocOpBuilder &b,
                                                      const Contraction &c,
                                                      const Blocking &k) {
  return std::make_unique<TileKernel>(b, c, k);
}
