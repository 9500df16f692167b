//===- Control.td - loops and branches ------------------------------------===//
//
// Ops with bodies. A body reads values around it; what it hands on it yields.
// These ops write their own syntax (ControlSyntax.cpp).
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_CONTROL
#define GRADUS_GRAPH_CONTROL

include "mlir/Interfaces/LoopLikeInterface.td"
include "mlir/Interfaces/ViewLikeInterface.td"
include "Graph.td"

class Control_Op<string m, list<Trait> traits> : Op<GraphDialect, m, traits # [
    SingleBlock, RecursiveMemoryEffects, RecursivelySpeculatable, DeclareOpInterfaceMethods<HasBodies>,
    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames", "getAsmBlockArgumentNames", "getDefaultDialect"]>]> {
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
  let results = (outs Variadic<Tensor>:$results);
  let extraClassDefinition = [{
::llvm::StringRef $cppClass::getDefaultDialect() { return "graph"; }
void $cppClass::getAsmResultNames(::mlir::OpAsmSetValueNameFn set) { ::gradus::graph::nameResults(*this, set); }
}];
}

def ForOp : Control_Op<"for", [AttrSizedOperandSegments, DeclareOpInterfaceMethods<LoopLikeOpInterface, ["getLoopRegions"]>]> {
  let summary = "A loop over the slices of tensors, or a number of times";
  let description = [{
```mlir
%last, %all = for %xt in %x, axis = 1 carry (%s = %h0) {
  %u = matmul %xt, %w
  %a = add %u, %s
  %s2 = tanh %a
  yield %s2 stack %s2
}
%y = for %i in 12 carry (%s = %x) { ... yield %t }
```
    Each step gets the carries and one slice of every tensor after `in`, along `axis` (0 if not given), from the last to
    the first if `reverse`; a counter runs from 0 to the number of steps less one, with `reverse` from there to 0. The
    values yielded before `stack` are the carries of the next step, those after it are kept from every step. Results: the
    last carries, then one tensor for each value kept, its steps along `axis`.

    Gradient: a loop in the other direction. Its carries are the cotangents of the carries and of what the body reads from
    outside; what it needs of the forward loop is stacked there. With `checkpoint` that is about the square root of the
    steps only: reverse mode sees two nested loops, and runs the inner one again.
  }];
  let arguments = (ins Variadic<Tensor>:$initial, Variadic<Tensor>:$sources, ShapeOf:$counts,
                       DefaultValuedAttr<I64Attr, "0">:$axis, UnitAttr:$reverse, UnitAttr:$checkpoint);
  let regions = (region SizedRegion<1>:$body);
  let hasCanonicalizeMethod = 1;
  // The counter walks a tensor of numbers that nobody makes; `counts` is its type.
  let extraClassDeclaration = [{
    /// What a body hands on: carries of the next step, values kept from each.
    struct Yields {
      ::llvm::SmallVector<::mlir::Value> carried, stacked;
    };
    using Body = ::llvm::function_ref<Yields(::mlir::Value counter, ::mlir::ValueRange carries, ::mlir::ValueRange slices)>;
    /// A loop along axis 0; `body` puts its ops where the builder stands.
    static ForOp make(::mlir::ImplicitLocOpBuilder &b, ::mlir::ValueRange inits, ::mlir::ValueRange sources,
                      ::mlir::RankedTensorType counts, bool reverse, Body body);

    YieldOp getYield();
    ::mlir::BlockArgument getCounter() { return getBody().getArgument(0); }
    ::mlir::Block::BlockArgListType getCarries() { return getBody().getArguments().slice(1, getInitial().size()); }
    ::mlir::Block::BlockArgListType getSlices() { return getBody().getArguments().drop_front(1 + getInitial().size()); }
    ::mlir::Operation::result_range getFinals() { return getResults().take_front(getInitial().size()); }
    ::mlir::Operation::result_range getStacks() { return getResults().drop_front(getInitial().size()); }
    /// The number of steps.
    ::gradus::graph::Dim getSteps() { return ::gradus::graph::Shape(::llvm::cast<::mlir::RankedTensorType>(getCounts()))[0]; }
  }];
}

def WhileOp : Control_Op<"while", [DeclareOpInterfaceMethods<LoopLikeOpInterface, ["getLoopRegions"]>]> {
  let summary = "A loop that goes on while a condition holds, `limit` times at most";
  let description = [{
```mlir
%y, %e = while limit = 100 carry (%s = %x, %err = %one) {
  %go = gt %err, %eps
  yield %go
} do {
  ...
  yield %t, %e2
}
```
    The first body says whether there is another step, the second makes it. Reverse mode needs a `limit`: it keeps that
    many steps.
  }];
  let arguments = (ins Variadic<Tensor>:$initial, OptionalAttr<I64Attr>:$limit);
  let regions = (region SizedRegion<1>:$condition, SizedRegion<1>:$body);
}

def IfOp : Control_Op<"if", [NoRegionArguments]> {
  let summary = "One of two bodies, by a truth value";
  let description = [{
```mlir
%y = if %p {
  %t = tanh %x
  yield %t
} else {
  yield %x
}
```
    Gradient: the same branch again, then backwards.
  }];
  let arguments = (ins Tensor:$predicate);
  let regions = (region SizedRegion<1>:$yes, SizedRegion<1>:$no);
  let hasCanonicalizeMethod = 1;
  let extraClassDeclaration = [{
    using Branch = ::llvm::function_ref<::llvm::SmallVector<::mlir::Value>()>;
    /// Each branch puts its ops where the builder stands, and says what it yields.
    static IfOp make(::mlir::ImplicitLocOpBuilder &b, ::mlir::Value predicate, Branch yes, Branch no);
  }];
}

