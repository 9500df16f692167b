//===- LowerTurns.cpp - tensors whose elements lie by turns ---------------===//
//
// reshape(concat(reshape x, reshape y, ...)) along a new axis of size 1 behind
// another puts the elements of some tensors by turns along that one; a slice
// may leave out the first and last. The image of a convolution with a stride is
// handed back in such phases, of columns within phases of rows. Each innermost
// tensor is written once, to where its elements are to be in the whole.
//
//===----------------------------------------------------------------------===//

#include "LinalgBuilder.h"

using namespace gradus;
using namespace gradus::graph;
namespace tensor = mlir::tensor;

namespace {
struct Turns {
  int64_t axis, start = 0; ///< elements before `start` are left out
  SmallVector<Value> phases;
};

/// Elements of a tensor and where they go: of each axis those from `first` on,
/// to `place` and, from one to the next, `step` farther.
struct Part {
  Value tensor;
  SmallVector<int64_t> first, count, place, step;
};
} // namespace

static ArrayRef<int64_t> shapeOf(Value v) {
  return cast<RankedTensorType>(v.getType()).getShape();
}

static std::optional<Turns> turnsOf(Value v) {
  Turns turns;
  auto slice = v.getDefiningOp<SliceOp>();
  if (slice) {
    v = slice.getX();
    turns.start = slice.getStart();
  }
  auto whole = v.getDefiningOp<ReshapeOp>();
  auto concat = whole ? whole.getX().getDefiningOp<ConcatOp>() : ConcatOp();
  if (!concat || !concat->hasOneUse() || (slice && !whole->hasOneUse()))
    return std::nullopt;
  turns.axis = Shape(concat.getOut()).axis(concat.getAxis()) - 1;
  if (turns.axis < 0 ||
      (slice &&
       (slice.getStep() != 1 || Shape(v).axis(slice.getAxis()) != turns.axis)))
    return std::nullopt;
  for (Value x : concat.getInputs()) {
    auto apart = x.getDefiningOp<ReshapeOp>();
    if (!apart || !apart->hasOneUse())
      return std::nullopt;
    turns.phases.push_back(apart.getX());
    SmallVector<int64_t> one(shapeOf(turns.phases[0]));
    if (ArrayRef(one) != shapeOf(apart.getX()) ||
        int64_t(one.size()) <= turns.axis)
      return std::nullopt;
    one.insert(one.begin() + turns.axis + 1, 1);
    if (ArrayRef(one) != shapeOf(x))
      return std::nullopt;
  }
  SmallVector<int64_t> together(shapeOf(turns.phases[0]));
  together[turns.axis] *= int64_t(turns.phases.size());
  if (ArrayRef(together) != shapeOf(v))
    return std::nullopt;
  return turns;
}

static void collect(const Part &part, const Turns &turns,
                    std::vector<Part> &all);
/// Of which tensors the part is made, and where their elements go.
static void collect(const Part &part, std::vector<Part> &all) {
  auto turns = turnsOf(part.tensor);
  if (turns && part.tensor.hasOneUse())
    collect(part, *turns, all);
  else
    all.push_back(part);
}
static void collect(const Part &part, const Turns &turns,
                    std::vector<Part> &all) {
  int64_t d = turns.axis, n = int64_t(turns.phases.size());
  for (auto [a, phase] : llvm::enumerate(turns.phases)) {
    // Element m is number m * n + a - start of the part's tensor.
    int64_t behind = int64_t(a) - turns.start;
    int64_t first =
        std::max<int64_t>(0, llvm::divideCeilSigned(part.first[d] - behind, n));
    int64_t end = std::min(
        shapeOf(phase)[d],
        llvm::divideFloorSigned(part.first[d] + part.count[d] - 1 - behind, n) +
            1);
    if (first >= end)
      continue;
    Part own = part;
    own.tensor = phase;
    own.first[d] = first;
    own.count[d] = end - first;
    own.place[d] += part.step[d] * (first * n + behind - part.first[d]);
    own.step[d] *= n;
    collect(own, all);
  }
}

Value LinalgBuilder::byTurns(Operation *op, mlir::IRMapping &lowered) {
  auto turns =
      isa<SliceOp, ReshapeOp>(op) ? turnsOf(op->getResult(0)) : std::nullopt;
  if (!turns)
    return {};
  RankedTensorType type = tensorType(op->getResult(0));
  SmallVector<int64_t> zeros(type.getRank(), 0), ones(type.getRank(), 1);
  std::vector<Part> parts;
  collect({op->getResult(0), zeros, SmallVector<int64_t>(type.getShape()),
           zeros, ones},
          *turns, parts);
  auto indices = [&](ArrayRef<int64_t> ns) {
    return mlir::getAsIndexOpFoldResult(b.getContext(), ns);
  };
  Value out = empty(type);
  for (const Part &part : parts) {
    Value from = lowered.lookup(part.tensor);
    if (ArrayRef(part.count) != shapeOf(from))
      from = tensor::ExtractSliceOp::create(
          b, RankedTensorType::get(part.count, type.getElementType()), from,
          indices(part.first), indices(part.count), indices(ones));
    out =
        tensor::InsertSliceOp::create(b, from, out, indices(part.place),
                                      indices(part.count), indices(part.step));
  }
  return out;
}
