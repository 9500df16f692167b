//===- Syntax.h - the text form that every op shares ------------*- C++ -*-===//
//
// One parser and one printer, driven by tables that the records generate
// (`getArgSpecs`). Attributes declared before the operands are positional,
// after them keywords with defaults omitted. Operands need no types: their
// values know them.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_SYNTAX_H
#define GRADUS_GRAPH_SYNTAX_H

#include "Shape.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/TensorEncoding.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/DenseMapInfo.h"

#include "dialects/graph/Enums.h.inc"

namespace gradus::graph {

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

/// A value together with where the text names it.
using LocatedValue = std::pair<Value, Location>;

/// Where a shape rule reports: at an operand in the text while parsing, at the
/// op otherwise; nowhere when the caller only asks.
class Report {
public:
  class Failure {
  public:
    template <typename T> Failure &&operator<<(T &&part) && {
      if (diag)
        *diag << std::forward<T>(part);
      return std::move(*this);
    }
    operator LogicalResult() { return failure(); }
    std::optional<InFlightDiagnostic> diag;
  };

  explicit Report(std::optional<Location> op) : op(op) {}
  Report(Location op, ArrayRef<LocatedValue> operands)
      : op(op), operands(operands) {}
  Failure operator()(Value culprit = {}) const;

private:
  std::optional<Location> op;
  ArrayRef<LocatedValue> operands;
};

/// An error without the prefix that the parser's own emitError gives it.
InFlightDiagnostic error(AsmParser &p, llvm::SMLoc loc,
                         const Twine &message = {});
/// Just past the last token read, where something is missing.
llvm::SMLoc endOfLastToken(AsmParser &p);
/// The candidate nearest to `word`, or an empty string when none is near.
StringRef nearest(StringRef word, ArrayRef<StringRef> candidates);
/// A type in a message: MLIR puts quotes around one that is streamed.
std::string typeName(Type type);
/// The value's name in the text, or an empty string.
StringRef nameOf(Value value);

/// Names of values in scope while a model is parsed, for suggestions only.
extern thread_local SmallVector<std::string> namesInScope;

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

/// One operand or attribute of an op, as the text has it.
struct ArgSpec {
  StringRef name;
  enum Kind { Operand, Optional, Variadic, Attribute } kind;
  bool optional;
  ParseResult (*parse)(AsmParser &, mlir::Attribute &) = nullptr;
  void (*print)(AsmPrinter &, mlir::Attribute) = nullptr;
};

/// The fewest digits that read back as the same number.
std::string shortest(double value);
/// An integer or a float without a type: parseAttribute would take the
/// `: f32` of the result type that follows.
ParseResult parseNumber(AsmParser &p, mlir::Attribute &attr);
/// `(name = number, ...)`, or nothing.
ParseResult parseOptions(AsmParser &p,
                         SmallVectorImpl<NamedAttribute> &options);
void printNumber(AsmPrinter &p, mlir::Attribute attr);
void printOptions(AsmPrinter &p, DictionaryAttr options);
ParseResult parseShapeAttr(AsmParser &p, mlir::Attribute &attr);
/// What a call gives by name: a number, or a dimension of the function that
/// calls.
ParseResult parseOption(AsmParser &p, mlir::Attribute &attr);
void printOption(AsmPrinter &p, mlir::Attribute attr);
/// A size, or a dimension's name.
ParseResult parseExtentAttr(AsmParser &p, mlir::Attribute &attr);
void printExtent(AsmPrinter &p, mlir::Attribute attr);
ParseResult parseElementAttr(AsmParser &p, mlir::Attribute &attr);
ParseResult parseIntegers(AsmParser &p, mlir::Attribute &attr);

template <typename A>
concept EnumAttribute = requires(A a) { a.getValue(); } &&
                        std::is_enum_v<decltype(std::declval<A>().getValue())>;

template <typename A>
ParseResult parseValue(AsmParser &p, mlir::Attribute &attr) {
  Builder b = p.getBuilder();
  if constexpr (std::is_same_v<A, IntegerAttr>) {
    int64_t v;
    if (p.parseInteger(v))
      return failure();
    attr = b.getI64IntegerAttr(v);
  } else if constexpr (std::is_same_v<A, FloatAttr>) {
    if (parseNumber(p, attr))
      return failure();
    if (auto i = dyn_cast<IntegerAttr>(attr))
      attr = b.getF64FloatAttr(i.getInt());
  } else if constexpr (std::is_same_v<A, UnitAttr>) {
    attr = b.getUnitAttr();
  } else if constexpr (std::is_same_v<A, DenseI64ArrayAttr>) {
    return parseIntegers(p, attr);
  } else if constexpr (EnumAttribute<A>) {
    using Enum = decltype(std::declval<A>().getValue());
    auto loc = p.getCurrentLocation();
    StringRef word;
    (void)p.parseOptionalKeyword(&word);
    if (auto v = symbolizeEnum<Enum>(word)) {
      attr = A::get(p.getContext(), *v);
      return success();
    }
    auto d = error(p, loc) << "expected one of: ";
    for (int i = 0; !stringifyEnum(static_cast<Enum>(i)).empty(); ++i)
      d << (i ? ", " : "") << stringifyEnum(static_cast<Enum>(i));
    return d;
  } else {
    A a;
    if (p.parseAttribute(a))
      return failure();
    attr = a;
  }
  return success();
}

template <typename A> void printValue(AsmPrinter &p, mlir::Attribute attr) {
  if constexpr (std::is_same_v<A, IntegerAttr>)
    p << cast<IntegerAttr>(attr).getInt();
  else if constexpr (std::is_same_v<A, FloatAttr>)
    p << shortest(cast<FloatAttr>(attr).getValueAsDouble());
  else if constexpr (std::is_same_v<A, TypeAttr>)
    printShape(p, cast<TypeAttr>(attr).getValue());
  else if constexpr (std::is_same_v<A, DenseI64ArrayAttr>) {
    p << "[";
    llvm::interleaveComma(cast<DenseI64ArrayAttr>(attr).asArrayRef(), p);
    p << "]";
  } else if constexpr (EnumAttribute<A>)
    p << stringifyEnum(cast<A>(attr).getValue());
  else
    p.printAttributeWithoutType(attr);
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

/// What the text of one op said, before its result types are known.
struct ParsedArguments {
  SmallVector<LocatedValue> operands;
  SmallVector<int32_t> segments;
  NamedAttrList attributes;
};

ParseResult parseArguments(OpAsmParser &p, OperationState &s,
                           ArrayRef<ArgSpec> specs, ParsedArguments &out);
/// The author's trailing type, optional and checked against `inferred`.
ParseResult parseResultTypes(OpAsmParser &p, OperationState &s,
                             ArrayRef<Type> inferred);
void printArguments(OpAsmPrinter &p, Operation *op, ArrayRef<ArgSpec> specs,
                    function_ref<unsigned(unsigned)> segmentSize,
                    function_ref<mlir::Attribute(StringRef)> value,
                    function_ref<mlir::Attribute(StringRef)> defaultValue);
void printResultTypes(OpAsmPrinter &p, mlir::TypeRange types);
/// Keeps the author's names for results, as the op's location.
void recordNames(OpAsmParser &p, OperationState &s);
void nameResults(Operation *op, mlir::OpAsmSetValueNameFn set);
/// Gives a value of an op with or without other results a name.
void rename(mlir::OpResult value, StringRef name);
/// Block arguments are printed under the names that their locations give.
void nameArguments(Block::BlockArgListType args, mlir::OpAsmSetValueNameFn set);
/// The value an operand names, whatever its type; an error if there is none.
FailureOr<Value> resolve(OpAsmParser &p,
                         const OpAsmParser::UnresolvedOperand &operand);
/// `%a, %b`, resolved, with where each stands.
ParseResult parseValues(OpAsmParser &p, SmallVectorImpl<LocatedValue> &values);

template <typename Op>
ParseResult parseGraphOp(OpAsmParser &p, OperationState &s) {
  ParsedArguments parsed;
  if (parseArguments(p, s, Op::getArgSpecs(), parsed))
    return failure();
  using Properties = typename Op::Properties;
  mlir::OpaqueProperties raw = nullptr;
  if constexpr (!std::is_same_v<Properties, mlir::EmptyProperties>) {
    auto &properties = s.getOrAddProperties<Properties>();
    s.name.populateDefaultProperties(&properties);
    for (NamedAttribute a : parsed.attributes)
      Op::setInherentAttr(properties, a.getName(), a.getValue());
    if constexpr (Op::template hasTrait<
                      mlir::OpTrait::AttrSizedOperandSegments>())
      llvm::copy(parsed.segments, properties.operandSegmentSizes.begin());
    raw = s.getRawProperties();
  }
  SmallVector<Type> types;
  typename Op::Adaptor adaptor(s.operands,
                               s.attributes.getDictionary(p.getContext()), raw);
  if (failed(Op::infer(adaptor, Report(s.location, parsed.operands), types)))
    return failure();
  return parseResultTypes(p, s, types);
}

template <typename Op> void printGraphOp(Op op, OpAsmPrinter &p) {
  typename Op::Properties defaults{};
  op->getName().populateDefaultProperties(&defaults);
  MLIRContext *ctx = op->getContext();
  printArguments(
      p, op, Op::getArgSpecs(),
      [&](unsigned i) { return op.getODSOperandIndexAndLength(i).second; },
      [&](StringRef name) {
        return Op::getInherentAttr(ctx, op.getProperties(), name)
            .value_or(mlir::Attribute());
      },
      [&](StringRef name) {
        return Op::getInherentAttr(ctx, defaults, name)
            .value_or(mlir::Attribute());
      });
}

} // namespace gradus::graph

#endif // GRADUS_GRAPH_SYNTAX_H