def CheckpointOp : Control_Op<"checkpoint", [NoRegionArguments]> {
  let summary = "A body whose values are not kept for reverse mode: it runs once more";
  let description = [{
```mlir
%y = checkpoint {
  %h = linear %x, %w1, %b1
  %a = gelu %h
  %z = linear %a, %w2, %b2
  yield %z
}
```
    Means what the body means. What its gradient needs of it is computed again, from what the body reads.
  }];
  let regions = (region SizedRegion<1>:$body);
  let extraClassDeclaration = [{
    using Body = ::llvm::function_ref<::llvm::SmallVector<::mlir::Value>()>;
    /// The body puts its ops where the builder stands, and says what it yields.
    static CheckpointOp make(::mlir::ImplicitLocOpBuilder &b, Body body);
  }];
}

def CustomOp : Op<GraphDialect, "custom", [SingleBlock, RecursiveMemoryEffects]> {
  let summary = "A call of a function with a gradient of its own, while derivatives are written; its body is the function's";
  let arguments = (ins FlatSymbolRefAttr:$rule, Variadic<Tensor>:$inputs);
  let regions = (region SizedRegion<1>:$body);
  let results = (outs Variadic<Tensor>:$results);
}

def YieldOp : Op<GraphDialect, "yield", [AttrSizedOperandSegments, Terminator, Pure,
    ParentOneOf<["ForOp", "WhileOp", "IfOp", "CheckpointOp", "CustomOp"]>]> {
  let summary = "What a body hands on; after `stack`, what a loop keeps from every step";
  let arguments = (ins Variadic<Tensor>:$carried, Variadic<Tensor>:$stacked);
  let hasCustomAssemblyFormat = 1;
  let builders = [OpBuilder<(ins "::mlir::ValueRange":$carried), [{ build($_builder, $_state, carried, {}); }]>];
}

//===----------------------------------------------------------------------===//
// Outlined: bodies are functions
//===----------------------------------------------------------------------===//

class Outlined_Op<string m, list<Trait> traits = []> : Op<GraphDialect, m, traits> {
  let results = (outs Variadic<Tensor>:$results);
}

def CallForOp : Outlined_Op<"call_for", [AttrSizedOperandSegments]> {
  let summary = "A `for` whose body is a function of the counter, the carries, the slices and what it reads from outside";
  let arguments = (ins FlatSymbolRefAttr:$body, I64Attr:$steps, UnitAttr:$reverse, Variadic<Tensor>:$initial,
                       Variadic<Tensor>:$sources, Variadic<Tensor>:$captures);
  let assemblyFormat = [{
    $body `in` $steps (`reverse` $reverse^)? (`carry` `(` $initial^ `:` type($initial) `)`)? (`slices` `(` $sources^ `:` type($sources) `)`)?
    (`reads` `(` $captures^ `:` type($captures) `)`)? attr-dict (`:` type($results)^)?
  }];
}
def CallWhileOp : Outlined_Op<"call_while", [AttrSizedOperandSegments]> {
  let summary = "A `while` whose bodies are functions of the carries and what both read from outside";
  let arguments = (ins FlatSymbolRefAttr:$condition, FlatSymbolRefAttr:$body, OptionalAttr<I64Attr>:$limit,
                       Variadic<Tensor>:$initial, Variadic<Tensor>:$captures);
  let assemblyFormat = [{
    $condition `do` $body (`limit` `=` $limit^)? (`carry` `(` $initial^ `:` type($initial) `)`)?
    (`reads` `(` $captures^ `:` type($captures) `)`)? attr-dict (`:` type($results)^)?
  }];
}
def CallIfOp : Outlined_Op<"call_if"> {
  let summary = "An `if` whose branches are functions of what both read from outside";
  let arguments = (ins Tensor:$predicate, FlatSymbolRefAttr:$yes, FlatSymbolRefAttr:$no, Variadic<Tensor>:$captures);
  let assemblyFormat = [{
    $predicate `:` type($predicate) `,` $yes `else` $no (`reads` `(` $captures^ `:` type($captures) `)`)?
    attr-dict (`:` type($results)^)?
  }];
}

def CallBodyOp : Outlined_Op<"call_body"> {
  let summary = "A `checkpoint` whose body is a function of what it reads from outside";
  let arguments = (ins FlatSymbolRefAttr:$body, Variadic<Tensor>:$captures);
  let assemblyFormat = "$body (`reads` `(` $captures^ `:` type($captures) `)`)? attr-dict (`:` type($results)^)?";
}

def RuntimeSizeOp : Op<GraphDialect, "runtime_size", [Pure]> {
  let summary = "The size that a dimension with a bound has in this call";
  let arguments = (ins StrAttr:$dim);
  let results = (outs Index:$size);
  let assemblyFormat = "$dim attr-dict";
}
def PartOp : Op<GraphDialect, "part", [Pure, DeclareOpInterfaceMethods<ViewLikeOpInterface>]> {
  let summary = "Slice `index` of a buffer along its first axis, as a buffer that begins there";
  let arguments = (ins AnyMemRef:$source, Index:$index);
  let results = (outs AnyMemRef:$part);
  let assemblyFormat = "$source `[` $index `]` attr-dict `:` type($source) `to` type($part)";
}

#endif // GRADUS_GRAPH_CONTROL
