//===- EmitProduct.cpp - a sum of products as a kernel --------------------===//
//
//   every thread reads its share of the first tiles
//   for each tile of depth
//     the shares to shared memory; barrier
//     every thread reads its share of the next tiles
//     sums += products of what is in shared memory; barrier
//   the epilogue, and stores
//
// Where both operands are multiplied as memory has them, the shares do not pass
// through registers: they are copied some tiles ahead while the products of
// others are added, with one barrier a tile.
//
// Rows, columns, depth and batch are indices that stand for several loops each;
// the place of an element is the sum of a part for its row and one for its
// depth, so that a convolution is no other kernel than a matmul. Outside the
// operands zeros are read and nothing is stored.
//
// A product with few tiles and a deep sum is split along its depth: each part
// leaves its sums in memory of its own, and a second kernel adds them up, in
// order, and does the epilogue.
//
//===----------------------------------------------------------------------===//

#include "BulkPipeline.h"
#include "EmitOp.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace NVVM = mlir::NVVM;
namespace scf = mlir::scf;

namespace {
class ProductEmitter {
public:
  ProductEmitter(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
                 const Product &p, const Epilogue &epilogue,
                 const ProductOptions &options, const Chip &chip)
      : host(host), kernels(kernels), plan(planProduct(p, options, chip)),
        p(packed(p)), op(p.op), follower(epilogue.follower), epilogue(epilogue),
        t(plan.tiles), parts(plan.parts),
        multiplier(createMultiplier(options.precision)) {}

  void emit() {
    if (parts > 1)
      partial = memref::AllocOp::create(
          host, op.getLoc(),
          mlir::MemRefType::get({parts, p.batches(), p.m(), p.n()},
                                multiplier->sumType()));
    emitTiles();
    if (parts > 1)
      emitSums();
  }

private:
  Product packed(const Product &product) {
    Product result = product;
    for (const PackedOperand &o : plan.packed)
      result = o.appliedTo(result, o.emit(host, kernels, product));
    return result;
  }
  std::unique_ptr<Multiplier> createMultiplier(Precision precision) const {
    switch (plan.engine) {
    case Engine::Registers:
      return createScalarMultiplier(p, t, plan.stages);
    case Engine::Doubles:
      return createDoubleMultiplier(p, t, plan.stages);
    case Engine::Warps:
      return createTensorMultiplier(p, t, precision, plan.stages);
    case Engine::Warpgroups:
      return createWarpgroupMultiplier(p, t, *plan.stages);
    }
    llvm_unreachable("no other engine");
  }

  SmallVector<Value> loopsAt(Kernel &k, const AxisIndex &batch,
                             const AxisIndex &row, const AxisIndex &column) {
    SmallVector<Value> loops(op.getNumLoops());
    for (Value &v : loops) // those of size 1, and the sum's
      v = k.at.number(0);
    batch.setLoops(k, p, loops);
    row.setLoops(k, p, loops);
    column.setLoops(k, p, loops);
    return loops;
  }

  /// Stores an element of the result, and does what follows with it.
  void finish(Kernel &k, const AxisIndex &batch, const AxisIndex &row,
              const AxisIndex &column, Value sum) {
    Value place = k.at.add(k.at.number(p.out.offset), batch.part(k, Out));
    if (p.out.start)
      place = k.at.add(place, k.inside(p.out.start));
    place = k.at.add(k.at.add(place, row.part(k, Out)), column.part(k, Out));
    if (!epilogue.startsAtZero) {
      Value old = k.loadAt(p.out, place);
      sum = isa<FloatType>(old.getType())
                ? Value(arith::AddFOp::create(k.b, old, sum))
                : Value(arith::AddIOp::create(k.b, old, sum));
    }
    if (epilogue.stores)
      k.storeAt(p.out, place, sum);
    if (!follower)
      return;
    mlir::AffineMap written = op.getIndexingMapsArray().back(),
                    read = follower.getMatchingIndexingMap(epilogue.result);
    SmallVector<Value> own = loopsAt(k, batch, row, column),
                       loops(follower.getNumLoops());
    for (unsigned axis = 0; axis < read.getNumResults(); ++axis)
      loops[read.getDimPosition(axis)] = own[written.getDimPosition(axis)];
    auto indices = [&](mlir::OpOperand &o) {
      return OpEmitter::operandIndices(k, follower.getMatchingIndexingMap(&o),
                                       loops);
    };
    SmallVector<Value> values = OpEmitter::emitBody(
        k, mlir::cast<linalg::LinalgOp>(follower.getOperation()), loops,
        [&](mlir::OpOperand &o) -> Value {
          if (&o == epilogue.result)
            return sum;
          if (!isa<mlir::MemRefType>(o.get().getType()))
            return k.inside(o.get());
          return k.load(*Access::of(o.get()), indices(o));
        });
    for (auto [init, v] : llvm::zip(follower.getDpsInitsMutable(), values))
      k.store(*Access::of(init.get()), indices(init), v);
  }

