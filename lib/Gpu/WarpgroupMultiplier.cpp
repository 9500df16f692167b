//===- WarpgroupMultiplier.cpp - products in tensor cores (wgmma) ---------===//
//
// A warpgroup, 128 threads, has 64 rows of the block's tile and all of its
// columns. The tensor cores read both operands from shared memory while the
// threads go on; a descriptor of 64 bits says where and how (PTX ISA,
// "Asynchronous Warpgroup Level Matrix Instructions"): tiles lie as
// ChunkedTile::place puts them, chunks of 128 bytes exchanged.
//
// The sums are one struct of registers that belong to the tensor cores from the
// first instruction of a stage until the wait for it. The fence before and the
// wait behind are inline assembly that returns them, else nothing would order
// what writes and reads them.
//
//===----------------------------------------------------------------------===//

#include "EmitProduct.h"
#include "Quads.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace LLVM = mlir::LLVM;
namespace NVVM = mlir::NVVM;

namespace {
constexpr int64_t groupRows = 64;
/// Of a tile's line or piece, which the exchange of chunks is made for; eight
/// of them are what it repeats after.
constexpr int64_t lineBytes = 128, patternBytes = 8 * lineBytes;

class WarpgroupMultiplier : public Multiplier {
public:
  WarpgroupMultiplier(const Product &p, const Tiles &t, const Stages &stages)
      : p(p), t(t), stages(stages) {}

  Type sumType() const override { return p.out.element; }
  SmallVector<Value> zeros(Kernel &k) const override {
    return {LLVM::ZeroOp::create(k.b, structType(k))};
  }
  int64_t stagesInFlight() const override { return 1; }

  void allocate(Kernel &k) override {
    for (Factor f : {Lhs, Rhs})
      tiles[f] =
          k.largeShared(k.b.getI32Type(), stages.count * stages.tiles[f].size(),
                        patternBytes);
    group = k.uniform(k.at.div(k.thread(), warpgroupThreads));
    for (Factor f : {Lhs, Rhs})
      descriptors[f] = descriptor(k, f);
  }
  Value memory(Factor operand) const override { return tiles[operand]; }
  void store(Kernel &, Factor, Value, Value, ArrayRef<Value>) override {
    llvm_unreachable("tiles are copied");
  }

  /// What threads wrote becomes visible to tensor cores.
  void beforeBarrier(Kernel &k) override {
    NVVM::FenceProxyOp::create(
        k.b, NVVM::ProxyKind::async_shared,
        NVVM::SharedSpaceAttr::get(k.b.getContext(),
                                   NVVM::SharedSpace::shared_cta));
  }

  SmallVector<Value> multiply(Kernel &k, ValueRange sums,
                              Value stage) override {
    Value at[2];
    for (Factor f : {Lhs, Rhs}) {
      Value offset = k.at.mul(stage, stages.tiles[f].size() * 4 / unit);
      at[f] = arith::AddIOp::create(
          k.b, descriptors[f],
          arith::IndexCastUIOp::create(k.b, k.b.getI64Type(), offset));
    }
    Value sum = ordered(k, sums[0], "wgmma.fence.sync.aligned;");
    for (int64_t step = 0; step < t.depth / instructionDepth(); ++step)
      sum = add(k, sum, advanced(k, Lhs, at[Lhs], step),
                advanced(k, Rhs, at[Rhs], step));
    NVVM::WgmmaGroupSyncAlignedOp::create(k.b);
    return {sum};
  }

  SmallVector<Value> settle(Kernel &k, ValueRange sums,
                            int64_t pending) override {
    return {ordered(k, sums[0],
                    "wgmma.wait_group.sync.aligned " + std::to_string(pending) +
                        ";")};
  }

  void forEachSum(Kernel &k, ValueRange sums, int64_t stored,
                  function_ref<void(Value, Value, ValueRange)> visit) override {
    Value firstRow = k.at.mul(k.at.div(k.thread(), warpSize), groupRows / 4);
    SmallVector<Value> registers;
    for (int64_t i = 0; i < sumCount(); ++i)
      registers.push_back(LLVM::ExtractValueOp::create(k.b, sums[0], i));
    SmallVector<QuadSums> all;
    for (int64_t half = 0; half < 2; ++half) {
      QuadSums row{half * 8, {}};
      for (int64_t i = half * 2; i < sumCount(); i += 4)
        row.pairs.push_back(ValueRange(registers).slice(i, 2));
      all.push_back(row);
    }
    visitQuads(k, all, stored, [&](Value row, Value column, ValueRange sums) {
      visit(k.at.add(firstRow, row), column, sums);
    });
  }

private:
  /// Descriptors count in 16 bytes.
  static constexpr int64_t unit = 16;

