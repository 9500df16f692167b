//===- EmitProduct.cpp - a sum of products as a kernel --------------------===//
//
//   every thread reads its share of the first tiles
//   for each tile of depth
//     the shares to shared memory; barrier
//     every thread reads its share of the next tiles
//     sums += products of what is in shared memory; barrier
//   the epilogue, and stores
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

#include "EmitProduct.h"
#include "EmitOp.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace scf = mlir::scf;

/// Blocks that a large GPU runs at a time.
static constexpr int64_t wantedBlocks = 128;
/// A part of a split sum is at least this deep.
static constexpr int64_t leastDepth = 256;

static SmallVector<int64_t> sizesOf(ArrayRef<Axis> axes) {
  return llvm::map_to_vector(axes, [](const Axis &a) { return a.size; });
}

namespace {
/// An index along axes, and its part of a place in each operand.
class AxisIndex {
public:
  AxisIndex(Kernel &k, ArrayRef<Axis> axes, Value flat)
      : axes(axes), indices(k.at.takenApart(flat, sizesOf(axes))) {}

  Value part(Kernel &k, Factor operand) const {
    Value place = k.at.number(0);
    for (auto [axis, i] : llvm::zip(axes, indices))
      place = k.at.add(place, k.at.mul(i, axis.steps[operand]));
    return place;
  }
  /// Sets the op's loops that the axes stand for.
  void setLoops(Kernel &k, const Product &p,
                llvm::MutableArrayRef<Value> to) const {
    linalg::GenericOp op = p.op;
    auto sizes = op.getStaticLoopRanges();
    for (auto [axis, i] : llvm::zip(axes, indices)) {
      SmallVector<int64_t> own =
          llvm::map_to_vector(axis.loops, [&](unsigned d) { return sizes[d]; });
      for (auto [d, v] : llvm::zip(axis.loops, k.at.takenApart(i, own)))
        to[d] = v;
    }
  }

private:
  ArrayRef<Axis> axes;
  SmallVector<Value> indices;
};

/// A thread's share of the tiles of one operand.
class TileReader {
public:
  TileReader(Kernel &k, const Product &p, Factor operand, int64_t tileRows,
             int64_t tileDepth, int64_t depthAtATime, Value firstRow,
             Value start)
      : p(p), operand(operand), access(operand == Lhs ? p.lhs : p.rhs),
        across(operand == Lhs ? p.rows : p.columns), together(depthAtATime),
        start(start) {
    // Neighbouring threads read neighbours in memory.
    bool depthFirst = !p.depth.empty() && p.depth.back().steps[operand] == 1;
    int64_t words = tileDepth / together, all = tileRows * words,
            size = Product::sizeOf(across);
    for (int64_t e = 0; e < all; e += k.threads()) {
      Value element = k.at.add(k.thread(), e);
      Share s;
      s.row =
          depthFirst ? k.at.div(element, words) : k.at.rem(element, tileRows);
      s.depth = k.at.mul(depthFirst ? k.at.rem(element, words)
                                    : k.at.div(element, tileRows),
                         together);
      Value row = k.at.add(firstRow, s.row);
      if (size % tileRows != 0)
        s.inside = k.at.below(row, size);
      s.place = AxisIndex(k, across, row).part(k, operand);
      shares.push_back(s);
    }
  }

