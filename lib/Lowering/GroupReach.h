//===- GroupReach.h - what a group of ops can leave out ---------*- C++ -*-===//

#ifndef GRADUS_LOWERING_GROUPREACH_H
#define GRADUS_LOWERING_GROUPREACH_H

#include "HiddenParts.h"
#include "Reach.h"
#include "RowFit.h"
#include "llvm/ADT/MapVector.h"

namespace gradus {

/// The side of its row on which indices are hidden, and from how far on.
struct Side {
  bool isAbove;
  int64_t least;

  Triangle of(unsigned loop, unsigned row) const {
    return isAbove ? Triangle{loop, row, least} : Triangle{row, loop, least};
  }
};

using Reaches = llvm::MapVector<Operation *, Reach>;

/// Members of a group that takes rows in blocks, and their reaches.
///
/// Members are followed in order. At hidden points each must add nothing to
/// what it sums, or the same to a maximum; and what it hands on must be
///   - a constant: outside the group zero, which is written there,
///   - the same along the row: when the code runs, that of the farthest index
///     is made and asked. If it is zero, as an exponential far below its
///     maximum is, so are all; if not, nothing is left out in this block,
///   - or read by none but members that it decides nothing for.
class GroupReach {
public:
  GroupReach(const HiddenParts &hidden,
             ArrayRef<mlir::linalg::GenericOp> members);

  /// Sides that something the group reads has a triangle on, the nearest
  /// first.
  SmallVector<Side> sides() const;
  /// The reaches of those members that have one; none if one of the conditions
  /// fails, for the group can leave nothing out then.
  std::optional<Reaches> on(Side side);

private:
  using Ops = SmallVectorImpl<mlir::linalg::GenericOp>;

  unsigned row(Operation *op) const { return rowOf.find(op)->second; }
  bool isMember(Operation *op) const { return group.members.contains(op); }

  bool followLoops(Side side);
  bool followFrom(mlir::linalg::GenericOp op, Ops &open);
  bool setLoop(mlir::linalg::GenericOp op, unsigned loop, Ops &open);
  bool setLoopAt(mlir::linalg::GenericOp op, mlir::OpOperand &operand,
                 unsigned axis, Ops &open);

  bool limit(mlir::linalg::GenericOp op, Side side);
  bool isSilent(mlir::linalg::GenericOp op, const Triangle &points,
                unsigned loop) const;
  void assumeInputZero(mlir::linalg::GenericOp op, Reach &reach,
                       const Triangle &points);
  bool handOn(mlir::linalg::GenericOp op, const HiddenPoints &points,
              Reach &reach);
  void assume(Value v, const Known &known) {
    assumed[v] = assumedOfAll[v] = known;
  }
  bool isReadByLimited(Value v) const;

  const HiddenParts &hidden;
  SmallVector<mlir::linalg::GenericOp> members;
  RowCandidates group;                         ///< the same
  llvm::DenseMap<Operation *, unsigned> rowOf; ///< the loop along its blocks
  llvm::DenseMap<Operation *, unsigned> hiddenLoop;
  Reaches reaches;
  HiddenParts::Assumed assumed;
  HiddenParts::Assumed assumedOfAll; ///< the same, were nothing missing
};

} // namespace gradus

#endif // GRADUS_LOWERING_GROUPREACH_H
