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
#include "ProductEnd.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include <numeric>

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
        p(packed(p)), op(p.op), t(plan.tiles), parts(plan.parts),
        end(this->p, epilogue),
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

  Value partialPlace(Kernel &k, Value part, Value batch, Value row,
                     Value column) {
    Value place = k.at.add(k.at.mul(part, p.batches()), batch);
    place = k.at.add(k.at.mul(place, p.m()), row);
    return k.at.add(k.at.mul(place, p.n()), column);
  }

  /// The rows and columns of a cluster's tiles, if there are clusters.
  int64_t clusterRows() const { return plan.clusterRows() * t.rows; }
  int64_t clusterColumns() const { return plan.clusterColumns() * t.columns; }
  int64_t downClusters() const {
    return llvm::divideCeilSigned(p.m(), clusterRows());
  }
  int64_t acrossClusters() const {
    return llvm::divideCeilSigned(p.n(), clusterColumns());
  }
  /// What a block computes: from a row and column of a batch's result on, a
  /// part of the sums.
  struct TilePlace {
    Value row, column, part, batch;
  };
  int64_t tileCount() const {
    return downClusters() * acrossClusters() * plan.clusterBlocks() *
           p.batches() * parts;
  }
  TilePlace placeOf(Kernel &k, Value number) {
    int64_t down = downClusters(), across = acrossClusters(),
            group = std::min(down, plan.rasterRows);
    auto index =
        k.at.takenApart(number, {p.batches(), parts, down * across,
                                 plan.clusterRows(), plan.clusterColumns()});
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
    row = k.at.add(k.at.mul(row, plan.clusterRows()), index[3]);
    column = k.at.add(k.at.mul(column, plan.clusterColumns()), index[4]);
    return {k.at.mul(row, t.rows), k.at.mul(column, t.columns), index[1],
            index[0]};
  }

  DepthRange depthOf(Kernel &k, const TilePlace &place) {
    DepthRange range;
    range.from = k.at.mul(place.part, plan.partDepth);
    range.end =
        p.depthLength ? k.length(op, p.depthLength) : k.at.number(p.k());
    if (parts > 1)
      range.end = arith::MinUIOp::create(
          k.b, k.at.add(range.from, plan.partDepth), range.end);
    range.step = k.at.number(t.depth);
    return range;
  }
  /// Where a batch of an operand begins.
  Value startOf(Kernel &k, const Access &a, Factor f, const TilePlace &place) {
    Value first =
        k.at.add(AxisIndex(k, p.batch, place.batch).part(k, f), a.offset);
    return a.start ? k.at.add(first, k.inside(a.start)) : first;
  }

  SmallVector<Value> addThroughRegisters(Kernel &k, const TilePlace &place) {
    DepthRange range = depthOf(k, place);
    TileReader lhs(k, Side(p, Lhs, t), multiplier->depthAtATime(), place.row,
                   startOf(k, p.lhs, Lhs, place)),
        rhs(k, Side(p, Rhs, t), multiplier->depthAtATime(), place.column,
            startOf(k, p.rhs, Rhs, place));
    auto readBoth = [&](Value at, bool isWhole) {
      SmallVector<Value> values = lhs.read(k, at, range.end, isWhole);
      llvm::append_range(values, rhs.read(k, at, range.end, isWhole));
      return values;
    };
    SmallVector<Value> carried = multiplier->zeros(k);
    size_t sums = carried.size();
    bool isWhole = p.k() % t.depth == 0 && !p.depthLength;
    llvm::append_range(carried, readBoth(range.from, isWhole));
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
  SmallVector<Value> addStaged(Kernel &k, const TilePlace &place) {
    DepthRange range = depthOf(k, place);
    TileCopier lhs(k, Side(p, Lhs, t), plan.stages->tiles[Lhs], place.row,
                   startOf(k, p.lhs, Lhs, place)),
        rhs(k, Side(p, Rhs, t), plan.stages->tiles[Rhs], place.column,
            startOf(k, p.rhs, Rhs, place));
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

  void emitTiles() {
    Kernel k(kernels, "product", op.getLoc(), plan.threads());
    k.mustFit(plan.resident);
    k.describe(plan.str());
    multiplier->allocate(k);
    if (plan.isBulk)
      return emitBulk(k);
    TilePlace place = placeOf(k, k.block(mlir::gpu::Dimension::x));
    Value isThere;
    if (p.rowsLength)
      isThere = k.at.below(place.row, k.length(op, p.rowsLength));
    k.when(isThere, [&] {
      storeSums(
          k, plan.stages ? addStaged(k, place) : addThroughRegisters(k, place),
          place);
    });
    k.launch(host, {tileCount()});
  }

  /// Each block computes a tile, then that which is as many further as there
  /// are blocks. So those of a cluster stay together.
  void emitBulk(Kernel &k) {
    auto &b = k.b;
    BulkPipeline pipeline(k, p, plan, *multiplier);
    DepthRange tiles{k.block(mlir::gpu::Dimension::x), k.at.number(tileCount()),
                     k.blocks()};
    auto roles = scf::IfOp::create(b, pipeline.isProducer(),
                                   /*withElseRegion=*/true);
    b.setInsertionPointToStart(roles.thenBlock());
    k.limitRegisters(/*few=*/true);
    pipeline.inOneThread([&] {
      forEachTile(k, tiles, pipeline.firstTurn(/*ofProducer=*/true),
                  [&](Value tile, ArrayRef<Value> turn) {
                    TilePlace place = placeOf(k, tile);
                    return pipeline.produce({{place.row, place.column},
                                             AxisIndex(k, p.batch, place.batch),
                                             depthOf(k, place)},
                                            turn);
                  });
    });
    pipeline.leave();
    b.setInsertionPointToStart(roles.elseBlock());
    k.limitRegisters(/*few=*/false);
    forEachTile(k, tiles, pipeline.firstTurn(/*ofProducer=*/false),
                [&](Value tile, ArrayRef<Value> turn) {
                  TilePlace place = placeOf(k, tile);
                  auto done = pipeline.consume(depthOf(k, place), turn);
                  storeSums(k, done.sums, place);
                  return done.turn;
                });
    pipeline.leave();
    b.setInsertionPointAfter(roles);
    pipeline.end();
    k.launchResident(host, tileCount());
  }

  /// Sums that belong one behind the other, or one.
  void storeInLine(Kernel &k, const TilePlace &tile, Value row, Value column,
                   ValueRange sums) {
    if (parts > 1) {
      Value place = partialPlace(k, tile.part, tile.batch, row, column);
      auto count = int64_t(sums.size());
      for (auto [i, sum] : llvm::enumerate(sums))
        k.store(
            {*Access::of(partial), place, int64_t(i), std::gcd(p.n(), count)},
            sum);
      return;
    }
    end.finish(k, AxisIndex(k, p.batch, tile.batch), AxisIndex(k, p.rows, row),
               AxisIndex(k, p.columns, column), sums);
  }

  /// How many neighbouring sums are stored at once where they can be: what f32
  /// has of 16 bytes.
  int64_t storedTogether() {
    constexpr int64_t most = 4;
    for (int64_t count = most; count > 1; count /= 2)
      if (p.n() % count == 0 && (parts > 1 || end.areInLine(count)))
        return count;
    return 1;
  }

  void storeSums(Kernel &k, ValueRange sums, const TilePlace &place) {
    auto storeNeighbours = [&](Value row, Value column, ValueRange sums) {
      bool allOrNone = p.n() % int64_t(sums.size()) == 0;
      auto storeAll = [&] {
        if (allOrNone && end.areInLine(int64_t(sums.size())))
          return storeInLine(k, place, row, column, sums);
        for (auto [i, sum] : llvm::enumerate(sums)) {
          Value at = k.at.add(column, int64_t(i));
          if (allOrNone)
            storeInLine(k, place, row, at, sum);
          else
            k.when(k.at.below(at, p.n()),
                   [&] { storeInLine(k, place, row, at, sum); });
        }
      };
      bool mayEnd = allOrNone && p.n() % clusterColumns() != 0;
      k.when(mayEnd ? k.at.below(column, p.n()) : Value(), storeAll);
    };
    multiplier->forEachSum(
        k, sums, storedTogether(),
        [&](Value rowInTile, Value columnInTile, ValueRange sums) {
          Value row = k.at.add(place.row, rowInTile),
                column = k.at.add(place.column, columnInTile);
          bool mayEnd = p.m() % clusterRows() != 0;
          k.when(mayEnd ? k.at.below(row, p.m()) : Value(),
                 [&] { storeNeighbours(row, column, sums); });
        });
  }

  /// Adds the parts of each element up.
  void emitSums() {
    constexpr int64_t threads = 256;
    Kernel k(kernels, "parts", op.getLoc(), threads);
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
        sum = sum ? k.sum(sum, term) : term;
      }
      end.finish(k, AxisIndex(k, p.batch, at[0]), AxisIndex(k, p.rows, at[1]),
                 AxisIndex(k, p.columns, at[2]), sum);
    });
    k.launch(host, {llvm::divideCeilSigned(all, threads)});
  }

  OpBuilder &host;
  mlir::gpu::GPUModuleOp kernels;
  Plan plan;
  const Product p;
  linalg::GenericOp op;
  const Tiles &t;
  int64_t parts;
  ProductEnd end;
  std::unique_ptr<Multiplier> multiplier;
  Value partial;
};
} // namespace

void gpu::emitProduct(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
                      const Product &product, const Epilogue &epilogue,
                      const ProductOptions &options, const Chip &chip) {
  ProductEmitter(host, kernels, product, epilogue, options, chip).emit();
}
