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

/// An axis that members of a group hand to each other: which loop of each runs
/// along it.
class GroupAxis {
public:
  using Ops = ArrayRef<mlir::linalg::GenericOp>;

  explicit GroupAxis(Ops members) : members(members.begin(), members.end()) {}

  /// Along the rows that members are taken in blocks of.
  static GroupAxis ofBlocks(Ops members);

  /// It is the op's loop, and so those of members that hand the op something
  /// along it, or are handed something; false if one has two such loops.
  bool follow(mlir::linalg::GenericOp op, unsigned loop);
  std::optional<unsigned> loopOf(Operation *op) const {
    auto it = loops.find(op);
    return it == loops.end() ? std::nullopt : std::optional(it->second);
  }
  bool contains(Operation *op) const { return loops.contains(op); }
  bool empty() const { return loops.empty(); }

private:
  using OpenOps = SmallVectorImpl<mlir::linalg::GenericOp>;

  bool set(mlir::linalg::GenericOp op, unsigned loop, OpenOps &open);
  bool setAt(mlir::OpOperand &operand, unsigned axis, OpenOps &open);
  bool followFrom(mlir::linalg::GenericOp op, OpenOps &open);

  llvm::SmallPtrSet<Operation *, 8> members;
  llvm::DenseMap<Operation *, unsigned> loops;
};

/// Members of a group and their reaches.
///
/// Members are followed in order. At hidden points each must add nothing to
/// what it sums, or the same to a maximum; and what it hands on must be
///   - a constant: outside the group zero, which is written there,
///   - the same along the row: when the code runs, that of the farthest index
///     is made and asked. If it is zero, as an exponential far below its
///     maximum is, so are all; if not, nothing is left out in these rows,
///   - or read by none but members that it decides nothing for.
class GroupReach {
public:
  GroupReach(const HiddenParts &hidden,
             ArrayRef<mlir::linalg::GenericOp> members, const GroupAxis &rows);

  /// Sides that something the group reads has a triangle on, the nearest
  /// first.
  SmallVector<Side> sides() const;
  /// The reaches of those members that have one; none if one of the conditions
  /// fails, for the group can leave nothing out then.
  std::optional<Reaches> on(Side side);

private:
  unsigned row(Operation *op) const { return *rows.loopOf(op); }
  bool isMember(Operation *op) const { return group.members.contains(op); }
  bool writes(mlir::linalg::GenericOp op, mlir::OpOperand &init,
              unsigned loop) const;

  bool followLoops(Side side);

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
  RowCandidates group; ///< the same
  const GroupAxis &rows;
  GroupAxis hiddenAxis;
  Reaches reaches;
  HiddenParts::Assumed assumed;
  HiddenParts::Assumed assumedOfAll; ///< the same, were nothing missing
};

} // namespace gradus

#endif // GRADUS_LOWERING_GROUPREACH_H
