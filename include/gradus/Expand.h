//===- Expand.h - a model -> plain functions --------------------*- C++ -*-===//

#ifndef GRADUS_EXPAND_H
#define GRADUS_EXPAND_H

#include "gradus/Graph.h"

namespace gradus {

/// The location without the value's own name, at its head or in the callee of
/// a call site.
Location withoutName(Location loc);

/// Puts something else in the place of a call than the callee's body, or says
/// no.
using CallReplacer = function_ref<std::optional<SmallVector<Value>>(
    OpBuilder &b, graph::FuncOp callee, ValueRange args, Location call)>;

/// Clones the body of `f`, calls in it inlined, to the insertion point, and
/// returns what it returns. `made` hears of every op but the updates.
SmallVector<Value> inlineBody(OpBuilder &b, graph::FuncOp f, ValueRange args,
                              Location call,
                              function_ref<void(Operation *)> made,
                              CallReplacer replace = nullptr);

/// Inlines every call in the op's bodies; returns the functions called.
SmallVector<graph::FuncOp> inlineCallsIn(Operation *op,
                                         CallReplacer replace = nullptr);

/// The params and states that `f` and its callees use, in order of
/// declaration.
SmallVector<Operation *> usedVariables(graph::FuncOp f);

/// Loops in `op`, or it itself, that walk another axis walk axis 0 of
/// transposed tensors. `replaced` hears which value stands for a result of such
/// a loop.
void walkAlongAxis0(Operation *op, function_ref<void(Value, Value)> replaced);

/// Infers the types of an op's results anew; a call's from its callee, a
/// function's from what it returns.
LogicalResult inferAnew(Operation *op);

/// Runs `pipeline` (text, anchored at a model) on every model.
LogicalResult runModelPipeline(ModuleOp module, StringRef pipeline);

} // namespace gradus

#endif // GRADUS_EXPAND_H
