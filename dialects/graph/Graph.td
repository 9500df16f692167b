//===- Graph.td - the dialect, its attributes, the record of an op --------===//
//
// An op is one record (`Graph_Op`) of seven optional fields and two traits; its
// parser, printer, documentation and interfaces follow from them. The fields
// are C++ expressions over the operands and attributes *by name*:
//
//   field       | a name stands for            | absent
//   ------------|------------------------------|------------------------------
//   infer       | a shape (Infer.h)            | `infer` is in the family's .cpp
//   formula     | a tensor, an IR scalar and a double in turn (Build.h, Scalar.h)
//   derivative  | a tensor; one an operand     | from the formula's parts
//   decompose   | a tensor                     | the op is primitive
//   vjp         | a tensor, `ct` the cotangent | from the decomposition
//   batch       | a Mapped (Batch.h)           | formula, trait, parts, or a loop
//   samples     | uses of the op: its documentation and its tests
//
// An expression that contains a `;` is taken as statements that return.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH
#define GRADUS_GRAPH

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/TensorEncoding.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "Interfaces.td"

def GraphDialect : Dialect {
  let name = "graph";
  let cppNamespace = "::gradus::graph";
  let summary = "Models: tensors, parameters, functions, gradients.";
  let useDefaultAttributePrinterParser = 1;
  let hasConstantMaterializer = 1;
  let extraClassDeclaration = [{
    std::optional<ParseOpHook> getParseOperationHook(::llvm::StringRef name) const override;
    /// The standard library's model, parsed on first use.
    ::gradus::graph::ModelOp getLibrary();

  private:
    void registerOps();
    ::mlir::OwningOpRef<::mlir::Operation *> library;
    bool readingLibrary = false;

  public:
  }];
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

def DimsAttr : AttrDef<GraphDialect, "Dims", [DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "The names of a tensor's symbolic dimensions, an empty one where there is none. A dimension with a name and a size is at most that large (after ParamsToArgs).";
  let mnemonic = "dims";
  let parameters = (ins ArrayRefParameter<"::mlir::StringAttr">:$names);
  let hasCustomAssemblyFormat = 1;
}

class Graph_Enum<string name, list<I32EnumAttrCase> cases> : I32EnumAttr<name, "", cases> {
  let cppNamespace = "::gradus::graph";
  let genSpecializedAttr = 0;
}
def Padding : Graph_Enum<"Padding", [I32EnumAttrCase<"same", 0>, I32EnumAttrCase<"valid", 1>]>;
def PaddingAttr : EnumAttr<GraphDialect, Padding, "padding"> { let assemblyFormat = "$value"; }
def Comparison : Graph_Enum<"Comparison", [
  I32EnumAttrCase<"eq", 0>, I32EnumAttrCase<"ne", 1>, I32EnumAttrCase<"lt", 2>,
  I32EnumAttrCase<"le", 3>, I32EnumAttrCase<"gt", 4>, I32EnumAttrCase<"ge", 5>]>;
def ComparisonAttr : EnumAttr<GraphDialect, Comparison, "comparison"> { let assemblyFormat = "$value"; }

def ShapeOf : TypeAttrBase<"::mlir::RankedTensorType", "shape">;
/// A number, or the dimension that has it: `groups = channels`.
defvar extentSummary = "number or dimension";
def ExtentOf : TypeAttrBase<"::mlir::RankedTensorType", extentSummary>;
def ElementOf : TypeAttrBase<"::mlir::Type", "element type">;
def OptionalElementOf : OptionalAttr<ElementOf>;
def Tensor : RankedTensorOf<[AnyType], [], "tensor">;
defvar Axes = OptionalAttr<DenseI64ArrayAttr>;

//===----------------------------------------------------------------------===//
// Traits: forward mode and vmap for free
//===----------------------------------------------------------------------===//

/// Linear in all its float operands together: jvp(x, t) = op(t).
def Linear : NativeOpTrait<"Linear"> { let cppNamespace = "::gradus::graph"; }
/// Linear in each float operand: jvp = sum over i of op(.., t_i, ..).
def Multilinear : NativeOpTrait<"Multilinear"> { let cppNamespace = "::gradus::graph"; }
/// Under vmap it is the same op with its axes moved by one.
def Batchwise : NativeOpTrait<"Batchwise"> { let cppNamespace = "::gradus::graph"; }
/// Its gradient is zero by decree, not by calculus.
def BlocksGradient : NativeOpTrait<"BlocksGradient"> { let cppNamespace = "::gradus::graph"; }

//===----------------------------------------------------------------------===//
// The record
//===----------------------------------------------------------------------===//

/// One entry of `arguments` or `results`, as the generated C++ binds it.
class Entry<dag entries, int i> {
  string name = !getdagname(entries, i);
  Constraint kind = !getdagarg<Constraint>(entries, i);
  Attr attribute = !getdagarg<Attr>(entries, i);
  bit attr = !isa<Attr>(kind);
  bit variadic = !isa<Variadic>(kind);
  bit optional = !isa<Optional>(kind);
  bit isExtent = !if(attr, !eq(attribute.summary, extentSummary), false);
  string get = "get" # !toupper(!substr(name, 0, 1)) # !substr(name, 1) # "()";
  string parser = !cond(!not(attr) : "", !eq(!cast<string>(kind), "ShapeOf") : "parseShapeAttr", isExtent : "parseExtentAttr",
      !or(!eq(!cast<string>(kind), "ElementOf"), !eq(!cast<string>(kind), "OptionalElementOf")) : "parseElementAttr", true : "parseValue<" # attribute.storageType # ">");
  string spec = "{\"" # name # "\", " # !if(attr,
      "ArgSpec::Attribute, " # !or(attribute.isOptional, !initialized(attribute.defaultValue))
        # ", &" # parser # ", &" # !if(isExtent, "printExtent", "printValue<" # attribute.storageType # ">"),
      !if(variadic, "ArgSpec::Variadic, true", !if(optional, "ArgSpec::Optional, true", "ArgSpec::Operand, false"))) # "}";
  // The leading [[maybe_unused]] is because not every expression reads every name.
  string bindShape = "[[maybe_unused]] " # !if(attr, "auto " # name # " = plain(op." # get # ");",
      !if(variadic, "ArgsOf " # name # "(op." # get # ");", "Arg " # name # "(op." # get # ");")) # "\n  ";
  string bindMapped = "[[maybe_unused]] " # !if(attr, "auto " # name # " = plain(" # get # ");",
      "Mapped" # !if(variadic, "s ", " ") # name # "(&builder_, " # get # ", examples_);") # "\n  ";
  string bindTensor = "[[maybe_unused]] " # !if(attr, "auto " # name # " = plain(" # get # ");",
      !if(variadic, "Vs " # name # "(&builder_, " # get # ");", "V " # name # "(&builder_, " # get # ");")) # "\n  ";
}

/// An expression, or statements that return one.
class Body<string s> { string cpp = !if(!eq(!find(s, ";"), -1), "return " # s # ";", s); }
class Joined<list<string> s> { string all = !interleave(s, ""); }

class Graph_Op<string mnemonic, list<Trait> extra = []> : Op<GraphDialect, mnemonic> {
  string infer = "";
  string formula = "";
  list<string> derivative = [];
  string decompose = "";
  list<string> vjp = [];
  string batch = "";
  list<string> samples = [];

  let results = (outs Tensor:$out);
  let hasCustomAssemblyFormat = 1;
  let description = !interleave(
      !if(!empty(samples), []<string>, ["```mlir\n" # !interleave(samples, "\n") # "\n```"])
    # !if(!empty(formula), []<string>, ["Formula: `" # formula # "`"])
    # !if(!empty(decompose), []<string>, ["Means: `" # decompose # "`"])
    # !if(!empty(derivative), []<string>, ["Derivative by operand: `" # !interleave(derivative, "`, `") # "`"])
    # !if(!empty(vjp), []<string>, ["Gradient by operand, `ct` the cotangent of the result: `" # !interleave(vjp, "`, `") # "`"])
    # !if(!and(!empty(vjp), !empty(derivative)), ["Gradient: that of its parts."], []<string>)
    # !if(!empty(batch), []<string>, ["Under `vmap`: `" # batch # "`"]), "\n\n");

  list<Entry> args = !foreach(i, !range(!size(arguments)), Entry<arguments, i>);
  list<Entry> operands = !filter(a, args, !not(a.attr));
  list<Entry> rets = !foreach(i, !range(!size(results)), Entry<results, i>);
  assert !or(!empty(vjp), !eq(!size(vjp), !size(operands))), mnemonic # ": one vjp for each operand";
  assert !or(!empty(derivative), !eq(!size(derivative), !size(operands))), mnemonic # ": one derivative for each operand";
  /// Has parts to be differentiated by: a formula with a derivative is a leaf.
  bit composite = !or(!not(!empty(decompose)), !and(!not(!empty(formula)), !empty(derivative), !empty(vjp)));

  let traits = [Pure, InferTypeOpAdaptor, DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>,
                DeclareOpInterfaceMethods<Documented>]
    # extra
    # !if(!empty(formula), []<Trait>, [DeclareOpInterfaceMethods<Formula>])
    # !if(composite, [DeclareOpInterfaceMethods<Composite>], []<Trait>)
    # !if(!and(!empty(vjp), !empty(derivative)), []<Trait>, [DeclareOpInterfaceMethods<Differentiable>])
    # !if(!empty(derivative), []<Trait>, [DeclareOpInterfaceMethods<ForwardDifferentiable>])
    # !if(!empty(batch), []<Trait>, [DeclareOpInterfaceMethods<Batchable>])
    # !if(!or(composite, !not(!empty(formula))), []<Trait>, [DeclareOpInterfaceMethods<Evaluable>]);

  string methods = "";
  let extraClassDeclaration = [{
    static ::llvm::LogicalResult infer(Adaptor op, ::gradus::graph::Report fail, ::llvm::SmallVectorImpl<::mlir::Type> &types);
  }] # methods;

  string bind = Joined<!foreach(a, args, a.bindTensor)>.all # Joined<!foreach(a, rets, a.bindTensor)>.all;

  string syntaxMethods = [{
::llvm::ArrayRef<::gradus::graph::ArgSpec> $cppClass::getArgSpecs() {
  using namespace ::gradus::graph;
  static const ArgSpec specs[] = {}] # !interleave(!foreach(a, args, a.spec), ", ") # [{};
  return specs;
}
::llvm::LogicalResult $cppClass::inferReturnTypes(::mlir::MLIRContext *, std::optional<::mlir::Location> loc, Adaptor op, ::llvm::SmallVectorImpl<::mlir::Type> &types) {
  return infer(op, ::gradus::graph::Report(loc), types);
}
::mlir::ParseResult $cppClass::parse(::mlir::OpAsmParser &p, ::mlir::OperationState &s) { return ::gradus::graph::parseGraphOp<$cppClass>(p, s); }
void $cppClass::print(::mlir::OpAsmPrinter &p) { ::gradus::graph::printGraphOp<$cppClass>(*this, p); }
void $cppClass::getAsmResultNames(::mlir::OpAsmSetValueNameFn set) { ::gradus::graph::nameResults(*this, set); }
::llvm::ArrayRef<::llvm::StringRef> $cppClass::getSamples() {
  static const ::llvm::StringRef samples[] = {}]
    # !if(!empty(samples), "\"\"", !interleave(!foreach(s, samples, "R\"sample(" # s # ")sample\""), ", ")) # [{};
  return ::llvm::ArrayRef(samples).take_front(}] # !size(samples) # [{);
}
}];

  string inferMethod = !if(!empty(infer), "", [{
::llvm::LogicalResult $cppClass::infer(Adaptor op, ::gradus::graph::Report fail, ::llvm::SmallVectorImpl<::mlir::Type> &types) {
  using namespace ::gradus::graph;
  [[maybe_unused]] Infer in{fail};
  }] # Joined<!foreach(a, args, a.bindShape)>.all # [{
  return Shapes([&]() -> Shapes { }] # Body<infer>.cpp # [{ }()).into(types);
}
}]);

  // A derivative is a vjp: the cotangent times it, summed to the operand's shape.
  list<string> reverse = !if(!empty(derivative), vjp,
      !foreach(i, !range(!size(derivative)), "like(" # operands[i].name # ", ct * (" # derivative[i] # "))"));
  string vjpMethod = !if(!empty(reverse), "", [{
::llvm::SmallVector<::mlir::Value> $cppClass::buildVJP(::mlir::ImplicitLocOpBuilder &builder_, ::mlir::ValueRange cts_, const ::llvm::SmallBitVector &needed_) {
  using namespace ::gradus::graph;
  ::llvm::SmallVector<::mlir::Value> grads_(getOperation()->getNumOperands());
  [[maybe_unused]] unsigned operand_ = 0, result_ = 0;
  }] # bind
  # Joined<!foreach(o, rets, !if(o.variadic,
      "Vs ct_" # o.name # " = cotangents(&builder_, cts_.slice(result_, " # o.name # ".size()), " # o.name # "); result_ += " # o.name # ".size();\n  ",
      "[[maybe_unused]] V ct_" # o.name # "(&builder_, cts_[result_++]);\n  "))>.all
  # !if(!eq(!size(rets), 1), "[[maybe_unused]] auto &ct = ct_" # rets[0].name # ";\n  ", "")
  # Joined<!foreach(i, !range(!size(reverse)), !if(operands[i].variadic,
      "for (unsigned i = 0; i < " # operands[i].name # ".size(); ++i, ++operand_) if (needed_[operand_]) { grads_[operand_] = ([&]() -> V { " # Body<reverse[i]>.cpp # " }()).value(); }\n  ",
      "if (" # !if(operands[i].optional, operands[i].name, "true") # ") { if (needed_[operand_]) { grads_[operand_] = ([&]() -> V { " # Body<reverse[i]>.cpp # " }()).value(); } ++operand_; }\n  "))>.all # [{
  return grads_;
}
}]);

  string jvpMethod = !if(!empty(derivative), "", [{
::mlir::Value $cppClass::buildJVP(::mlir::ImplicitLocOpBuilder &builder_, ::mlir::ValueRange tangents_) {
  using namespace ::gradus::graph;
  }] # bind # "V sum_ = 0.0;\n  "
  # Joined<!foreach(i, !range(!size(derivative)), "if (tangents_[" # i # "]) sum_ = sum_ + V(&builder_, tangents_[" # i # "]) * (" # derivative[i] # ");\n  ")>.all # [{
  return sum_ ? broadcast(sum_, shape(out)).value() : ::mlir::Value();
}
}]);

  string formulaMethods = !if(!empty(formula), "", [{
::mlir::Value $cppClass::buildScalar(::mlir::ImplicitLocOpBuilder &builder_, ::mlir::ValueRange args_) {
  using namespace ::gradus::graph;
  }] # Joined<!foreach(i, !range(!size(args)), !if(args[i].attr, args[i].bindTensor, ""))>.all
     # Joined<!foreach(i, !range(!size(operands)), "S " # operands[i].name # "(&builder_, args_[" # i # "]);\n  ")>.all # [{
  return S(}] # formula # [{).value();
}
double $cppClass::evaluateScalar(::llvm::ArrayRef<double> args_) {
  using namespace ::gradus::graph;
  using namespace ::gradus::graph::real;
  }] # Joined<!foreach(i, !range(!size(args)), !if(args[i].attr, args[i].bindTensor, ""))>.all
     # Joined<!foreach(i, !range(!size(operands)), "double " # operands[i].name # " = args_[" # i # "];\n  ")>.all # [{
  return }] # formula # [{;
}
}]);

  string decomposeMethod = !if(composite, [{
::llvm::SmallVector<::mlir::Value> $cppClass::decompose(::mlir::ImplicitLocOpBuilder &builder_) {
  using namespace ::gradus::graph;
  }] # bind # [{
  return Vs([&]() -> Vs { }] # Body<!if(!empty(decompose), formula, decompose)>.cpp # [{ }()).values();
}
}], "");

  string batchMethod = !if(!empty(batch), "", [{
::mlir::Value $cppClass::buildBatched(::mlir::ImplicitLocOpBuilder &builder_, const ::gradus::graph::Examples &examples_) {
  using namespace ::gradus::graph;
  [[maybe_unused]] auto &examples = examples_;
  }] # Joined<!foreach(a, args, a.bindMapped)>.all # [{
  return V([&]() -> V { }] # Body<batch>.cpp # [{ }()).value();
}
}]);
  let extraClassDefinition = batchMethod # syntaxMethods # inferMethod # vjpMethod # jvpMethod # formulaMethods # decomposeMethod;
}

#endif // GRADUS_GRAPH
