//===- RuntimeLengths.cpp - loops that run to a size given later ----------===//

#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace tensor = mlir::tensor;
using lowering::lengthsAttr;

Value RuntimeLength::build(OpBuilder &b, Location loc) const {
  Value size = graph::RuntimeSizeOp::create(b, loc, dim);
  if (times == 1)
    return size;
  return arith::MulIOp::create(b, loc, size,
                               arith::ConstantIndexOp::create(b, loc, times));
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

static bool allKnown(ArrayRef<RuntimeLength> lengths) {
  return llvm::none_of(lengths, [](const RuntimeLength &l) { return bool(l); });
}

ArrayAttr gradus::lengthsAttrOf(MLIRContext *ctx,
                                ArrayRef<RuntimeLength> lengths) {
  if (allKnown(lengths))
    return {};
  Builder b(ctx);
  SmallVector<Attribute> all;
  for (const RuntimeLength &l : lengths)
    all.push_back(l ? b.getArrayAttr({l.dim, b.getI64IntegerAttr(l.times)})
                    : b.getArrayAttr({}));
  return b.getArrayAttr(all);
}
static RuntimeLengths parsed(ArrayAttr attr) {
  RuntimeLengths lengths;
  for (Attribute a : attr ? attr.getValue() : ArrayRef<Attribute>()) {
    auto pair = cast<ArrayAttr>(a);
    if (pair.empty())
      lengths.push_back({});
    else
      lengths.push_back(
          {cast<StringAttr>(pair[0]), cast<IntegerAttr>(pair[1]).getInt()});
  }
  return lengths;
}
RuntimeLengths gradus::loopLengths(Operation *op) {
  return parsed(op->getAttrOfType<ArrayAttr>(lengthsAttr));
}
RuntimeLengths gradus::resultLengths(mlir::OpResult result) {
  auto all = result.getOwner()->getAttrOfType<ArrayAttr>(lengthsAttr);
  return all ? parsed(cast<ArrayAttr>(all[result.getResultNumber()]))
             : RuntimeLengths();
}
RuntimeLengths gradus::argumentLengths(BlockArgument arg) {
  auto f = dyn_cast<mlir::func::FuncOp>(arg.getOwner()->getParentOp());
  return f ? parsed(
                 f.getArgAttrOfType<ArrayAttr>(arg.getArgNumber(), lengthsAttr))
           : RuntimeLengths();
}
RuntimeLengths gradus::lengthsOfType(Type type) {
  RuntimeLengths lengths;
  for (const graph::Dim &d : graph::Shape(type).dims)
    lengths.push_back(d.name ? RuntimeLength{d.name, 1} : RuntimeLength());
  return allKnown(lengths) ? RuntimeLengths() : lengths;
}

//===----------------------------------------------------------------------===//
// Analysis
//===----------------------------------------------------------------------===//

/// Group by group, the axes of `apart` that are one axis of `joined`.
static RuntimeLengths collapsed(const RuntimeLengths &apart,
                                ArrayRef<int64_t> sizes,
                                ArrayRef<mlir::ReassociationIndices> groups) {
  RuntimeLengths joined;
  for (ArrayRef<int64_t> axes : groups) {
    // The first that is longer than 1 counts the rows of all behind it.
    RuntimeLength length;
    bool leads = true;
    for (int64_t a : axes) {
      if (leads && apart[a])
        length = apart[a];
      else if (length)
        length.times *= sizes[a];
      leads &= sizes[a] == 1 && !apart[a];
    }
    joined.push_back(length);
  }
  return joined;
}
static RuntimeLengths expanded(const RuntimeLengths &joined,
                               ArrayRef<int64_t> sizes,
                               ArrayRef<mlir::ReassociationIndices> groups) {
  RuntimeLengths apart(sizes.size());
  for (auto [length, axes] : llvm::zip(joined, groups)) {
    if (!length)
      continue;
    const int64_t *first =
        llvm::find_if(axes, [&](int64_t a) { return sizes[a] != 1; });
    if (first == axes.end())
      first = axes.begin();
    int64_t behind = 1;
    for (const int64_t *a = first + 1; a != axes.end(); ++a)
      behind *= sizes[*a];
    if (length.times % behind == 0)
      apart[*first] = {length.dim, length.times / behind};
  }
  return apart;
}

/// The lengths in `a`, and those in `b` that it lacks.
static RuntimeLengths either(RuntimeLengths a, const RuntimeLengths &b) {
  for (auto [x, y] : llvm::zip(a, b))
    if (!x)
      x = y;
  return a;
}

static ArrayRef<int64_t> shapeOf(Value v) {
  return cast<ShapedType>(v.getType()).getShape();
}

RuntimeLengths LengthAnalysis::of(Value tensor) {
  if (auto it = known.find(tensor); it != known.end())
    return it->second;
  RuntimeLengths lengths = find(tensor);
  if (auto shaped = dyn_cast<ShapedType>(tensor.getType()))
    lengths.resize(shaped.getRank());
  return known[tensor] = lengths;
}

RuntimeLengths LengthAnalysis::find(Value v) {
  if (auto arg = dyn_cast<BlockArgument>(v))
    return argumentLengths(arg);
  Operation *def = v.getDefiningOp();
  return llvm::TypeSwitch<Operation *, RuntimeLengths>(def)
      .Case<tensor::EmptyOp>([](tensor::EmptyOp op) { return loopLengths(op); })
      .Case<linalg::LinalgOp>([&](linalg::LinalgOp op) {
        RuntimeLengths loops = ofLoops(op), axes;
        mlir::OpOperand *init =
            op.getDpsInitOperand(cast<mlir::OpResult>(v).getResultNumber());
        for (mlir::AffineExpr e :
             op.getMatchingIndexingMap(init).getResults()) {
          auto d = dyn_cast<mlir::AffineDimExpr>(e);
          axes.push_back(d ? loops[d.getPosition()] : RuntimeLength());
        }
        return axes;
      })
      .Case<tensor::CollapseShapeOp>([&](tensor::CollapseShapeOp op) {
        return collapsed(of(op.getSrc()), shapeOf(op.getSrc()),
                         op.getReassociationIndices());
      })
      .Case<tensor::ExpandShapeOp>([&](tensor::ExpandShapeOp op) {
        return expanded(of(op.getSrc()), shapeOf(op.getResult()),
                        op.getReassociationIndices());
      })
      .Case<tensor::ExtractSliceOp>([&](tensor::ExtractSliceOp op) {
        // Slices along such an axis are refused: the others are whole.
        bool sameRank =
            shapeOf(op.getSource()).size() == shapeOf(op.getResult()).size();
        return sameRank ? of(op.getSource()) : RuntimeLengths();
      })
      .Case<tensor::InsertSliceOp>([&](tensor::InsertSliceOp op) {
        return either(of(op.getDest()), of(op.getSource()));
      })
      .Case<mlir::bufferization::ToTensorOp>(
          [&](mlir::bufferization::ToTensorOp op) {
            return op->hasAttr(lengthsAttr) ? loopLengths(op)
                                            : of(op.getBuffer());
          })
      .Case<graph::CallForOp, graph::CallWhileOp, graph::CallIfOp,
            graph::CallBodyOp>(
          [&](Operation *) { return resultLengths(cast<mlir::OpResult>(v)); })
      .Default(RuntimeLengths());
}

RuntimeLengths LengthAnalysis::ofLoops(linalg::LinalgOp op) {
  RuntimeLengths loops(op.getNumLoops());
  for (mlir::OpOperand &o : op->getOpOperands()) {
    if (!isa<ShapedType>(o.get().getType()))
      continue;
    RuntimeLengths axes = of(o.get());
    for (auto [length, e] :
         llvm::zip(axes, op.getMatchingIndexingMap(&o).getResults()))
      if (auto d = dyn_cast<mlir::AffineDimExpr>(e);
          d && length && !loops[d.getPosition()])
        loops[d.getPosition()] = length;
  }
  return loops;
}

bool LengthAnalysis::any(linalg::LinalgOp op, mlir::utils::IteratorType kind) {
  for (auto [length, k] : llvm::zip(ofLoops(op), op.getIteratorTypesArray()))
    if (length && k == kind)
      return true;
  return false;
}

//===----------------------------------------------------------------------===//
// Marks
//===----------------------------------------------------------------------===//

static Type withoutNames(Type t) {
  auto tensor = cast<RankedTensorType>(t);
  return RankedTensorType::get(tensor.getShape(), tensor.getElementType());
}

void gradus::dropNames(Operation *call) {
  Builder b(call->getContext());
  bool any = false;
  SmallVector<Attribute> all;
  for (mlir::OpResult r : call->getResults()) {
    ArrayAttr one = lengthsAttrOf(b.getContext(), lengthsOfType(r.getType()));
    any |= !!one;
    all.push_back(one ? one : b.getArrayAttr({}));
    r.setType(withoutNames(r.getType()));
  }
  if (any)
    call->setAttr(lengthsAttr, b.getArrayAttr(all));
}

void gradus::dropNames(mlir::func::FuncOp f) {
  MLIRContext *ctx = f.getContext();
  Block &body = f.getBody().front();
  for (BlockArgument a : body.getArguments()) {
    if (ArrayAttr attr = lengthsAttrOf(ctx, lengthsOfType(a.getType())))
      f.setArgAttr(a.getArgNumber(), lengthsAttr, attr);
    a.setType(withoutNames(a.getType()));
  }
  f.setType(FunctionType::get(ctx, body.getArgumentTypes(),
                              body.getTerminator()->getOperandTypes()));
}

void gradus::markTensor(Value v, const RuntimeLengths &lengths) {
  ArrayAttr attr = lengthsAttrOf(v.getContext(), lengths);
  while (attr && v) {
    Operation *def = v.getDefiningOp();
    if (auto empty = dyn_cast_or_null<tensor::EmptyOp>(def)) {
      if (shapeOf(v).size() == lengths.size())
        empty->setAttr(lengthsAttr, attr);
      return;
    }
    auto op = dyn_cast_or_null<mlir::DestinationStyleOpInterface>(def);
    v = op ? op.getDpsInits()[cast<mlir::OpResult>(v).getResultNumber()]
           : Value();
  }
}

void gradus::markLoops(Operation *function) {
  LengthAnalysis lengths;
  function->walk([&](linalg::LinalgOp op) {
    if (ArrayAttr attr = lengthsAttrOf(op->getContext(), lengths.ofLoops(op)))
      op->setAttr(lengthsAttr, attr);
  });
}
