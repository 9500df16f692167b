//===- Pack.cpp - operands copied to where they are read best -------------===//
//
// A thread makes a chunk of 16 bytes. Neighbours read neighbours in memory: the
// next chunk of a line, or the same of the next line.
//
//===----------------------------------------------------------------------===//

#include "Pack.h"
#include "Tiles.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace gradus;
using namespace gradus::gpu;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace LLVM = mlir::LLVM;
namespace memref = mlir::memref;

static constexpr int64_t chunkBytes = 16;

static int64_t chunkElements(Type element) {
  return chunkBytes * 8 / element.getIntOrFloatBitWidth();
}
/// The batches that the operand is not the same in.
static SmallVector<Axis> ownBatches(const Product &p, Factor operand) {
  SmallVector<Axis> own;
  for (const Axis &a : p.batch)
    if (a.steps[operand] != 0)
      own.push_back(a);
  return own;
}

PackedOperand::PackedOperand(const Product &p, Factor operand, Form form,
                             Type element)
    : operand(operand), form(form), element(element),
      lines(Product::sizeOf(ownBatches(p, operand)) *
            (operand == Lhs ? p.m() : p.n())),
      segment(llvm::alignTo(p.k(), chunkElements(element))) {}

Product PackedOperand::appliedTo(Product p, Value buffer) const {
  Access &access = operand == Lhs ? p.lhs : p.rhs;
  access = Access();
  access.root = buffer;
  access.steps = {1};
  access.element = element;
  access.isPacked = true;
  if (form == Split)
    p.depth = {Axis{pitch(), {1, 1, 0}, {}}};
  int64_t step = 1;
  auto lieDensely = [&](llvm::MutableArrayRef<Axis> axes) {
    for (Axis &a : llvm::reverse(axes))
      if (a.steps[operand] != 0) {
        a.steps[operand] = step;
        step *= a.size;
      }
  };
  lieDensely(p.depth);
  step = pitch();
  lieDensely(operand == Lhs ? p.rows : p.columns);
  lieDensely(p.batch);
  return p;
}

namespace {
/// A thread's chunk of a packed operand.
class ChunkPacker {
public:
  ChunkPacker(const PackedOperand &to, const Product &p, Kernel &k)
      : to(to), p(p), k(k), from(to.operand == Lhs ? p.lhs : p.rhs),
        rows(to.operand == Lhs ? p.rows : p.columns),
        batches(ownBatches(p, to.operand)), width(chunkElements(to.element)) {}

  int64_t count() const { return to.lines * chunksALine(); }

  void emit(Value number, Value buffer) {
    int64_t rowCount = Product::sizeOf(rows), batchCount = to.lines / rowCount;
    bool depthFirst = p.depth.empty() || p.depth.back().steps[to.operand] == 1;
    Value batch, row, chunk;
    if (depthFirst) {
      auto at = k.at.takenApart(number, {batchCount, rowCount, chunksALine()});
      batch = at[0], row = at[1], chunk = at[2];
    } else {
      auto at = k.at.takenApart(number, {batchCount, chunksALine(), rowCount});
      batch = at[0], chunk = at[1], row = at[2];
    }
    Value first = k.at.mul(chunk, width);
    SmallVector<Value> values = read(batch, row, first);
    Value line = k.at.add(k.at.mul(batch, rowCount), row),
          place = k.at.add(k.at.mul(line, to.pitch()), first);
    if (to.form != PackedOperand::Split) {
      for (Value &v : values)
        v = converted(v);
      return store(values, buffer, place);
    }
    // low x high + high x low + high x high: the small terms first.
    SmallVector<Value> high, low;
    for (Value v : values) {
      auto [upper, rest] = splitForTf32(k, v);
      high.push_back(upper);
      low.push_back(rest);
    }
    for (int64_t s = 0; s < 3; ++s) {
      bool isLow = s == (to.operand == Lhs ? 0 : 1);
      store(isLow ? low : high, buffer, k.at.add(place, s * to.segment));
    }
  }

private:
  int64_t chunksALine() const { return to.segment / width; }

  /// Of a row, from `first` on; zeros behind the last.
  SmallVector<Value> read(Value batch, Value row, Value first) {
    Value start = k.at.add(AxisIndex(k, batches, batch).part(k, to.operand),
                           AxisIndex(k, rows, row).part(k, to.operand));
    start = k.at.add(start, from.offset);
    if (from.start)
      start = k.at.add(start, k.inside(from.start));
    SmallVector<Value> values;
    for (int64_t e = 0; e < width; ++e) {
      Value depth = k.at.add(first, e), isThere;
      if (p.k() % width != 0)
        isThere = k.at.below(depth, p.k());
      Value place =
          k.at.add(start, AxisIndex(k, p.depth, depth).part(k, to.operand));
      if (isThere)
        place = arith::SelectOp::create(k.b, isThere, place, start);
      Value v = k.loadAt(from, place);
      if (isThere)
        v = arith::SelectOp::create(k.b, isThere, v, k.zero(from.element));
      values.push_back(v);
    }
    return values;
  }
  Value converted(Value v) {
    if (v.getType() != to.element)
      return arith::TruncFOp::create(k.b, to.element, v);
    return to.form == PackedOperand::Tf32 ? roundedToTf32(k, v) : v;
  }
  void store(ArrayRef<Value> values, Value buffer, Value place) {
    auto vector = mlir::VectorType::get({width}, to.element);
    Value chunk = LLVM::PoisonOp::create(k.b, vector);
    for (auto [e, v] : llvm::enumerate(values)) {
      Value at =
          arith::ConstantOp::create(k.b, k.b.getI32IntegerAttr(int32_t(e)));
      chunk = LLVM::InsertElementOp::create(k.b, chunk, v, at);
    }
    LLVM::StoreOp::create(k.b, chunk, k.address(k.pointer(buffer), place),
                          unsigned(chunkBytes));
  }

  const PackedOperand &to;
  const Product &p;
  Kernel &k;
  const Access &from;
  ArrayRef<Axis> rows;
  SmallVector<Axis> batches;
  int64_t width;
};
} // namespace

Value PackedOperand::emit(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
                          const Product &p) const {
  linalg::GenericOp op = p.op;
  Value buffer = memref::AllocOp::create(
      host, op.getLoc(), mlir::MemRefType::get({lines * pitch()}, element));
  constexpr int64_t threads = 256;
  Kernel k(kernels, "pack", op.getLoc(), threads);
  ChunkPacker packer(*this, p, k);
  Value number =
      k.at.add(k.at.mul(k.block(mlir::gpu::Dimension::x), threads), k.thread());
  k.when(k.at.below(number, packer.count()),
         [&] { packer.emit(number, buffer); });
  k.launch(host, {llvm::divideCeilSigned(packer.count(), threads)});
  return buffer;
}
