//===- HiddenParts.cpp - what a mask makes of a tensor's elements ---------===//

#include "HiddenParts.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AffineExpr.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

/// A triangle of a tensor's axes, as one of the loops that index it.
static std::optional<Triangle> asLoops(mlir::AffineMap map,
                                       const Triangle &axes) {
  auto greater = dyn_cast<mlir::AffineDimExpr>(map.getResult(axes.greater)),
       less = dyn_cast<mlir::AffineDimExpr>(map.getResult(axes.less));
  if (!greater || !less)
    return std::nullopt;
  return Triangle{greater.getPosition(), less.getPosition(), axes.least};
}

Known HiddenParts::operandAt(OpOperand &operand, const Triangle &triangle,
                             unsigned along) const {
  auto op = cast<linalg::GenericOp>(operand.getOwner());
  mlir::AffineMap map = op.getMatchingIndexingMap(&operand);
  Known best;
  if (!map.isFunctionOfDim(along))
    best.kind = Known::Alike;
  for (const HiddenPart &part : of(operand.get())) {
    auto where = asLoops(map, part.where);
    if (!where || !where->contains(triangle))
      continue;
    if (part.value.kind == Known::Constant)
      return part.value;
    bool onlyThere =
        llvm::all_of(llvm::enumerate(map.getResults()), [&](auto result) {
          return result.index() == part.along ||
                 !result.value().isFunctionOfDim(along);
        });
    if (onlyThere && map.getResult(part.along) ==
                         mlir::getAffineDimExpr(along, map.getContext()))
      best = part.value;
  }
  return best;
}

SmallVector<Triangle> HiddenParts::trianglesOf(OpOperand &operand) const {
  auto op = cast<linalg::GenericOp>(operand.getOwner());
  SmallVector<Triangle> all;
  for (const HiddenPart &part : of(operand.get()))
    if (auto where = asLoops(op.getMatchingIndexingMap(&operand), part.where))
      all.push_back(*where);
  return all;
}

HiddenPoints HiddenParts::at(linalg::GenericOp op, const Triangle &triangle,
                             unsigned along, const Assumed &assumed) const {
  BodyInTriangle body(op, triangle, along);
  for (OpOperand *in : op.getDpsInputOperands()) {
    auto it = assumed.find(in->get());
    body.set(op.getMatchingBlockArgument(in),
             it == assumed.end() ? operandAt(*in, triangle, along)
                                 : it->second);
  }
  body.run(assumed);
  HiddenPoints points;
  for (auto [yielded, out] :
       llvm::zip(op.getBody()->getTerminator()->getOperands(),
                 op.getRegionOutputArgs())) {
    points.yields.push_back(body.get(yielded));
    Operation *combiner = yielded.getDefiningOp();
    bool combines = combiner && combiner->getNumOperands() == 2 &&
                    out.hasOneUse() && *out.user_begin() == combiner;
    points.combiners.push_back(combines ? combiner : nullptr);
    points.terms.push_back(combines
                               ? body.get(combiner->getOperand(
                                     combiner->getOperand(0) == out ? 1 : 0))
                               : Known());
  }
  return points;
}

//===----------------------------------------------------------------------===//
// All of a block
//===----------------------------------------------------------------------===//

HiddenParts::HiddenParts(Block &body) {
  for (auto op : body.getOps<linalg::GenericOp>())
    find(op);
}

/// The triangles in which some comparison of the body comes out one way.
static SmallVector<Triangle> comparedIn(linalg::GenericOp op) {
  if (op.getBody()->getOps<arith::CmpIOp>().empty())
    return {};
  SmallVector<Triangle> all;
  // Indices are the same in each triangle.
  Triangle none{0, 0, 0};
  BodyInTriangle body(op, none, /*along=*/0);
  body.run(HiddenParts::Assumed());
  for (auto compare : op.getBody()->getOps<arith::CmpIOp>()) {
    auto d = Difference::of(body.get(compare.getLhs()).index,
                            body.get(compare.getRhs()).index, op.getNumLoops());
    for (int64_t more : {0, 1})
      if (d) {
        all.push_back({d->plus, d->minus, more - d->offset});
        all.push_back({d->minus, d->plus, more + d->offset});
      }
  }
  return all;
}

void HiddenParts::find(linalg::GenericOp op) {
  SmallVector<Triangle> candidates = comparedIn(op);
  for (OpOperand *in : op.getDpsInputOperands())
    llvm::append_range(candidates, trianglesOf(*in));
  for (auto [i, triangle] : llvm::enumerate(candidates)) {
    if (llvm::any_of(ArrayRef(candidates).take_front(i),
                     [&](const Triangle &other) {
                       return other.hasSameIndices(triangle) &&
                              other.least == triangle.least;
                     }))
      continue;
    for (unsigned along : {triangle.greater, triangle.less}) {
      HiddenPoints points = at(op, triangle, along);
      for (OpOperand &init : op.getDpsInitsMutable()) {
        unsigned result = init.getOperandNumber() - op.getNumDpsInputs();
        mlir::AffineMap map = op.getMatchingIndexingMap(&init);
        auto axisOf = [&](unsigned loop) {
          return map.getResultPosition(
              mlir::getAffineDimExpr(loop, map.getContext()));
        };
        auto greater = axisOf(triangle.greater), less = axisOf(triangle.less);
        if (!greater || !less ||
            op.getNumReductionLoops() > 0 && points.combiners[result])
          continue;
        add(op->getResult(result),
            {{*greater, *less, triangle.least},
             along == triangle.greater ? *greater : *less,
             points.yields[result]});
      }
    }
  }
}
void HiddenParts::add(Value tensor, const HiddenPart &part) {
  if (!part.value.isKnown())
    return;
  bool isKnown = llvm::any_of(parts[tensor], [&](const HiddenPart &other) {
    bool saysAll =
        other.value.kind == Known::Constant ||
        (part.value.kind == Known::Alike && other.along == part.along);
    return saysAll && other.where.contains(part.where);
  });
  if (!isKnown)
    parts[tensor].push_back(part);
}