  Value partialPlace(Kernel &k, Value part, Value batch, Value row,
                     Value column) {
    Value place = k.at.add(k.at.mul(part, p.batches()), batch);
    place = k.at.add(k.at.mul(place, p.m()), row);
    return k.at.add(k.at.mul(place, p.n()), column);
  }

  SmallVector<Value> addThroughRegisters(Kernel &k, const DepthRange &range,
                                         ArrayRef<Value> rows,
                                         ArrayRef<Value> starts) {
    TileReader lhs(k, Side(p, Lhs, t), multiplier->depthAtATime(), rows[Lhs],
                   starts[Lhs]),
        rhs(k, Side(p, Rhs, t), multiplier->depthAtATime(), rows[Rhs],
            starts[Rhs]);
    auto readBoth = [&](Value at, bool isWhole) {
      SmallVector<Value> values = lhs.read(k, at, range.end, isWhole);
      llvm::append_range(values, rhs.read(k, at, range.end, isWhole));
      return values;
    };
    SmallVector<Value> carried = multiplier->zeros(k);
    size_t sums = carried.size();
    llvm::append_range(carried, readBoth(range.from, p.k() % t.depth == 0));
    carried =
        forEachTile(k, range, carried, [&](Value depth, ArrayRef<Value> now) {
          ArrayRef<Value> shares = now.drop_front(sums);
          lhs.store(k, *multiplier, shares.take_front(lhs.count()));
          rhs.store(k, *multiplier, shares.drop_front(lhs.count()));
          k.barrier();
          // Past the end after the last tile: zeros.
          SmallVector<Value> following =
              readBoth(k.at.add(depth, t.depth), /*isWhole=*/false);
          SmallVector<Value> results =
              multiplier->multiply(k, now.take_front(sums));
          k.barrier();
          llvm::append_range(results, following);
          return results;
        });
    carried.resize(sums);
    return carried;
  }