  int64_t elementBytes() const { return lowering::elementBytes(p.lhs.element); }
  int64_t instructionDepth() const { return 32 / elementBytes(); }
  int64_t sumCount() const { return t.columns / 2; }
  Type structType(Kernel &k) const {
    return LLVM::LLVMStructType::getLiteral(
        k.b.getContext(), SmallVector<Type>(sumCount(), k.b.getF32Type()));
  }
  /// The sums behind an instruction that, to LLVM, has nothing to do with them.
  Value ordered(Kernel &k, Value sums, const std::string &instruction) const {
    SmallVector<Value> registers;
    std::string results, operands;
    for (int64_t i = 0; i < sumCount(); ++i) {
      registers.push_back(LLVM::ExtractValueOp::create(k.b, sums, i));
      results += "=f,";
      operands += (i ? "," : "") + std::to_string(i);
    }
    return LLVM::InlineAsmOp::create(
               k.b, structType(k), registers, instruction, results + operands,
               /*has_side_effects=*/true, /*is_align_stack=*/false,
               LLVM::tailcallkind::TailCallKind::None, LLVM::AsmDialectAttr(),
               ArrayAttr())
        .getResult(0);
  }
  /// From a piece of a tile to the next, where lines are cut.
  int64_t pieceBytes(Factor f) const {
    return stages.tiles[f].lines * lineBytes;
  }

  /// Of this warpgroup's part of the first stage's tile.
  Value descriptor(Kernel &k, Factor f) {
    Type word = k.b.getI32Type(), wide = k.b.getI64Type();
    bool isDeep = stages.tiles[f].depthInLine;
    Value offset = k.at.number(0);
    if (f == Lhs)
      offset =
          k.at.mul(group, (isDeep ? groupRows * lineBytes : pieceBytes(f)) / 4);
    Value address =
        LLVM::PtrToIntOp::create(k.b, word, k.address(tiles[f], offset));
    auto constant = [&](Type type, int64_t n) -> Value {
      return arith::ConstantIntOp::create(k.b, type, n);
    };
    constexpr int64_t addressBits = 0x3ffff, swizzle128 = int64_t(1) << 62;
    Value start = arith::ShRUIOp::create(
        k.b, arith::AndIOp::create(k.b, address, constant(word, addressBits)),
        constant(word, llvm::Log2_64(unit)));
    // Between pieces; between groups of eight lines.
    int64_t leading = (isDeep ? unit : pieceBytes(f)) / unit,
            stride = patternBytes / unit;
    return arith::OrIOp::create(
        k.b, arith::ExtUIOp::create(k.b, wide, start),
        constant(wide, leading << 16 | stride << 32 | swizzle128));
  }
  /// Of what instruction number `step` takes.
  Value advanced(Kernel &k, Factor f, Value descriptor, int64_t step) {
    int64_t bytes = stages.tiles[f].depthInLine
                        ? instructionDepth() * elementBytes()
                        : instructionDepth() * lineBytes;
    return k.b.createOrFold<arith::AddIOp>(
        descriptor, arith::ConstantIntOp::create(k.b, k.b.getI64Type(),
                                                 step * bytes / unit));
  }

  Value add(Kernel &k, Value sum, Value lhs, Value rhs) {
    auto *context = k.b.getContext();
    NVVM::WGMMATypes type = p.lhs.element.isF16()    ? NVVM::WGMMATypes::f16
                            : p.lhs.element.isBF16() ? NVVM::WGMMATypes::bf16
                                                     : NVVM::WGMMATypes::tf32;
    // Row by row is along the depth for lhs, across it for rhs.
    bool lhsIsDeep = stages.tiles[Lhs].depthInLine,
         rhsIsDeep = stages.tiles[Rhs].depthInLine;
    return NVVM::WgmmaMmaAsyncOp::create(
        k.b, structType(k), sum, lhs, rhs,
        NVVM::MMAShapeAttr::get(context, int(groupRows), int(t.columns),
                                int(instructionDepth())),
        type, type, NVVM::WGMMATypes::f32, NVVM::WGMMAScaleOut::one,
        NVVM::WGMMAScaleIn::one, NVVM::WGMMAScaleIn::one,
        lhsIsDeep ? NVVM::MMALayout::row : NVVM::MMALayout::col,
        rhsIsDeep ? NVVM::MMALayout::col : NVVM::MMALayout::row,
        NVVM::MMAIntOverflowAttr());
  }

  const Product &p;
  const Tiles &t;
  Stages stages;
  Value tiles[2], descriptors[2];
  Value group; ///< this thread's warpgroup
};
} // namespace

std::unique_ptr<Multiplier>
gpu::createWarpgroupMultiplier(const Product &p, const Tiles &t,
                               const Stages &stages) {
  return std::make_unique<WarpgroupMultiplier>(p, t, stages);
}
