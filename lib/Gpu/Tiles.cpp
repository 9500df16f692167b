//===- Tiles.cpp - how a product's operands reach shared memory -----------===//

#include "Tiles.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace LLVM = mlir::LLVM;
namespace NVVM = mlir::NVVM;
namespace scf = mlir::scf;

//===----------------------------------------------------------------------===//
// Indices
//===----------------------------------------------------------------------===//

static SmallVector<int64_t> sizesOf(ArrayRef<Axis> axes) {
  return llvm::map_to_vector(axes, [](const Axis &a) { return a.size; });
}

AxisIndex::AxisIndex(Kernel &k, ArrayRef<Axis> axes, Value flat)
    : axes(axes), indices(k.at.takenApart(flat, sizesOf(axes))) {}

Value AxisIndex::part(Kernel &k, Factor operand) const {
  Value place = k.at.number(0);
  for (auto [axis, i] : llvm::zip(axes, indices))
    place = k.at.add(place, k.at.mul(i, axis.steps[operand]));
  return place;
}

void AxisIndex::setLoops(Kernel &k, const Product &p,
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

/// A step is long already; several at once would only take registers, of which
/// ptxas, that may not know how few are left, then spills.
static LLVM::LoopAnnotationAttr oneStepAtATime(mlir::MLIRContext *context) {
  auto unroll = LLVM::LoopUnrollAttr::get(
      context, /*disable=*/mlir::BoolAttr::get(context, true), /*count=*/{},
      /*runtimeDisable=*/{}, /*full=*/{}, /*followupUnrolled=*/{},
      /*followupRemainder=*/{}, /*followupAll=*/{});
  return LLVM::LoopAnnotationAttr::get(
      context, /*disableNonforced=*/{}, /*vectorize=*/{}, /*interleave=*/{},
      unroll, /*unrollAndJam=*/{}, /*licm=*/{}, /*distribute=*/{},
      /*pipeline=*/{}, /*peeled=*/{}, /*unswitch=*/{}, /*mustProgress=*/{},
      /*isVectorized=*/{}, /*startLoc=*/{}, /*endLoc=*/{},
      /*parallelAccesses=*/{});
}

SmallVector<Value> gpu::forEachTile(
    Kernel &k, const DepthRange &range, ArrayRef<Value> carried,
    function_ref<SmallVector<Value>(Value, ArrayRef<Value>)> body) {
  auto loop =
      scf::ForOp::create(k.b, range.from, range.end, range.step, carried);
  // Under this name it stays with the branch that the loop becomes.
  loop->setAttr("loop_annotation", oneStepAtATime(k.b.getContext()));
  OpBuilder::InsertionGuard guard(k.b);
  k.b.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> now(loop.getRegionIterArgs());
  scf::YieldOp::create(k.b, body(loop.getInductionVar(), now));
  return SmallVector<Value>(loop.getResults());
}

//===----------------------------------------------------------------------===//
// By way of registers
//===----------------------------------------------------------------------===//

TileReader::TileReader(Kernel &k, const Side &side, int64_t depthAtATime,
                       Value firstRow, Value start)
    : side(side), together(depthAtATime), start(start) {
  ArrayRef<Axis> depths = side.p.depth;
  // Neighbouring threads read neighbours in memory.
  bool depthFirst = !depths.empty() && depths.back().steps[side.operand] == 1;
  int64_t words = side.tileDepth / together, all = side.tileRows * words,
          size = Product::sizeOf(side.across);
  for (int64_t e = 0; e < all; e += k.threads()) {
    Value element = k.at.add(k.thread(), e);
    Share s;
    s.row = depthFirst ? k.at.div(element, words)
                       : k.at.rem(element, side.tileRows);
    s.depth = k.at.mul(depthFirst ? k.at.rem(element, words)
                                  : k.at.div(element, side.tileRows),
                       together);
    Value row = k.at.add(firstRow, s.row);
    if (size % side.tileRows != 0)
      s.inside = k.at.below(row, size);
    s.place = AxisIndex(k, side.across, row).part(k, side.operand);
    shares.push_back(s);
  }
}

SmallVector<Value> TileReader::read(Kernel &k, Value from, Value end,
                                    bool whole) const {
  SmallVector<Value> values;
  for (const Share &s : shares)
    for (int64_t i = 0; i < together; ++i) {
      Value depth = k.at.add(k.at.add(from, s.depth), i);
      Value inside =
          whole ? s.inside : k.at.both(s.inside, k.at.below(depth, end));
      Value place =
          k.at.add(k.at.add(start, s.place),
                   AxisIndex(k, side.p.depth, depth).part(k, side.operand));
      if (inside)
        place = arith::SelectOp::create(k.b, inside, place, start);
      Value v = k.loadAt(side.access, place);
      if (inside) {
        Value zero = arith::ConstantOp::create(
            k.b, k.b.getZeroAttr(side.access.element));
        v = arith::SelectOp::create(k.b, inside, v, zero);
      }
      values.push_back(v);
    }
  return values;
}

void TileReader::store(Kernel &k, Multiplier &to,
                       ArrayRef<Value> values) const {
  for (auto [i, s] : llvm::enumerate(shares))
    to.store(k, side.operand, s.row, s.depth,
             values.slice(i * together, together));
}

//===----------------------------------------------------------------------===//
// In chunks
//===----------------------------------------------------------------------===//

static constexpr int64_t chunkBytes = 16, chunkWords = 4;

std::optional<ChunkedTile> gpu::chunkedTile(const Side &side) {
  int64_t bytes = lowering::elementBytes(side.access.element);
  if ((bytes != 2 && bytes != 4) || side.access.start || side.p.depth.empty())
    return std::nullopt;
  ChunkedTile tile;
  tile.elements = chunkBytes / bytes;
  if (side.access.isPacked) {
    tile.depthInLine = true;
    tile.lines = side.tileRows;
    tile.chunks = side.tileDepth / tile.elements;
    return tile;
  }
  // A slice of a loop's begins at a multiple of its size.
  auto root = cast<ShapedType>(side.access.root.getType());
  if (isa<BlockArgument>(side.access.root) &&
      lowering::byteCount(root) % chunkBytes != 0)
    return std::nullopt;
  auto isWhole = [&](int64_t n) { return n % tile.elements == 0; };
  const Axis &depth = side.p.depth.back(), &row = side.across.back();
  auto follows = [&](const Axis &a) {
    return a.steps[side.operand] == 1 && isWhole(a.size);
  };
  if (follows(depth))
    tile.depthInLine = true;
  else if (!follows(row))
    return std::nullopt;
  const Axis *inLine = tile.depthInLine ? &depth : &row;
  for (ArrayRef<Axis> axes : {ArrayRef<Axis>(side.p.batch), side.across,
                              ArrayRef<Axis>(side.p.depth)})
    for (const Axis &a : axes)
      if (&a != inLine && !isWhole(a.steps[side.operand]))
        return std::nullopt;
  if (!isWhole(side.access.offset))
    return std::nullopt;
  tile.lines = tile.depthInLine ? side.tileRows : side.tileDepth;
  tile.chunks =
      (tile.depthInLine ? side.tileDepth : side.tileRows) / tile.elements;
  return tile;
}

std::optional<ChunkedTile> gpu::plainTile(const Side &side) {
  int64_t bits = side.access.element.getIntOrFloatBitWidth();
  if ((bits != 32 && bits != 64) || side.p.depth.empty())
    return std::nullopt;
  ChunkedTile tile;
  auto whole = chunkedTile(side);
  tile.elements = whole && !whole->depthInLine ? whole->elements : 1;
  tile.lines = side.tileDepth;
  tile.chunks = side.tileRows / tile.elements;
  tile.readsAlongDepth = side.p.depth.back().steps[side.operand] == 1;
  // Elements of some rows, one depth behind the other, get banks of their own.
  tile.pitch = side.tileRows + chunkWords;
  return tile;
}

Value ChunkedTile::place(Kernel &k, Value line, Value chunk) const {
  if (pitch)
    return k.at.add(k.at.mul(line, pitch), k.at.mul(chunk, elements));
  // Eight lines' chunks that a warp reads together (ldmatrix), or four lines'
  // pairs of chunks (elements of 32 bits, one by one), lie in 32 banks.
  constexpr int64_t lineChunks = 8; // of all banks once
  bool isCut = !depthInLine && elements == 8;
  Value turn = depthInLine
                   ? k.at.rem(k.at.div(line, lineChunks / chunks), chunks)
               : isCut ? k.at.rem(line, lineChunks)
                       : k.at.mul(k.at.rem(line, 4), 2);
  int64_t width = isCut ? lineChunks : chunks;
  if (isCut) {
    line = k.at.add(line, k.at.mul(k.at.div(chunk, lineChunks), lines));
    chunk = k.at.rem(chunk, lineChunks);
  }
  Value exchanged = arith::XOrIOp::create(k.b, chunk, turn);
  return k.at.mul(k.at.add(k.at.mul(line, width), exchanged), chunkWords);
}

TileCopier::TileCopier(Kernel &k, const Side &side, const ChunkedTile &tile,
                       Value firstRow, Value start)
    : side(side), tile(tile), start(start) {
  int64_t size = Product::sizeOf(side.across);
  for (int64_t e = 0; e < tile.lines * tile.chunks; e += k.threads()) {
    Value number = k.at.add(k.thread(), e);
    bool acrossLines = tile.readsAlongDepth && !tile.depthInLine;
    Value line = acrossLines ? k.at.rem(number, tile.lines)
                             : k.at.div(number, tile.chunks),
          chunk = acrossLines ? k.at.div(number, tile.lines)
                              : k.at.rem(number, tile.chunks);
    Value along = k.at.mul(chunk, tile.elements);
    Share s;
    s.depth = tile.depthInLine ? along : line;
    s.there = tile.place(k, line, chunk);
    Value row = k.at.add(firstRow, tile.depthInLine ? line : along);
    if (size % side.tileRows != 0)
      s.inside = k.at.below(row, size);
    s.place = AxisIndex(k, side.across, row).part(k, side.operand);
    shares.push_back(s);
  }
}

void TileCopier::copy(Kernel &k, Value from, Value end, Value memory,
                      Value stage) const {
  Type word = k.b.getI32Type();
  int64_t bytes = tile.elements * lowering::elementBytes(side.access.element);
  Value all = arith::ConstantIntOp::create(k.b, word, bytes),
        none = arith::ConstantIntOp::create(k.b, word, 0),
        first = k.at.mul(stage, tile.size());
  for (const Share &s : shares) {
    Value depth = k.at.add(from, s.depth);
    Value inside = k.at.both(s.inside, k.at.below(depth, end));
    Value place =
        k.at.add(k.at.add(start, s.place),
                 AxisIndex(k, side.p.depth, depth).part(k, side.operand));
    place = arith::SelectOp::create(k.b, inside, place, start);
    NVVM::CpAsyncOp::create(
        k.b, k.address(memory, k.at.add(first, s.there)),
        k.address(k.pointer(side.access.root), place), int32_t(bytes),
        bytes == chunkBytes ? NVVM::LoadCacheModifierKind::CG
                            : NVVM::LoadCacheModifierKind::CA,
        arith::SelectOp::create(k.b, inside, all, none));
  }
}