  /// Reads the tile that starts at this depth; zeros from `end` on, unless all
  /// tiles are whole.
  SmallVector<Value> read(Kernel &k, Value from, Value end, bool whole) const {
    SmallVector<Value> values;
    for (const Share &s : shares)
      for (int64_t i = 0; i < together; ++i) {
        Value depth = k.at.add(k.at.add(from, s.depth), i);
        Value inside = s.inside;
        if (!whole) {
          Value before =
              arith::CmpIOp::create(k.b, arith::CmpIPredicate::ult, depth, end);
          inside = inside ? Value(arith::AndIOp::create(k.b, inside, before))
                          : before;
        }
        Value place = k.at.add(k.at.add(start, s.place),
                               AxisIndex(k, p.depth, depth).part(k, operand));
        if (inside)
          place = arith::SelectOp::create(k.b, inside, place, start);
        Value v = k.loadAt(access, place);
        if (inside) {
          Value zero =
              arith::ConstantOp::create(k.b, k.b.getZeroAttr(access.element));
          v = arith::SelectOp::create(k.b, inside, v, zero);
        }
        values.push_back(v);
      }
    return values;
  }
  void store(Kernel &k, Multiplier &to, ArrayRef<Value> values) const {
    for (auto [i, s] : llvm::enumerate(shares))
      to.store(k, operand, s.row, s.depth,
               values.slice(i * together, together));
  }
  size_t count() const { return shares.size() * together; }

private:
  struct Share {
    Value row, depth, place, inside;
  };
  const Product &p;
  Factor operand;
  const Access &access;
  ArrayRef<Axis> across;
  int64_t together;
  Value start;
  SmallVector<Share> shares;
};

class ProductEmitter {
public:
  ProductEmitter(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
                 const Product &p, const Epilogue &epilogue,
                 Precision precision)
      : host(host), kernels(kernels), p(p), op(p.op),
        follower(epilogue.follower), epilogue(epilogue) {
    bool tensorCores = usesTensorCores(precision);
    t = chooseTiles(tensorCores, precision);
    multiplier = tensorCores ? createTensorMultiplier(p, t, precision)
                             : createScalarMultiplier(p, t);
    int64_t blocks = llvm::divideCeilSigned(p.m(), t.rows) *
                     llvm::divideCeilSigned(p.n(), t.columns) * p.batches();
    parts = std::clamp<int64_t>(
        std::min(wantedBlocks / blocks, p.k() / leastDepth), 1, 64);
    // Whole tiles in each part; the last part may be short.
    partDepth = llvm::alignTo(llvm::divideCeilSigned(p.k(), parts), t.depth);
    parts = llvm::divideCeilSigned(p.k(), partDepth);
  }

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
  bool usesTensorCores(Precision precision) const {
    if (p.lhs.element != p.rhs.element)
      return false;
    if (p.lhs.element.isF32())
      return p.out.element.isF32() && precision != Precision::Strict;
    return (p.lhs.element.isF16() || p.lhs.element.isBF16()) &&
           p.out.element.isF32();
  }
  /// Large tiles where they make enough blocks.
  Tiles chooseTiles(bool tensorCores, Precision precision) const {
    auto blocks = [&](int64_t side) {
      return llvm::divideCeilSigned(p.m(), side) *
             llvm::divideCeilSigned(p.n(), side) * p.batches();
    };
    bool large = blocks(128) >= wantedBlocks / 2 && p.m() > 64 && p.n() > 64 &&
                 p.lhs.element.getIntOrFloatBitWidth() <= 32;
    Tiles t = large ? Tiles{128, 128, 8, 256, 8} : Tiles{64, 64, 16, 256, 4};
    if (!tensorCores)
      return t;
    bool halves = !p.lhs.element.isF32() || precision == Precision::F16 ||
                  precision == Precision::Bf16;
    t.depth = halves ? 32 : 16; // 16 words either way
    t.warpRows = large ? 64 : 32;
    t.warpColumns = large ? 32 : 16;
    return t;
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

  void emitTiles() {
    Kernel k(kernels, "product", op.getLoc(), t.threads);
    k.preferRegisters();
    auto &b = k.b;
    Value tileRow = k.at.mul(k.block(mlir::gpu::Dimension::x), t.rows),
          tileColumn = k.at.mul(k.block(mlir::gpu::Dimension::y), t.columns),
          z = k.block(mlir::gpu::Dimension::z);
    Value part = parts > 1 ? k.at.rem(z, parts) : k.at.number(0),
          batchIndex = k.at.div(z, parts);
    AxisIndex batch(k, p.batch, batchIndex);
    auto start = [&](const Access &a, Factor f) {
      Value place = k.at.add(batch.part(k, f), a.offset);
      return a.start ? k.at.add(place, k.inside(a.start)) : place;
    };
    TileReader lhs(k, p, Lhs, t.rows, t.depth, multiplier->depthAtATime(),
                   tileRow, start(p.lhs, Lhs)),
        rhs(k, p, Rhs, t.columns, t.depth, multiplier->depthAtATime(),
            tileColumn, start(p.rhs, Rhs));
    multiplier->allocate(k);
    Value from = k.at.mul(part, partDepth), end = k.at.number(p.k()),
          step = k.at.number(t.depth);
    if (parts > 1)
      end = arith::MinUIOp::create(b, k.at.add(from, partDepth), end);
    bool whole = p.k() % t.depth == 0;
    auto readBoth = [&](Value at, bool isWhole) {
      SmallVector<Value> values = lhs.read(k, at, end, isWhole);
      llvm::append_range(values, rhs.read(k, at, end, isWhole));
      return values;
    };
    SmallVector<Value> carried(
        multiplier->sums(),
        arith::ConstantOp::create(b, b.getZeroAttr(multiplier->sumType())));
    size_t sums = carried.size();
    llvm::append_range(carried, readBoth(from, whole));
    auto loop = scf::ForOp::create(b, from, end, step, carried);
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(loop.getBody());
      SmallVector<Value> values(loop.getRegionIterArgs());
      ArrayRef<Value> shares = ArrayRef(values).drop_front(sums);
      lhs.store(k, *multiplier, shares.take_front(lhs.count()));
      rhs.store(k, *multiplier, shares.drop_front(lhs.count()));
      k.barrier();
      Value next = k.at.add(loop.getInductionVar(), t.depth);
      // Past the end after the last tile: zeros.
      SmallVector<Value> following = readBoth(next, /*isWhole=*/false);
      SmallVector<Value> results =
          multiplier->multiply(k, ValueRange(values).take_front(sums));
      k.barrier();
      llvm::append_range(results, following);
      scf::YieldOp::create(b, results);
    }
    multiplier->forEachSum(
        k, loop.getResults().take_front(sums),
        [&](Value rowInTile, Value columnInTile, Value sum) {
          Value row = k.at.add(tileRow, rowInTile),
                column = k.at.add(tileColumn, columnInTile);
          Value inside;
          if (p.m() % t.rows != 0)
            inside = k.at.below(row, p.m());
          if (p.n() % t.columns != 0) {
            Value within = k.at.below(column, p.n());
            inside = inside ? Value(arith::AndIOp::create(b, inside, within))
                            : within;
          }
          OpBuilder::InsertionGuard guard(b);
          if (inside)
            b.setInsertionPointToStart(
                scf::IfOp::create(b, inside, /*withElseRegion=*/false)
                    .thenBlock());
          if (parts > 1)
            k.storeAt(*Access::of(partial),
                      partialPlace(k, part, batchIndex, row, column), sum);
          else
            finish(k, batch, AxisIndex(k, p.rows, row),
                   AxisIndex(k, p.columns, column), sum);
        });
    k.launch(host,
             {llvm::divideCeilSigned(p.m(), t.rows),
              llvm::divideCeilSigned(p.n(), t.columns), p.batches() * parts});
  }

  /// Adds the parts of each element up.
  void emitSums() {
    constexpr int64_t threads = 256;
    Kernel k(kernels, "parts", op.getLoc(), threads);
    auto &b = k.b;
    int64_t each = p.m() * p.n(), all = each * p.batches();
    Value element = k.at.add(
        k.at.mul(k.block(mlir::gpu::Dimension::x), threads), k.thread());
    auto inside = scf::IfOp::create(b, k.at.below(element, all), false);
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(inside.thenBlock());
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
    }
    k.launch(host, {llvm::divideCeilSigned(all, threads)});
  }

  OpBuilder &host;
  mlir::gpu::GPUModuleOp kernels;
  const Product &p;
  linalg::GenericOp op, follower;
  const Epilogue &epilogue;
  Tiles t;
  std::unique_ptr<Multiplier> multiplier;
  int64_t parts = 1, partDepth = 0;
  Value partial;
};
} // namespace

void gpu::emitProduct(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
                      const Product &product, const Epilogue &epilogue,
                      Precision precision) {
  ProductEmitter(host, kernels, product, epilogue, precision).emit();
}
