//===- Batcher.h - from one example to all of them --------------*- C++ -*-===//
//
// In: the body of a function of one example. Out: the ops that compute it for
// all examples, where the builder stands. Their values have the examples along
// a new first axis where they depend on what differs between examples, and are
// the same for all otherwise.
//
// An op is asked for its rule (dialects/graph/Batch.h); without one its parts
// are batched in its place, and without parts it stays as it is, in a loop over
// the examples. Loops and branches have rules of their own (BatchBodies.cpp).
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_BATCHING_BATCHER_H
#define GRADUS_BATCHING_BATCHER_H

#include "dialects/graph/Batch.h"
#include "gradus/Batching.h"
#include "gradus/Expand.h"
#include "mlir/IR/IRMapping.h"

namespace gradus {

class Batcher {
public:
  /// `request` asks for the batching: where errors point to.
  Batcher(ImplicitLocOpBuilder &b, graph::Dim count, Location request,
          Inliner inliner)
      : b(b), count(count), request(request), inliner(inliner) {}

  /// `all` stands for `one` of each example, or is the same for all.
  void set(Value one, Value all, bool hasAxis);
  template <typename Ones, typename All>
  void setAll(const Ones &ones, const All &all, ArrayRef<bool> hasAxis) {
    for (auto [one, value, axis] : llvm::zip(ones, all, hasAxis))
      set(Value(one), Value(value), axis);
  }
  /// Every op of the block but its last one.
  void run(Block &example);
  /// What a value became, with the examples' axis whatever it depends on.
  SmallVector<Value> spread(ValueRange values);

  bool complete = true; ///< was there nothing to report?

private:
  void run(Operation *op);
  bool isMapped(Value one) const { return mapped.contains(one); }
  Value now(Value one) { return values.lookupOrDefault(one); }
  SmallVector<Value> now(ValueRange ones);
  /// With the examples' axis if `hasAxis`, which it must have if it differs
  /// between examples.
  Value as(Value one, bool hasAxis);
  SmallVector<Value> as(ValueRange ones, ArrayRef<bool> hasAxis);
  bool differs(Operation *op) const;
  void setResults(Operation *op, ValueRange all);
  void runParts(Operation *op, graph::Composite composite);
  void runInLoop(Operation *op);

  //===-- Bodies ----------------------------------------------------------===//

  void runFor(graph::ForOp loop);
  void runWhile(graph::WhileOp loop);
  void runIf(graph::IfOp branch);
  void runCheckpoint(graph::CheckpointOp op);
  void runCustom(graph::CustomOp op);
  /// The gradient of the op for all examples, as a function.
  graph::FuncOp batchedRule(graph::CustomOp op);
  /// The body where the builder stands; what it yields.
  SmallVector<Value> runBody(mlir::Region &body, ArrayRef<bool> hasAxis);
  /// What depends, in the op's bodies too, on what differs.
  ValueSet dependent(Operation *op) const;

  ImplicitLocOpBuilder &b;
  graph::Dim count;
  Location request;
  Inliner inliner;
  mlir::IRMapping values; ///< of one example -> of all
  ValueSet mapped;        ///< those of one example that differ
};

} // namespace gradus

#endif // GRADUS_BATCHING_BATCHER_H
