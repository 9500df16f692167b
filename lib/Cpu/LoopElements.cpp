//===- LoopElements.cpp - what a loop's body reads and writes -------------===//

#include "LoopElements.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace gradus;
namespace affine = mlir::affine;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace memref = mlir::memref;
namespace vector = mlir::vector;
using mlir::AffineMap;
using mlir::OpOperand;

LoopElements::LoopElements(ImplicitLocOpBuilder &b, const LoopPlan &plan,
                           const LocalBuffers &buffers)
    : LoopPlan(plan), b(b), buffers(buffers), ivs(ranges.size()) {
  for (auto [d, r] : llvm::enumerate(ranges))
    ivs[d] = r.at;
}

Value LoopElements::index(int64_t n) {
  return arith::ConstantIndexOp::create(b, n);
}
mlir::VectorType LoopElements::vectorOf(Type element) {
  return mlir::VectorType::get({lanes}, element);
}
Type LoopElements::elementOf(OpOperand &o) {
  return mlir::getElementTypeOrSelf(o.get().getType());
}
Value LoopElements::asVector(Value v) {
  if (isa<mlir::VectorType>(v.getType()))
    return v;
  // Patterns on functions want to see an exponent.
  Attribute number;
  if (mlir::matchPattern(v, mlir::m_Constant(&number)))
    return arith::ConstantOp::create(
        b, mlir::SplatElementsAttr::get(vectorOf(v.getType()), number));
  return vector::BroadcastOp::create(b, vectorOf(v.getType()), v);
}
Value LoopElements::place(unsigned d) {
  if (!ranges[d].origin || ranges[d].at)
    return ivs[d];
  return arith::AddIOp::create(b, ivs[d], ranges[d].origin);
}
bool LoopElements::isGiven(mlir::AffineExpr e) const {
  auto d = dyn_cast<mlir::AffineDimExpr>(e);
  return d && ranges[d.getPosition()].at;
}
LoopElements::Values LoopElements::indicesOf(OpOperand &o, int64_t u) {
  Values at;
  const Window *window = windowOf(o);
  Value source = sourceOf(o);
  bool local = buffers.local.contains(source),
       tile = buffers.tile.contains(source);
  for (auto [i, e] : llvm::enumerate(mapOf(o).getResults())) {
    if (local && i < buffers.rows) {
      at.push_back(index(0));
      continue;
    }
    if (tile && isGiven(e))
      continue;
    AffineMap one =
        AffineMap::get(ivs.size(), 0, window ? e - window->low[i] : e);
    SmallVector<mlir::OpFoldResult> operands;
    for (unsigned d = 0; d < ivs.size(); ++d) {
      bool moves = ivs[d] && e.isFunctionOfDim(d);
      operands.push_back(
          moves ? mlir::OpFoldResult(tile || local ? ivs[d] : place(d))
                : b.getIndexAttr(0));
    }
    Value v = mlir::getValueOrCreateConstantIndexOp(
        b, b.getLoc(),
        affine::makeComposedFoldedAffineApply(b, b.getLoc(), one, operands));
    if (u > 0 && e.isFunctionOfDim(*along))
      v = arith::AddIOp::create(b, v, index(u * lanes));
    at.push_back(v);
  }
  return at;
}
const Window *LoopElements::windowOf(OpOperand &o) const {
  auto it = buffers.windows.find(o.get());
  return it == buffers.windows.end() ? nullptr : &it->second;
}
Value LoopElements::isThere(const Window &window, ArrayRef<Value> at) {
  auto sizes = cast<ShapedType>(window.image.getType()).getShape();
  Value all;
  for (auto [i, isCut] : llvm::enumerate(window.isCut)) {
    if (!isCut)
      continue;
    // One before the first is a large number without a sign.
    Value one = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, at[i],
                                      index(sizes[i]));
    all = all ? Value(arith::AndIOp::create(b, all, one)) : one;
  }
  return all;
}
Value LoopElements::sourceOf(OpOperand &o) const {
  const Window *window = windowOf(o);
  return window ? window->image : o.get();
}
Value LoopElements::bufferOf(OpOperand &o) {
  Value source = sourceOf(o);
  for (auto *small : {&buffers.local, &buffers.tile})
    if (Value buffer = small->lookup(source))
      return buffer;
  return source;
}
Value LoopElements::load(OpOperand &o, int64_t u, Value mask) {
  if (isScalar(o))
    return o.get();
  Values at = indicesOf(o, u);
  if (!inVectors(o))
    return memref::LoadOp::create(b, bufferOf(o), at);
  auto type = vectorOf(elementOf(o));
  const Window *window = windowOf(o);
  if (Value there = window && !isInside ? isThere(*window, at) : Value()) {
    Value lanes =
        vector::BroadcastOp::create(b, vectorOf(b.getI1Type()), there);
    // No lane is read then, but a place outside the process costs a hundred
    // times as much all the same.
    for (auto [i, isCut] : llvm::zip(at, window->isCut))
      if (isCut)
        i = arith::SelectOp::create(b, there, i, index(0));
    mask = mask ? Value(arith::AndIOp::create(b, mask, lanes)) : lanes;
  }
  if (!mask)
    return vector::LoadOp::create(b, type, bufferOf(o), at);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
  return vector::MaskedLoadOp::create(b, type, bufferOf(o), at, mask, zero);
}
void LoopElements::fetchNextWindow(OpOperand &o, int64_t vectors) {
  // A smaller image stays in the second cache, a row of a group in the first.
  constexpr int64_t cacheBytes = 256 * 1024, lineBytes = 64, mostElements = 2;
  constexpr unsigned intoFirstCache = 3;
  if (isScalar(o) || !inVectors(o) || bufferOf(o) != sourceOf(o))
    return;
  auto axes = windowAxes(o);
  auto type = cast<ShapedType>(sourceOf(o).getType());
  if (axes.size() < 2 || axes[0].step > mostElements ||
      axes[1].step > mostElements || lowering::byteCount(type) <= cacheBytes)
    return;
  // New in the next window are its last rows; each place of a row asks for the
  // elements in the middle of its own.
  auto sizes = op.getStaticLoopRanges();
  auto taps = [&](unsigned n) { return sizes[axes[n].taps]; };
  // A sum over an image, for a few places, reads all of its rows anyway.
  if (taps(0) > sizes[axes[0].slides])
    return;
  Values here = ivs;
  for (unsigned d : reductions)
    ivs[d] = index(0);
  ivs[axes[0].slides] = arith::AddIOp::create(b, ivs[axes[0].slides], index(1));
  ivs[axes[0].taps] = index(taps(0) - 1);
  ivs[axes[1].taps] = index((taps(1) - 1) / 2);
  Values last = indicesOf(o, 0);
  ivs = here;
  auto fetch = [&](int64_t y, int64_t x, int64_t element) {
    Values at = last;
    auto move = [&](unsigned axis, int64_t n) {
      if (n != 0)
        at[axis] = arith::AddIOp::create(b, at[axis], index(n));
    };
    move(axes[0].axis, -y);
    move(axes[1].axis, x);
    move(at.size() - 1, element);
    memref::PrefetchOp::create(b, bufferOf(o), at, /*isWrite=*/false,
                               intoFirstCache, /*isDataCache=*/true);
  };
  int64_t line = lineBytes / lowering::elementBytes(type.getElementType());
  for (int64_t y = 0; y < axes[0].step; ++y)
    for (int64_t x = 0; x < axes[1].step; ++x)
      for (int64_t element = 0; element < vectors * lanes; element += line)
        fetch(y, x, element);
}
Value LoopElements::old(OpOperand &o, int64_t u, Value mask) {
  auto start = buffers.starts.find(o.get());
  if (start == buffers.starts.end())
    return load(o, u, mask);
  Value number = arith::ConstantOp::create(b, start->second);
  if (inVectors(o))
    number = asVector(number);
  return isFirst ? Value(arith::SelectOp::create(b, isFirst, number,
                                                 load(o, u, mask)))
                 : number;
}
void LoopElements::store(OpOperand &o, Value v, int64_t u, Value mask) {
  Values at = indicesOf(o, u);
  if (!inVectors(o)) {
    memref::StoreOp::create(b, v, bufferOf(o), at);
    return;
  }
  v = asVector(v);
  if (mask)
    vector::MaskedStoreOp::create(b, bufferOf(o), at, mask, v);
  else
    vector::StoreOp::create(b, v, bufferOf(o), at);
}
Value LoopElements::identity(OpOperand &o) {
  return asVector(
      arith::getIdentityValue(combination(o), elementOf(o), b, b.getLoc()));
}
Value LoopElements::combine(OpOperand &o, Value x, Value y) {
  unsigned r = o.getOperandNumber() - op.getNumDpsInputs();
  Operation *copy =
      op.getBlock()->getTerminator()->getOperand(r).getDefiningOp()->clone();
  copy->setOperands({x, y});
  copy->getResult(0).setType(x.getType());
  b.insert(copy);
  return copy->getResult(0);
}

void LoopElements::cloneInner(Operation &inner, mlir::IRMapping &map,
                              int64_t u) {
  if (auto at = dyn_cast<linalg::IndexOp>(inner)) {
    Value i = place(at.getDim());
    if (along && at.getDim() == *along) {
      if (u > 0)
        i = arith::AddIOp::create(b, i, index(u * lanes));
      Value steps = vector::StepOp::create(b, vectorOf(b.getIndexType()));
      i = arith::AddIOp::create(b, asVector(i), steps);
    }
    map.map(at.getResult(), i);
    return;
  }
  bool anyVector = llvm::any_of(inner.getOperands(), [&](Value v) {
    return isa<mlir::VectorType>(map.lookupOrDefault(v).getType());
  });
  // What is the same for all lanes is computed once.
  Operation *copy = b.clone(inner, map);
  if (!anyVector)
    return;
  for (OpOperand &o : copy->getOpOperands()) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(copy);
    o.set(asVector(o.get()));
  }
  for (Value r : copy->getResults())
    r.setType(vectorOf(r.getType()));
}
