//===- DoubleMultiplier.cpp - products of f64 in tensor cores -------------===//
//
// A warp has warpRows x warpColumns of the result, in squares of 8 x 8 that
// take four steps of depth at a time (mma.sync m8n8k4; which lane holds what:
// PTX ISA, "Warp-level matrix instructions"). Products are rounded as
// those of fused multiply-adds, four in an order of the hardware's. Tiles lie
// with a step of depth's rows side by side; what half a warp reads at a time
// lies in different banks.
//
//===----------------------------------------------------------------------===//

#include "EmitProduct.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace gradus;
using namespace gradus::gpu;
namespace LLVM = mlir::LLVM;
namespace memref = mlir::memref;
namespace NVVM = mlir::NVVM;

namespace {
constexpr int64_t squareSide = 8, squareDepth = 4;

class DoubleMultiplier : public Multiplier {
public:
  DoubleMultiplier(const Product &p, const Tiles &t,
                   std::optional<Stages> stages)
      : p(p), t(t), stages(stages) {}

  SmallVector<Value> zeros(Kernel &k) const override {
    return SmallVector<Value>(down() * across() * 2, k.zero(sumType()));
  }
  Type sumType() const override { return p.out.element; }

  void allocate(Kernel &k) override {
    for (Factor f : {Lhs, Rhs})
      tiles[f] = k.shared(sumType(),
                          (stages ? stages->count : 1) * t.depth * pitch(f));
    Value warp = k.at.div(k.thread(), warpSize),
          lane = k.at.rem(k.thread(), warpSize);
    int64_t warps = t.columns / t.warpColumns;
    first[Lhs] = k.at.mul(k.at.div(warp, warps), t.warpRows);
    first[Rhs] = k.at.mul(k.at.rem(warp, warps), t.warpColumns);
    group = k.at.div(lane, 4);
    member = k.at.rem(lane, 4);
  }
  Value memory(Factor operand) const override { return tiles[operand]; }
  void store(Kernel &k, Factor tile, Value row, Value depth,
             ArrayRef<Value> elements) override {
    memref::StoreOp::create(k.b, elements[0], tiles[tile],
                            k.at.add(k.at.mul(depth, pitch(tile)), row));
  }

  SmallVector<Value> multiply(Kernel &k, ValueRange before,
                              Value stage) override {
    SmallVector<Value> sums(before);
    Value starts[2];
    for (Factor f : {Lhs, Rhs}) {
      starts[f] =
          k.at.add(k.at.mul(member, pitch(f)), k.at.add(first[f], group));
      if (stage)
        starts[f] =
            k.at.add(starts[f], k.at.mul(stage, stages->tiles[f].size()));
    }
    for (int64_t step = 0; step < t.depth; step += squareDepth) {
      auto load = [&](Factor f, int64_t square) -> Value {
        return memref::LoadOp::create(
            k.b, tiles[f],
            k.at.add(starts[f], step * pitch(f) + square * squareSide));
      };
      SmallVector<Value> columns;
      for (int64_t j = 0; j < across(); ++j)
        columns.push_back(load(Rhs, j));
      for (int64_t i = 0; i < down(); ++i) {
        Value rows = load(Lhs, i);
        for (int64_t j = 0; j < across(); ++j)
          addSquare(k, rows, columns[j], &sums[(i * across() + j) * 2]);
      }
    }
    return sums;
  }

  void forEachSum(Kernel &k, ValueRange sums, int64_t,
                  function_ref<void(Value, Value, ValueRange)> visit) override {
    Value row = k.at.add(first[Lhs], group),
          column = k.at.add(first[Rhs], k.at.mul(member, 2));
    for (int64_t i = 0; i < down(); ++i)
      for (int64_t j = 0; j < across(); ++j)
        visit(k.at.add(row, i * squareSide), k.at.add(column, j * squareSide),
              sums.slice((i * across() + j) * 2, 2));
  }

private:
  int64_t down() const { return t.warpRows / squareSide; }
  int64_t across() const { return t.warpColumns / squareSide; }
  int64_t pitch(Factor f) const {
    return stages ? stages->tiles[f].pitch : f == Lhs ? t.rows : t.columns;
  }

  /// A lane has two neighbouring sums of a square.
  void addSquare(Kernel &k, Value lhs, Value rhs, Value *sums) const {
    auto type = LLVM::LLVMStructType::getLiteral(k.b.getContext(),
                                                 {sumType(), sumType()});
    Value both[] = {sums[0], sums[1]};
    Value square = NVVM::MmaOp::create(
        k.b, type, lhs, rhs, both, {squareSide, squareSide, squareDepth},
        std::nullopt, std::nullopt, std::nullopt,
        std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
    for (int64_t i = 0; i < 2; ++i)
      sums[i] = LLVM::ExtractValueOp::create(k.b, square, i);
  }

  const Product &p;
  const Tiles &t;
  std::optional<Stages> stages;
  Value tiles[2], first[2], group, member;
};
} // namespace

std::unique_ptr<Multiplier>
gpu::createDoubleMultiplier(const Product &p, const Tiles &t,
                            std::optional<Stages> stages) {
  return std::make_unique<DoubleMultiplier>(p, t, stages);
}
