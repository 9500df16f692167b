//===- Shape.h - a tensor type taken apart ----------------------*- C++ -*-===//

#ifndef GRADUS_GRAPH_SHAPE_H
#define GRADUS_GRAPH_SHAPE_H

#include "gradus/LLVM.h"
#include "llvm/ADT/DenseMap.h"
#include <optional>

namespace gradus::graph {

using List = ArrayRef<int64_t>;
/// Axes of a reduction; none, like an empty list, means every axis.
using Axes = std::optional<ArrayRef<int64_t>>;

/// One dimension: a size, a name (`batch`), or `?`. One with both is as large
/// as each call says, and at most `size`; there are such after ParamsToArgs.
struct Dim {
  int64_t size = ShapedType::kDynamic;
  StringAttr name = {};

  bool known() const { return !ShapedType::isDynamic(size); }
  /// Stands for any number of axes: `shape...`.
  bool pack() const { return name && name.getValue().ends_with("..."); }
  bool anonymous() const { return !known() && !name; }
  bool operator==(const Dim &o) const {
    return size == o.size && name == o.name;
  }
  bool operator!=(const Dim &o) const { return !(*this == o); }
  std::string str() const;
};

/// An element type and dimensions; written `f32[batch, 784]`.
struct Shape {
  Type element;
  SmallVector<Dim> dims;

  Shape() = default;
  Shape(Type type);
  Shape(Value value) : Shape(value.getType()) {}
  Shape(Type element, ArrayRef<Dim> dims) : element(element), dims(dims) {}

  int64_t rank() const { return dims.size(); }
  Dim &operator[](int64_t i) { return dims[i < 0 ? i + rank() : i]; }
  const Dim &operator[](int64_t i) const {
    return dims[i < 0 ? i + rank() : i];
  }
  bool hasAxis(int64_t axis) const { return axis >= -rank() && axis < rank(); }
  int64_t axis(int64_t a) const { return a < 0 ? a + rank() : a; }
  bool isFloat() const { return isa<FloatType>(element); }
  bool isInteger() const {
    return isa<IntegerType>(element) && !element.isInteger(1);
  }
  bool hasPack() const;
  RankedTensorType type() const;
  std::string str() const;
};

/// Combines two dimensions that must agree; false when they cannot.
bool unify(Dim &a, const Dim &b);

/// What the named dimensions (and packs) of a function stand for in a call.
using DimBindings = llvm::DenseMap<StringAttr, SmallVector<Dim>>;
/// Binds the names of `want` to the dimensions of `have`; a pack takes what
/// the others leave. False when they cannot agree.
bool bindDims(const Shape &want, const Shape &have, DimBindings &bound);
Type substitute(Type type, const DimBindings &bound);

bool isElementType(Type type);
/// For messages.
inline constexpr char elementTypes[] = "f64, f32, f16, bf16, i64, i32, i8, i1";
/// What sums of products of `element` are added up in: f32 for floats of 16
/// bits, i32 for i8, else `element` itself.
Type sumType(Type element);
/// What a product of tensors of `element` is made of: floats of 16 bits round
/// their sums, i8 keeps them.
Type productType(Type element);

/// A size or a named dimension as an attribute: replaced like those of types.
mlir::TypeAttr extentAttr(MLIRContext *ctx, const Dim &d);
Dim extentOf(mlir::Attribute attr);
/// Of an attribute that may be left out.
inline Dim extentOr(std::optional<RankedTensorType> extent, int64_t size) {
  return extent ? Shape(*extent)[0] : Dim{size};
}

/// A size, a name, or `?`.
ParseResult parseDim(AsmParser &p, Dim &d);
ParseResult parseShape(AsmParser &p, Type &type);
void printShape(AsmPrinter &p, Type type);

} // namespace gradus::graph

#endif // GRADUS_GRAPH_SHAPE_H
