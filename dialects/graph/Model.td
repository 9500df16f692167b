//===- Model.td - models, functions, parameters, training -----------------===//
//
// These few ops write their own syntax (Model.cpp).
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_MODEL
#define GRADUS_GRAPH_MODEL

include "Graph.td"

defvar NamedResults = DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>;
defvar nameMethod = "void $cppClass::getAsmResultNames(::mlir::OpAsmSetValueNameFn set) { ::gradus::graph::nameResults(*this, set); }\n";
defvar scopeMethod = "::llvm::StringRef $cppClass::getDefaultDialect() { return \"graph\"; }\n";

class Model_Op<string m, list<Trait> traits = []> : Op<GraphDialect, m, traits> {
  let hasCustomAssemblyFormat = 1;
}

def ConstantOp : Model_Op<"constant", [Pure, ConstantLike, NamedResults]> {
  let summary = "Numbers that stand in the text: `%half = constant f32[] = 0.5`, `%v = constant f32[2] = [1.0, 2.0]`";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs AnyRankedTensor:$result);
  let hasFolder = 1;
  let extraClassDefinition = nameMethod;
}

def ModelOp : Model_Op<"model", [IsolatedFromAbove, SymbolTable, Symbol, NoRegionArguments, NoTerminator, SingleBlock,
    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getDefaultDialect"]>]> {
  let summary = "Parameters and the functions that use them";
  let arguments = (ins SymbolNameAttr:$sym_name);
  let regions = (region SizedRegion<1>:$body);
  let hasRegionVerifier = 1;
  let extraClassDefinition = scopeMethod;
}

class Variable<string m> : Model_Op<m, [NamedResults]> {
  let hasVerifier = 1;
  let arguments = (ins StrAttr:$name, StrAttr:$init, DictionaryAttr:$options);
  let results = (outs AnyRankedTensor:$result);
  let extraClassDefinition = "void $cppClass::getAsmResultNames(::mlir::OpAsmSetValueNameFn set) { set(getResult(), getName()); }\n";
}
def ParamOp : Variable<"param"> {
  let summary = "Numbers that training changes: `%w = param f32[784, 10] = he_normal(seed = 1)`";
}
def StateOp : Variable<"state"> {
  let summary = "Numbers that a step leaves for the next one: `%steps = state f32[] = zeros`";
}
def UpdateOp : Model_Op<"update"> {
  let hasVerifier = 1;
  let summary = "The value of a parameter or state in the next step: `update %w, %next`";
  let arguments = (ins AnyRankedTensor:$variable, AnyRankedTensor:$value);
}

def FuncOp : Model_Op<"func", [FunctionOpInterface,
    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmBlockArgumentNames", "getDefaultDialect"]>]> {
  let summary = "A function; with params of its own it is a layer";
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type,
                       OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    ::mlir::ValueRange returned() { return getBody().front().getTerminator()->getOperands(); }
    /// What a result is called: given after `as`, else the value's name.
    std::string resultName(unsigned i);
    std::string argumentName(unsigned i);
  }];
  let extraClassDefinition = scopeMethod;
}
def ReturnOp : Model_Op<"return", [Terminator, Pure, ParentOneOf<["FuncOp"]>]> {
  let summary = "The results of a function, each with a name for the outside if `as` gives one";
  let arguments = (ins Variadic<AnyRankedTensor>:$values, OptionalAttr<ArrayAttr>:$names);
}

def CallOp : Model_Op<"call", [DeclareOpInterfaceMethods<SymbolUserOpInterface>, CallOpInterface, NamedResults]> {
  let summary = "A function's results; a layer's parameters take the call's name, or the one after `as`";
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyRankedTensor>:$inputs,
                       OptionalAttr<StrAttr>:$prefix, OptionalAttr<DictionaryAttr>:$options,
                       OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let extraClassDeclaration = [{
    ::mlir::CallInterfaceCallable getCallableForCallee() { return getCalleeAttr(); }
    void setCalleeFromCallable(::mlir::CallInterfaceCallable c) { setCalleeAttr(::llvm::cast<::mlir::FlatSymbolRefAttr>(::llvm::cast<::mlir::SymbolRefAttr>(c))); }
    ::mlir::Operation::operand_range getArgOperands() { return getInputs(); }
    ::mlir::MutableOperandRange getArgOperandsMutable() { return getInputsMutable(); }
  }];
  let extraClassDefinition = nameMethod;
}

def RepeatOp : Model_Op<"repeat", [NamedResults, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A function applied again and again: `%h = repeat 12 @block(%x)`; a layer has parameters of its own each time";
  let description = [{
    Results become the first arguments of the next time; the others are the same each time. The parameters of a layer are
    one tensor each, with a leading axis for the times, and a loop walks it: the layer is compiled once.
  }];
  let arguments = (ins I64Attr:$times, FlatSymbolRefAttr:$callee, Variadic<AnyRankedTensor>:$inputs,
                       OptionalAttr<StrAttr>:$prefix, OptionalAttr<DictionaryAttr>:$options);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let extraClassDefinition = nameMethod;
}

defvar Request = [NamedResults, DeclareOpInterfaceMethods<SymbolUserOpInterface>];
class Derivative<string m> : Model_Op<m, [AttrSizedOperandSegments] # Request> {
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyRankedTensor>:$inputs, Variadic<AnyRankedTensor>:$wrt);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let extraClassDefinition = nameMethod;
}
def JvpOp : Model_Op<"jvp", Request> {
  let summary = "A call, and the derivative of its results along a tangent for each argument";
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyRankedTensor>:$inputs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let extraClassDefinition = nameMethod;
}
def ValueAndGradOp : Derivative<"value_and_grad"> {
  let summary = "A call, and the gradient of its first result with respect to arguments or parameters";
}
def JacobianOp : Derivative<"jacobian"> {
  let summary = "The derivatives of every element of a function's result by every element of arguments or parameters: the result's axes, then the argument's";
}
def HessianOp : Derivative<"hessian"> {
  let summary = "The second derivatives of a scalar by every pair of elements: for arguments a, b the results are those by a and a, a and b, b and a, b and b";
}
def VmapOp : Model_Op<"vmap", Request> {
  let summary = "A function of one example, called for all of them: `%y = vmap @f(%xs, %w) over %xs`";
  let description = [{
    The arguments after `over`, by default all, have the examples along a first axis, and so has every result; the others are
    the same for all examples. Batching is a rule an op (`batch` in its record): no loop is left, unless an op has no better
    way. Parameters are shared.
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyRankedTensor>:$inputs, DenseI64ArrayAttr:$over);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let extraClassDeclaration = [{
    /// Those of a vmap of `callee` over the inputs at the places `over`.
    static ::llvm::FailureOr<::llvm::SmallVector<::mlir::Type>> resultTypes(
        const ::gradus::graph::Signature &callee, ::mlir::ValueRange inputs, ::llvm::ArrayRef<int64_t> over,
        const ::gradus::graph::Report &fail);
  }];
  let extraClassDefinition = nameMethod;
}
def TrainOp : Model_Op<"train", [Symbol, HasParent<"ModelOp">]> {
  let summary = "A training step: `train @fit minimizes @loss using adam(lr = 1.0e-3) reports @accuracy`; `minimizes @loss wrt \"head.*\"` trains the parameters alone whose names match";
  let arguments = (ins SymbolNameAttr:$sym_name, FlatSymbolRefAttr:$loss, OptionalAttr<ArrayAttr>:$wrt, StrAttr:$optimizer, DictionaryAttr:$options, ArrayAttr:$reports);
}

#endif // GRADUS_GRAPH_MODEL
