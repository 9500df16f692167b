//===- EmitKernel.cpp - a matrix product as a kernel of threads -----------===//
//
//   for each tile of depth
//     every thread copies its share of both tiles to shared memory
//     barrier
//     for each step of depth: `side` elements of each tile from shared memory,
//       side x side multiply-adds in registers
//     barrier
//   every thread stores its square
//
// In shared memory both tiles lie with the step of depth outermost, so that
// neighbouring threads read neighbouring banks; an operand that lies the other
// way round is turned while it is copied. Outside the matrices zeros are
// copied and nothing is stored.
//
//===----------------------------------------------------------------------===//

#include "Product.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace gpu = mlir::gpu;
namespace memref = mlir::memref;
namespace scf = mlir::scf;

namespace {
class KernelEmitter {
public:
  KernelEmitter(ImplicitLocOpBuilder &b, const Product &p, const Tiles &t)
      : b(b), p(p), t(t) {}

  void emit() {
    auto memory = [&](int64_t n, gpu::AddressSpace space) {
      return mlir::MemRefType::get(
          {n}, p.element, mlir::MemRefLayoutAttrInterface(),
          gpu::AddressSpaceAttr::get(b.getContext(), space));
    };
    auto global = [&](int64_t n) {
      return memory(n, gpu::AddressSpace::Global);
    };
    auto shared = [&](int64_t n) {
      return memory(n, gpu::AddressSpace::Workgroup);
    };
    auto type = b.getFunctionType(
        {global(p.lhsElements), global(p.rhsElements), global(p.outElements)},
        {});
    auto f = gpu::GPUFuncOp::create(
        b, p.name(), type,
        {shared(t.depth * t.rows), shared(t.depth * t.columns)});
    f->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
    f.setKnownBlockSizeAttr(
        b.getDenseI32ArrayAttr({int32_t(t.threads()), 1, 1}));
    b.setInsertionPointToStart(&f.getBody().front());
    lhs = f.getArgument(0);
    rhs = f.getArgument(1);
    out = f.getArgument(2);
    lhsTile = f.getWorkgroupAttributions()[0];
    rhsTile = f.getWorkgroupAttributions()[1];

    thread = gpu::ThreadIdOp::create(b, gpu::Dimension::x);
    Value across = index(t.columns / t.side);
    threadColumn = mul(arith::RemUIOp::create(b, thread, across), t.side);
    threadRow = mul(arith::DivUIOp::create(b, thread, across), t.side);
    firstColumn = mul(gpu::BlockIdOp::create(b, gpu::Dimension::x), t.columns);
    firstRow = mul(gpu::BlockIdOp::create(b, gpu::Dimension::y), t.rows);
    placeBatch();
    SmallVector<Value> sums(t.side * t.side, arith::ConstantOp::create(
                                                 b, b.getZeroAttr(p.element)));
    auto loop = scf::ForOp::create(
        b, index(0), index(p.k), index(t.depth), sums,
        [&](OpBuilder &nested, Location loc, Value k, ValueRange carried) {
          OpBuilder::InsertionGuard guard(b);
          b.restoreInsertionPoint(nested.saveInsertionPoint());
          copyTile(lhs, lhsTile, lhsStart, p.lhs.row, p.lhs.column, t.rows,
                   firstRow, p.m, k);
          copyTile(rhs, rhsTile, rhsStart, p.rhs.column, p.rhs.row, t.columns,
                   firstColumn, p.n, k);
          gpu::BarrierOp::create(b);
          SmallVector<Value> next = multiply(SmallVector<Value>(carried));
          gpu::BarrierOp::create(b);
          scf::YieldOp::create(b, next);
        });
    store(loop.getResults());
    gpu::ReturnOp::create(b);
  }

private:
  Value index(int64_t n) { return arith::ConstantIndexOp::create(b, n); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, x, y); }
  Value add(Value x, int64_t n) { return n ? add(x, index(n)) : x; }
  Value mul(Value x, int64_t n) {
    return n == 1 ? x : Value(arith::MulIOp::create(b, x, index(n)));
  }
  Value below(Value x, int64_t n) {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ult, x, index(n));
  }

  /// Where this block's matrices start: its z index taken apart, the last
  /// batch loop first.
  void placeBatch() {
    lhsStart = rhsStart = outStart = index(0);
    if (p.batch.empty())
      return;
    Value rest = gpu::BlockIdOp::create(b, gpu::Dimension::z);
    for (size_t i = p.batch.size(); i-- > 0;) {
      Value at = arith::RemUIOp::create(b, rest, index(p.batch[i]));
      rest = arith::DivUIOp::create(b, rest, index(p.batch[i]));
      lhsStart = add(lhsStart, mul(at, p.lhs.batch[i]));
      rhsStart = add(rhsStart, mul(at, p.rhs.batch[i]));
      outStart = add(outStart, mul(at, p.out.batch[i]));
    }
  }

  /// Copies [first, first + width) x [k, k + depth) of a matrix; `acrossStep`
  /// and `depthStep` are its distances along the two.
  void copyTile(Value from, Value tile, Value start, int64_t acrossStep,
                int64_t depthStep, int64_t width, Value first, int64_t size,
                Value k) {
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(p.element));
    for (int64_t e = 0; e < width * t.depth; e += t.threads()) {
      Value element = add(thread, e);
      // Neighbouring threads read neighbours in memory.
      bool depthFirst = depthStep == 1;
      Value extent = index(depthFirst ? t.depth : width);
      Value inner = arith::RemUIOp::create(b, element, extent),
            outer = arith::DivUIOp::create(b, element, extent);
      Value across = depthFirst ? outer : inner,
            depth = depthFirst ? inner : outer;
      Value row = add(first, across), step = add(k, depth);
      Value inside =
          arith::AndIOp::create(b, below(row, size), below(step, p.k));
      Value at = add(add(start, mul(row, acrossStep)), mul(step, depthStep));
      auto loaded =
          scf::IfOp::create(b, p.element, inside, /*withElseRegion=*/true);
      {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(loaded.thenBlock());
        scf::YieldOp::create(b,
                             memref::LoadOp::create(b, from, at).getResult());
        b.setInsertionPointToStart(loaded.elseBlock());
        scf::YieldOp::create(b, zero);
      }
      memref::StoreOp::create(b, loaded.getResult(0), tile,
                              add(mul(depth, width), across));
    }
  }

  SmallVector<Value> multiply(SmallVector<Value> sums) {
    for (int64_t step = 0; step < t.depth; ++step) {
      SmallVector<Value> x, y;
      for (int64_t i = 0; i < t.side; ++i) {
        x.push_back(memref::LoadOp::create(b, lhsTile,
                                           add(threadRow, step * t.rows + i)));
        y.push_back(memref::LoadOp::create(
            b, rhsTile, add(threadColumn, step * t.columns + i)));
      }
      for (int64_t r = 0; r < t.side; ++r)
        for (int64_t c = 0; c < t.side; ++c) {
          Value &sum = sums[r * t.side + c];
          // Not math.fma, which becomes a call of CUDA's libdevice.
          sum = mlir::LLVM::FMAOp::create(b, x[r], y[c], sum);
        }
    }
    return sums;
  }

  void store(ValueRange sums) {
    for (int64_t r = 0; r < t.side; ++r)
      for (int64_t c = 0; c < t.side; ++c) {
        Value row = add(add(firstRow, threadRow), r),
              column = add(add(firstColumn, threadColumn), c);
        Value inside =
            arith::AndIOp::create(b, below(row, p.m), below(column, p.n));
        auto guarded = scf::IfOp::create(b, inside, /*withElseRegion=*/false);
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(guarded.thenBlock());
        Value at =
            add(add(outStart, mul(row, p.out.row)), mul(column, p.out.column));
        memref::StoreOp::create(b, sums[r * t.side + c], out, at);
      }
  }

  ImplicitLocOpBuilder &b;
  const Product &p;
  const Tiles &t;
  Value lhs, rhs, out, lhsTile, rhsTile;
  Value thread, threadRow, threadColumn, firstRow, firstColumn;
  Value lhsStart, rhsStart, outStart;
};
} // namespace

void gradus::emitKernel(ImplicitLocOpBuilder &b, const Product &product,
                        const Tiles &tiles) {
  KernelEmitter(b, product, tiles).emit();
}
