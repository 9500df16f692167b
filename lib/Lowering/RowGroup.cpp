//===- RowGroup.cpp - ops that run row by row together --------------------===//

#include "RowGroup.h"
#include "gradus/Lowering.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace gradus;
namespace linalg = mlir::linalg;
using mlir::OpOperand;

int64_t gradus::nextGroup(Block &body) {
  int64_t next = 0;
  for (Operation &op : body)
    if (auto group = op.getAttrOfType<IntegerAttr>(lowering::groupAttr))
      next = std::max(next, group.getInt() + 1);
  return next;
}

ArrayRef<int64_t> gradus::rowLoopsOf(Operation *op) {
  auto rows =
      op->getAttrOfType<mlir::DenseI64ArrayAttr>(lowering::rowLoopsAttr);
  return rows ? rows.asArrayRef() : ArrayRef<int64_t>();
}

bool gradus::sumsRowsOfBlocks(Operation *op) {
  ArrayRef<int64_t> rows = rowLoopsOf(op);
  return !rows.empty() && op->hasAttr(lowering::rowBlockAttr) &&
         cast<linalg::LinalgOp>(op).getIteratorTypesArray()[rows.back()] ==
             mlir::utils::IteratorType::reduction;
}

std::optional<RowGroup> RowGroup::find(ArrayRef<linalg::LinalgOp> work) {
  RowGroup group;
  SmallVector<linalg::LinalgOp> others;
  for (linalg::LinalgOp op : work) {
    if (!op->hasAttr(lowering::rowLoopsAttr)) {
      others.push_back(op);
      continue;
    }
    if (!group.add(op))
      return std::nullopt;
    for (OpOperand &init : op.getDpsInitsMutable())
      for (linalg::LinalgOp fill : others)
        if (isa<linalg::FillOp>(fill.getOperation()) &&
            fill.getDpsInits()[0] == init.get() && !group.contains(fill))
          group.addFill(fill, init);
  }
  if (group.ops.empty())
    return std::nullopt;
  // Another op among them might read or write what they do, elsewhere.
  for (linalg::LinalgOp op : work)
    if (!group.contains(op))
      return std::nullopt;
  return group;
}

bool RowGroup::add(linalg::LinalgOp op) {
  auto rows =
      op->getAttrOfType<mlir::DenseI64ArrayAttr>(lowering::rowLoopsAttr);
  auto ranges = op.getStaticLoopRanges();
  SmallVector<int64_t> own;
  for (int64_t d : rows.asArrayRef())
    own.push_back(ranges[d]);
  auto blockAttr = op->getAttrOfType<mlir::IntegerAttr>(lowering::rowBlockAttr);
  int64_t ownBlock = blockAttr ? blockAttr.getInt() : 1;
  if (!ops.empty() && (own != sizes || ownBlock != block))
    return false;
  sizes = own;
  block = ownBlock;
  loops[op] = SmallVector<unsigned>(rows.asArrayRef());
  ops.push_back(op);
  return true;
}

bool RowGroup::sumsRows(Operation *op) const {
  return contains(op) && sumsRowsOfBlocks(op);
}

SmallVector<unsigned> RowGroup::axesOfRows(OpOperand &init) const {
  auto member = cast<linalg::LinalgOp>(init.getOwner());
  auto map = member.getMatchingIndexingMap(&init);
  ArrayRef<unsigned> rows = loops.find(member)->second;
  return llvm::map_to_vector(sumsRows(member) ? rows.drop_back() : rows,
                             [&](unsigned d) {
                               return *map.getResultPosition(
                                   mlir::getAffineDimExpr(d, map.getContext()));
                             });
}

/// A fill that a member starts from runs row by row as well; what adds up rows
/// starts once.
void RowGroup::addFill(linalg::LinalgOp fill, OpOperand &init) {
  loops[fill] = axesOfRows(init);
  ops.insert(ops.end() - 1, fill);
}

bool RowGroup::owns(Value buffer) const {
  return buffer.getDefiningOp<mlir::memref::AllocOp>() &&
         llvm::all_of(buffer.getUses(), [&](OpOperand &use) {
           return contains(use.getOwner()) && atItsRow(use);
         });
}
bool RowGroup::writes(Value buffer) const {
  return llvm::any_of(ops, [&](linalg::LinalgOp op) {
    return llvm::any_of(op.getDpsInits(), [&](Value out) {
      return lowering::viewedBuffer(out) == lowering::viewedBuffer(buffer);
    });
  });
}
bool gradus::startsWithLoops(OpOperand &operand, ArrayRef<unsigned> loops) {
  auto map = cast<linalg::LinalgOp>(operand.getOwner())
                 .getMatchingIndexingMap(&operand);
  return map.getNumResults() >= loops.size() &&
         llvm::all_of(llvm::zip(map.getResults(), loops), [&](auto place) {
           auto [e, d] = place;
           return e == mlir::getAffineDimExpr(d, map.getContext());
         });
}
bool RowGroup::atItsRow(OpOperand &use) const {
  auto map =
      cast<linalg::LinalgOp>(use.getOwner()).getMatchingIndexingMap(&use);
  ArrayRef<unsigned> own = loops.find(use.getOwner())->second;
  // Within a block an index is counted from its first row: no other axis may
  // have it.
  return startsWithLoops(use, own) &&
         (block == 1 || llvm::none_of(map.getResults().drop_front(own.size()),
                                      [&](mlir::AffineExpr e) {
                                        return e.isFunctionOfDim(own.back());
                                      }));
}
