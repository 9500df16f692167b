//===- Interfaces.td - the questions that stages ask of an op -------------===//
//
// Every method here is written by the record (Graph.td) from the op's fields,
// except `evaluate`, which an op without a formula or a decomposition writes
// in its family's .cpp.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_INTERFACES
#define GRADUS_GRAPH_INTERFACES

include "mlir/IR/OpBase.td"

class Graph_Interface<string name> : OpInterface<name> {
  let cppNamespace = "::gradus::graph";
}

def Differentiable : Graph_Interface<"Differentiable"> {
  let methods = [InterfaceMethod<
    "Builds the cotangent of each operand that is `needed`; null is zero.",
    "::llvm::SmallVector<::mlir::Value>", "buildVJP",
    (ins "::mlir::ImplicitLocOpBuilder &":$builder, "::mlir::ValueRange":$cotangents,
         "const ::llvm::SmallBitVector &":$needed)>];
}

def ForwardDifferentiable : Graph_Interface<"ForwardDifferentiable"> {
  let methods = [InterfaceMethod<
    "Builds the tangent of the result; null is zero.", "::mlir::Value", "buildJVP",
    (ins "::mlir::ImplicitLocOpBuilder &":$builder, "::mlir::ValueRange":$tangents)>];
}

def Formula : Graph_Interface<"Formula"> {
  let methods = [
    InterfaceMethod<"Builds the scalar body in arith and math ops.", "::mlir::Value", "buildScalar",
      (ins "::mlir::ImplicitLocOpBuilder &":$builder, "::mlir::ValueRange":$args)>,
    InterfaceMethod<"The scalar body on doubles.", "double", "evaluateScalar",
      (ins "::llvm::ArrayRef<double>":$args)>];
}

def Composite : Graph_Interface<"Composite"> {
  let methods = [InterfaceMethod<
    "Builds the op in simpler graph ops.", "::llvm::SmallVector<::mlir::Value>", "decompose",
    (ins "::mlir::ImplicitLocOpBuilder &":$builder)>];
}

def Batchable : Graph_Interface<"Batchable"> {
  let methods = [InterfaceMethod<
    "Builds the op for all examples of a `vmap` at once, the examples along a new first axis; null where its parts or a loop must do.",
    "::mlir::Value", "buildBatched",
    (ins "::mlir::ImplicitLocOpBuilder &":$builder, "const ::gradus::graph::Examples &":$examples)>];
}
def Evaluable : Graph_Interface<"Evaluable"> {
  let methods = [InterfaceMethod<
    "The values of the results, in f64.", "::llvm::SmallVector<::gradus::graph::Array>", "evaluate",
    (ins "::llvm::ArrayRef<::gradus::graph::Array>":$inputs)>];
}

/// Of ops with bodies: loops and branches.
def HasBodies : Graph_Interface<"HasBodies"> {
  let methods = [InterfaceMethod<
    "Infers the types in the bodies, each op's by `infer`, and those of the results.",
    "::llvm::LogicalResult", "inferBodies",
    (ins "::llvm::function_ref<::llvm::LogicalResult(::mlir::Operation *)>":$infer)>];
}

def Documented : Graph_Interface<"Documented"> {
  let methods = [
    StaticInterfaceMethod<"Uses of the op in the model language: documentation and tests.",
      "::llvm::ArrayRef<::llvm::StringRef>", "getSamples">,
    StaticInterfaceMethod<"The op's operands and attributes, as the text form has them.",
      "::llvm::ArrayRef<::gradus::graph::ArgSpec>", "getArgSpecs">];
}

#endif // GRADUS_GRAPH_INTERFACES
