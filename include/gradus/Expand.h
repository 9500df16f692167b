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

/// Of a function that a request is written with, until all are written.
inline constexpr llvm::StringLiteral helperAttr = "graph.helper";
/// Adds one above `caller`, by the name or one like it; `build` puts its ops
/// where the builder stands, and says what it returns.
graph::FuncOp addHelper(
    graph::FuncOp caller, const Twine &name, mlir::TypeRange args,
    function_ref<SmallVector<Value>(ImplicitLocOpBuilder &b, ValueRange args)>
        build);
void dropHelpers(graph::ModelOp model);

using ValueSet = llvm::DenseSet<Value>;
/// What a value hands on to what depends on it: derivatives, which only floats
/// in bodies have, or that it differs, which whatever it decides does too.
enum class Through { Derivative, Control };
/// The values that depend on `from`, those in bodies too.
ValueSet reached(ArrayRef<Value> from, ArrayRef<Operation *> tape,
                 Through through = Through::Derivative);

/// Infers the types of an op's results anew; a call's from its callee, a
/// function's from what it returns.
LogicalResult inferAnew(Operation *op);

/// Runs `pipeline` (text, anchored at a model) on every model.
LogicalResult runModelPipeline(ModuleOp module, StringRef pipeline);

} // namespace gradus

#endif // GRADUS_EXPAND_H
