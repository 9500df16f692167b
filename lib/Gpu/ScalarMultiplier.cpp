//===- ScalarMultiplier.cpp - products in registers -----------------------===//
//
// Tiles lie with the step of depth outermost, so that neighbouring threads read
// neighbouring banks; a thread has `side` x `side` sums, its rows and columns
// side by side. It multiplies as the op's body says, in any type. Elements of
// 32 and 64 bits are copied to several stages of tiles.
//
//===----------------------------------------------------------------------===//

#include "EmitOp.h"
#include "EmitProduct.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace gradus;
using namespace gradus::gpu;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;

namespace {
class ScalarMultiplier : public Multiplier {
public:
  ScalarMultiplier(const Product &p, const Tiles &t,
                   std::optional<Stages> stages)
      : p(p), t(t), stages(stages) {}

  SmallVector<Value> zeros(Kernel &k) const override {
    return SmallVector<Value>(t.side * t.side, k.zero(sumType()));
  }
  Type sumType() const override { return p.out.element; }

  void allocate(Kernel &k) override {
    for (Factor f : {Lhs, Rhs})
      tiles[f] = k.shared(f == Lhs ? p.lhs.element : p.rhs.element,
                          (stages ? stages->count : 1) * t.depth * pitch(f));
    int64_t across = t.columns / t.side;
    row = k.at.mul(k.at.div(k.thread(), across), t.side);
    column = k.at.mul(k.at.rem(k.thread(), across), t.side);
  }
  void store(Kernel &k, Factor tile, Value row, Value depth,
             ArrayRef<Value> elements) override {
    memref::StoreOp::create(k.b, elements[0], tiles[tile],
                            k.at.add(k.at.mul(depth, pitch(tile)), row));
  }
  Value memory(Factor operand) const override { return tiles[operand]; }
  SmallVector<Value> multiply(Kernel &k, ValueRange before,
                              Value stage) override {
    SmallVector<Value> sums(before);
    Value starts[] = {row, column};
    if (stage)
      for (Factor f : {Lhs, Rhs})
        starts[f] =
            k.at.add(starts[f], k.at.mul(stage, stages->tiles[f].size()));
    for (int64_t step = 0; step < t.depth; ++step) {
      SmallVector<Value> x, y;
      auto load = [&](Factor f, int64_t i) -> Value {
        return memref::LoadOp::create(k.b, tiles[f],
                                      k.at.add(starts[f], step * pitch(f) + i));
      };
      for (int64_t i = 0; i < t.side; ++i) {
        x.push_back(load(Lhs, i));
        y.push_back(load(Rhs, i));
      }
      for (int64_t r = 0; r < t.side; ++r)
        for (int64_t c = 0; c < t.side; ++c) {
          Value &sum = sums[r * t.side + c];
          sum = addProduct(k, x[r], y[c], sum);
        }
    }
    return sums;
  }
  void forEachSum(Kernel &k, ValueRange sums, int64_t,
                  function_ref<void(Value, Value, ValueRange)> visit) override {
    for (int64_t r = 0; r < t.side; ++r)
      visit(k.at.add(row, r), column, sums.slice(r * t.side, t.side));
  }

private:
  int64_t pitch(Factor f) const {
    return stages ? stages->tiles[f].pitch : f == Lhs ? t.rows : t.columns;
  }
  Value addProduct(Kernel &k, Value x, Value y, Value sum) {
    // Not math.fma, which becomes a call of CUDA's libdevice.
    if (x.getType() == sum.getType() && isa<FloatType>(x.getType()))
      return mlir::LLVM::FMAOp::create(k.b, x, y, sum);
    linalg::GenericOp op = p.op;
    auto linalgOp = mlir::cast<linalg::LinalgOp>(op.getOperation());
    Value factors[] = {x, y, sum};
    return OpEmitter::emitBody(k, linalgOp, {}, [&](mlir::OpOperand &o) {
      return factors[o.getOperandNumber()];
    })[0];
  }

  const Product &p;
  const Tiles &t;
  std::optional<Stages> stages;
  Value tiles[2], row, column;
};
} // namespace

std::unique_ptr<Multiplier>
gpu::createScalarMultiplier(const Product &p, const Tiles &t,
                            std::optional<Stages> stages) {
  return std::make_unique<ScalarMultiplier>(p, t, stages);
}