  /// Tiles are copied that many steps ahead as there are stages, but one. Each
  /// step begins one group of copies, if only of zeros.
  SmallVector<Value> addStaged(Kernel &k, const DepthRange &range,
                               ArrayRef<Value> rows, ArrayRef<Value> starts) {
    TileCopier lhs(k, Side(p, Lhs, t), plan.stages->tiles[Lhs], rows[Lhs],
                   starts[Lhs]),
        rhs(k, Side(p, Rhs, t), plan.stages->tiles[Rhs], rows[Rhs],
            starts[Rhs]);
    int64_t ahead = plan.stages->count - 1 - multiplier->stagesInFlight();
    auto copyBoth = [&](Value depth, Value stage) {
      lhs.copy(k, depth, range.end, multiplier->memory(Lhs), stage);
      rhs.copy(k, depth, range.end, multiplier->memory(Rhs), stage);
      NVVM::CpAsyncCommitGroupOp::create(k.b);
    };
    auto following = [&](Value stage) -> Value {
      Value isLast = arith::CmpIOp::create(k.b, arith::CmpIPredicate::eq, stage,
                                           k.at.number(plan.stages->count - 1));
      return arith::SelectOp::create(k.b, isLast, k.at.number(0),
                                     k.at.add(stage, 1));
    };
    for (int64_t i = 0; i < ahead; ++i)
      copyBoth(k.at.add(range.from, i * t.depth), k.at.number(i));
    SmallVector<Value> carried = multiplier->zeros(k);
    size_t sums = carried.size();
    carried.push_back(k.at.number(0));     // the stage to multiply
    carried.push_back(k.at.number(ahead)); // the stage to fill
    carried =
        forEachTile(k, range, carried, [&](Value depth, ArrayRef<Value> now) {
          Value stage = now[sums], free = now[sums + 1];
          NVVM::CpAsyncWaitGroupOp::create(k.b, uint32_t(ahead - 1));
          multiplier->beforeBarrier(k);
          // Now this stage is there for all, and the free one read by all.
          k.barrier();
          copyBoth(k.at.add(depth, ahead * t.depth), free);
          SmallVector<Value> results =
              multiplier->multiply(k, now.take_front(sums), stage);
          results =
              multiplier->settle(k, results, multiplier->stagesInFlight());
          results.push_back(following(stage));
          results.push_back(following(free));
          return results;
        });
    carried.resize(sums);
    return multiplier->settle(k, carried, 0);
  }

  int64_t downTiles() const { return llvm::divideCeilSigned(p.m(), t.rows); }
  int64_t acrossTiles() const {
    return llvm::divideCeilSigned(p.n(), t.columns);
  }
  /// What a block computes: from a row and column of a batch's result on, a
  /// part of the sums.
  struct BlockPlace {
    Value row, column, part, batch;
  };
  /// Blocks that run at the same time are to read the same operands: tiles of a
  /// few rows are taken column by column, then the next few.
  BlockPlace placeOfBlock(Kernel &k) {
    constexpr int64_t together = 8;
    int64_t down = downTiles(), across = acrossTiles(),
            group = std::min(down, together);
    auto index = k.at.takenApart(k.block(mlir::gpu::Dimension::x),
                                 {p.batches(), parts, down * across});
    Value tile = index[2], row, column;
    Value first = k.at.mul(k.at.div(tile, group * across), group),
          inGroup = k.at.rem(tile, group * across);
    if (down % group == 0) {
      row = k.at.add(first, k.at.rem(inGroup, group));
      column = k.at.div(inGroup, group);
    } else {
      // The last group has fewer rows.
      Value left = arith::SubIOp::create(k.b, k.at.number(down), first),
            rows = arith::MinUIOp::create(k.b, left, k.at.number(group));
      row = k.at.add(first, arith::RemUIOp::create(k.b, inGroup, rows));
      column = arith::DivUIOp::create(k.b, inGroup, rows);
    }
    return {k.at.mul(row, t.rows), k.at.mul(column, t.columns), index[1],
            index[0]};
  }

  void emitTiles() {
    Kernel k(kernels, "product", op.getLoc(), plan.threads());
    k.preferRegisters();
    auto &b = k.b;
    BlockPlace place = placeOfBlock(k);
    AxisIndex batch(k, p.batch, place.batch);
    auto start = [&](const Access &a, Factor f) {
      Value first = k.at.add(batch.part(k, f), a.offset);
      return a.start ? k.at.add(first, k.inside(a.start)) : first;
    };
    DepthRange range;
    range.from = k.at.mul(place.part, plan.partDepth);
    range.end = k.at.number(p.k());
    if (parts > 1)
      range.end = arith::MinUIOp::create(
          b, k.at.add(range.from, plan.partDepth), range.end);
    range.step = k.at.number(t.depth);
    multiplier->allocate(k);
    Value starts[] = {start(p.lhs, Lhs), start(p.rhs, Rhs)},
          rows[] = {place.row, place.column};
    if (plan.isBulk) {
      BulkPipeline pipeline(k, p, plan, *multiplier, rows, batch);
      auto roles = scf::IfOp::create(b, pipeline.isProducer(),
                                     /*withElseRegion=*/true);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(roles.thenBlock());
      k.limitRegisters(/*few=*/true);
      pipeline.produce(range);
      b.setInsertionPointToStart(roles.elseBlock());
      k.limitRegisters(/*few=*/false);
      storeSums(k, pipeline.consume(range), place);
    } else {
      storeSums(k,
                plan.stages ? addStaged(k, range, rows, starts)
                            : addThroughRegisters(k, range, rows, starts),
                place);
    }
    k.launch(host, {downTiles() * acrossTiles() * p.batches() * parts});
  }

