//===- Graph.cpp - the dialect --------------------------------------------===//

#include "Build.h"
#include "mlir/Interfaces/FoldInterfaces.h"
#include "mlir/Transforms/InliningUtils.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace gradus;
using namespace gradus::graph;

#include "dialects/graph/Dialect.cpp.inc"
#include "dialects/graph/Enums.cpp.inc"
#include "dialects/graph/Interfaces.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/graph/Attributes.cpp.inc"

namespace {
struct FoldInterface : mlir::DialectFoldInterface {
  using DialectFoldInterface::DialectFoldInterface;
  /// Constants folded inside a function stay there, though it is not isolated.
  bool shouldMaterializeInto(Region *region) const final {
    return isa<FuncOp>(region->getParentOp());
  }
};

struct InlinerInterface : mlir::DialectInlinerInterface {
  using DialectInlinerInterface::DialectInlinerInterface;
  bool isLegalToInline(Operation *, Operation *, bool) const final {
    return true;
  }
  bool isLegalToInline(Operation *, Region *, bool,
                       mlir::IRMapping &) const final {
    return true;
  }
  bool isLegalToInline(Region *, Region *, bool,
                       mlir::IRMapping &) const final {
    return true;
  }
  void handleTerminator(Operation *op, ValueRange results) const final {
    for (auto [result, v] : llvm::zip(results, op->getOperands()))
      result.replaceAllUsesWith(v);
  }
};
} // namespace

void GraphDialect::registerOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/Elementwise.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/Shape.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/Reduce.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/MatMul.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/Control.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/Convolution.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/Index.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/Normalize.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/Loss.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/Random.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/Model.cpp.inc"
      >();
}

void GraphDialect::initialize() {
  registerOps();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/graph/Attributes.cpp.inc"
      >();
  addInterfaces<FoldInterface, InlinerInterface>();
}

Operation *GraphDialect::materializeConstant(OpBuilder &b, Attribute value,
                                             Type type, Location loc) {
  return ConstantOp::create(b, loc, type, cast<mlir::ElementsAttr>(value));
}

static ParseResult unknownOp(OpAsmParser &p, OperationState &s) {
  StringRef name = s.name.stripDialect();
  SmallVector<StringRef> known;
  for (auto op : p.getContext()->getRegisteredOperationsByDialect("graph"))
    known.push_back(op.stripDialect());
  auto d = error(p, p.getNameLoc()) << "there is no op '" << name << "'";
  if (StringRef n = nearest(name, known); !n.empty())
    d << "; did you mean '" << n << "'?";
  return d;
}
std::optional<mlir::Dialect::ParseOpHook>
GraphDialect::getParseOperationHook(StringRef) const {
  return ParseOpHook(unknownOp);
}

LogicalResult graph::inferAgain(Operation *op) {
  if (auto bodies = dyn_cast<HasBodies>(op))
    return bodies.inferBodies(inferAgain);
  auto inference = dyn_cast<mlir::InferTypeOpInterface>(op);
  if (!inference)
    return success();
  SmallVector<Type> types;
  if (failed(inference.inferReturnTypes(
          op->getContext(), op->getLoc(), op->getOperands(),
          op->getDiscardableAttrDictionary(), op->getPropertiesStorage(),
          op->getRegions(), types)))
    return failure();
  for (auto [v, t] : llvm::zip(op->getResults(), types))
    v.setType(t);
  return success();
}
