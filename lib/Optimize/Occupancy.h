//===- Occupancy.h - what a function keeps, and computes --------*- C++ -*-===//
//
// Estimates, made where fusion has not happened yet: what it will keep in
// registers counts as nothing (results that elementwise ops and reductions
// nearby read alone), reshapes and broadcasts as what they read.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_OPTIMIZE_OCCUPANCY_H
#define GRADUS_OPTIMIZE_OCCUPANCY_H

#include "gradus/Graph.h"

namespace gradus {

/// Bytes and operations, of dimensions with a bound at the bound.
class Costs {
public:
  explicit Costs(llvm::StringMap<int64_t> bounds) : bounds(std::move(bounds)) {}

  int64_t elements(Value v) const;
  int64_t bytes(Value v) const;
  /// Floating-point operations, roughly: a `while` takes one step, both
  /// branches of an `if` run.
  double operations(Operation *op) const;

private:
  int64_t size(const graph::Dim &d) const;
  llvm::StringMap<int64_t> bounds;
};

/// Reads its operand in place: no tensor of its own.
bool isView(Operation *op);
/// The value that a view, or a view of one, is of.
Value storageOf(Value v);

struct Use {
  mlir::OpOperand *operand;
  int64_t at;
};
/// A tensor in memory from position `first` to `last`.
struct Stored {
  int64_t bytes = 0, first = 0, last = 0;
  SmallVector<Use> uses; ///< by ops that are no views
};

/// The tensors of a body, and how many bytes are in use at each of its ops.
class Occupancy {
public:
  Occupancy(Block &body, const Costs &costs);

  int64_t peak = 0;      ///< position of the fullest point
  int64_t peakBytes = 0; ///< in use there
  llvm::MapVector<Value, Stored> tensors;
  SmallVector<Operation *> order;

private:
  void addUses(Stored &s, Value v);
  void add(Value v);
  void measure();

  Block &body;
  const Costs &costs;
  llvm::DenseMap<Operation *, int64_t> position;
};

} // namespace gradus

#endif // GRADUS_OPTIMIZE_OCCUPANCY_H