  void storeSums(Kernel &k, ValueRange sums, const BlockPlace &place) {
    auto &b = k.b;
    AxisIndex batch(k, p.batch, place.batch);
    auto storeSum = [&](Value row, Value column, Value sum) {
      if (parts > 1)
        k.storeAt(*Access::of(partial),
                  partialPlace(k, place.part, place.batch, row, column), sum);
      else
        finish(k, batch, AxisIndex(k, p.rows, row),
               AxisIndex(k, p.columns, column), sum);
    };
    auto storeNeighbours = [&](Value row, Value column, ValueRange sums) {
      bool allOrNone = p.n() % int64_t(sums.size()) == 0;
      auto storeAll = [&] {
        for (auto [i, sum] : llvm::enumerate(sums)) {
          Value at = k.at.add(column, int64_t(i));
          if (allOrNone)
            storeSum(row, at, sum);
          else
            k.when(k.at.below(at, p.n()), [&] { storeSum(row, at, sum); });
        }
      };
      if (allOrNone && p.n() % t.columns != 0)
        k.when(k.at.below(column, p.n()), storeAll);
      else
        storeAll();
    };
    multiplier->forEachSum(
        k, sums, [&](Value rowInTile, Value columnInTile, ValueRange sums) {
          Value row = k.at.add(place.row, rowInTile),
                column = k.at.add(place.column, columnInTile);
          if (p.m() % t.rows == 0)
            storeNeighbours(row, column, sums);
          else
            k.when(k.at.below(row, p.m()),
                   [&] { storeNeighbours(row, column, sums); });
        });
  }

  /// Adds the parts of each element up.
  void emitSums() {
    constexpr int64_t threads = 256;
    Kernel k(kernels, "parts", op.getLoc(), threads);
    auto &b = k.b;
    int64_t each = p.m() * p.n(), all = each * p.batches();
    Value element = k.at.add(
        k.at.mul(k.block(mlir::gpu::Dimension::x), threads), k.thread());
    k.when(k.at.below(element, all), [&] {
      SmallVector<Value> at =
          k.at.takenApart(element, {p.batches(), p.m(), p.n()});
      Access from = *Access::of(partial);
      Value sum;
      for (int64_t i = 0; i < parts; ++i) {
        Value term = k.loadAt(
            from, partialPlace(k, k.at.number(i), at[0], at[1], at[2]));
        sum = !sum ? term
              : isa<FloatType>(term.getType())
                  ? Value(arith::AddFOp::create(b, sum, term))
                  : Value(arith::AddIOp::create(b, sum, term));
      }
      finish(k, AxisIndex(k, p.batch, at[0]), AxisIndex(k, p.rows, at[1]),
             AxisIndex(k, p.columns, at[2]), sum);
    });
    k.launch(host, {llvm::divideCeilSigned(all, threads)});
  }

  OpBuilder &host;
  mlir::gpu::GPUModuleOp kernels;
  Plan plan;
  const Product p;
  linalg::GenericOp op, follower;
  const Epilogue &epilogue;
  const Tiles &t;
  int64_t parts;
  std::unique_ptr<Multiplier> multiplier;
  Value partial;
};
} // namespace

void gpu::emitProduct(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
                      const Product &product, const Epilogue &epilogue,
                      const ProductOptions &options, const Chip &chip) {
  ProductEmitter(host, kernels, product, epilogue, options, chip).emit();
}
