//===- LowerToLinalg.cpp - graph ops on tensors -> linalg.generic ---------===//
//
// In: a func.func of primitive graph ops and formulas, all shapes static. Out:
// linalg.generic, linalg.fill, reshapes, insert_slice, and scf.for for
// scatter_add. The walk goes from top to bottom and keeps the graph ops until
// its end, so that a consumer can look through a producer (a transpose, the
// windows of an image) and read what is behind it.
//
//===----------------------------------------------------------------------===//

#include "LinalgBuilder.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h" // the pass's dependent dialect
#include "llvm/ADT/TypeSwitch.h"

namespace gradus {
#define GEN_PASS_DEF_LOWERTOLINALG
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;
namespace arith = mlir::arith;
namespace func = mlir::func;
namespace linalg = mlir::linalg;
namespace tensor = mlir::tensor;

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

namespace {
class Lowering {
public:
  Lowering(ImplicitLocOpBuilder &b, mlir::IRMapping &lowered)
      : linalg(b), b(b), lowered(lowered) {}

  /// The value that stands for the op's result, or null if it has none.
  Value lower(Operation *op) {
    for (auto form : {&LinalgBuilder::byTurns, &LinalgBuilder::product,
                      &LinalgBuilder::random, &LinalgBuilder::lookUp})
      if (Value v = (linalg.*form)(op, lowered))
        return v;
    if (auto formula = dyn_cast<Formula>(op))
      return elementwise(formula);
    return llvm::TypeSwitch<Operation *, Value>(op)
        .Case<ConstantOp>([&](ConstantOp o) -> Value {
          if (tensorType(o).getNumElements() == 0)
            return linalg.empty(tensorType(o));
          return arith::ConstantOp::create(b,
                                           cast<mlir::TypedAttr>(o.getValue()));
        })
        .Case<SizeOp>([&](SizeOp o) { return size(o); })
        .Case<ReshapeOp>([&](ReshapeOp o) {
          return linalg.reshape(in(o.getX()), tensorType(o.getOut()));
        })
        .Case<BroadcastOp, TransposeOp, ReverseOp, WindowsOp>([&](auto o) {
          return linalg.parallel(
              in(o.getX()), sourceMap(o), tensorType(o.getOut()),
              [](ImplicitLocOpBuilder &, ValueRange args) { return args[0]; });
        })
        .Case<ReduceSumOp, ReduceProdOp, ReduceMaxOp, ReduceMinOp>(
            [&](auto o) { return reduce(o); })
        .Case<SliceOp, PadOp, ConcatOp, IotaOp, ArgmaxOp, FoldOp>(
            [&](auto o) { return move(o); })
        .Default(Value());
  }

private:
  Value in(Value v) { return lowered.lookup(v); }

  Value size(SizeOp op) {
    const Dim d = Shape(op.getX())[op.getAxis()];
    RankedTensorType type = tensorType(op.getOut());
    Type e = type.getElementType();
    if (!d.name) {
      Attribute number = isa<FloatType>(e)
                             ? Attribute(b.getFloatAttr(e, double(d.size)))
                             : b.getIntegerAttr(e, d.size);
      return arith::ConstantOp::create(b, DenseElementsAttr::get(type, number));
    }
    Value size = RuntimeSizeOp::create(b, d.name);
    size = arith::IndexCastOp::create(b, isa<FloatType>(e) ? b.getI64Type() : e,
                                      size);
    if (isa<FloatType>(e))
      size = arith::SIToFPOp::create(b, e, size);
    return linalg.parallel(
        {}, {}, type, [&](ImplicitLocOpBuilder &, ValueRange) { return size; });
  }
  AffineExpr dim(unsigned i) { return linalg.dim(i); }

  Value elementwise(Formula op) {
    RankedTensorType type = tensorType(op->getResult(0));
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    for (Value v : op->getOperands()) {
      inputs.push_back(in(v));
      maps.push_back(
          linalg.broadcastMap(tensorType(inputs.back()), type.getShape()));
    }
    // Numbers of 16 bits are computed with in f32 and rounded once.
    return linalg.parallel(
        inputs, maps, type,
        [&](ImplicitLocOpBuilder &inner, ValueRange args) -> Value {
          SmallVector<Value> wide;
          for (Value v : args.drop_back())
            wide.push_back(widened(inner, v, reductionType(v.getType())));
          Value v = op.buildScalar(inner, wide);
          if (v.getType() == type.getElementType())
            return v;
          return arith::TruncFOp::create(inner, type.getElementType(), v);
        });
  }

  //===-- Ops whose result is their operand read through a map ------------===//

  AffineMap sourceMap(BroadcastOp op) {
    return linalg.broadcastMap(tensorType(op.getX()),
                               tensorType(op.getOut()).getShape());
  }
  AffineMap sourceMap(TransposeOp op) {
    int64_t rank = tensorType(op.getOut()).getRank();
    SmallVector<int64_t> perm = llvm::to_vector(llvm::seq<int64_t>(0, rank));
    if (auto given = op.getPerm())
      perm.assign(given->begin(), given->end());
    else
      std::swap(perm[rank - 1], perm[rank - 2]);
    SmallVector<AffineExpr> exprs(rank);
    for (auto [i, a] : llvm::enumerate(perm))
      exprs[a] = dim(i);
    return linalg.map(rank, exprs);
  }
  AffineMap sourceMap(ReverseOp op) {
    Shape s(op.getX());
    SmallVector<AffineExpr> exprs = dims(s.rank());
    for (int64_t a : op.getAxes())
      exprs[s.axis(a)] = dim(s.axis(a)) * -1 + (s[a].size - 1);
    return linalg.map(s.rank(), exprs);
  }
  AffineMap sourceMap(WindowsOp op) {
    return linalg.map(tensorType(op.getOut()).getRank(),
                      windowExprs(op.getWindow(), op.getStride()));
  }
  /// Loops over [image, places, window, channel] as indices of the image.
  SmallVector<AffineExpr> windowExprs(List window, List stride) {
    unsigned n = window.size();
    SmallVector<AffineExpr> exprs{dim(0)};
    for (unsigned i = 0; i < n; ++i)
      exprs.push_back(dim(1 + i) * stepOf(stride, i) + dim(1 + n + i));
    exprs.push_back(dim(1 + 2 * n));
    return exprs;
  }
  SmallVector<AffineExpr> dims(int64_t rank) {
    SmallVector<AffineExpr> all;
    for (int64_t i = 0; i < rank; ++i)
      all.push_back(dim(i));
    return all;
  }

  //===-- Reductions ------------------------------------------------------===//

  static arith::AtomicRMWKind kind(ReduceSumOp, bool isFloat) {
    return isFloat ? arith::AtomicRMWKind::addf : arith::AtomicRMWKind::addi;
  }
  static arith::AtomicRMWKind kind(ReduceProdOp, bool isFloat) {
    return isFloat ? arith::AtomicRMWKind::mulf : arith::AtomicRMWKind::muli;
  }
  static arith::AtomicRMWKind kind(ReduceMaxOp, bool isFloat) {
    return isFloat ? arith::AtomicRMWKind::maximumf
                   : arith::AtomicRMWKind::maxs;
  }
  static arith::AtomicRMWKind kind(ReduceMinOp, bool isFloat) {
    return isFloat ? arith::AtomicRMWKind::minimumf
                   : arith::AtomicRMWKind::mins;
  }

  template <typename Op> Value reduce(Op op) {
    Shape s(op.getX());
    Type element = s.element;
    SmallVector<Iterator> iterators(s.rank(), Iterator::parallel);
    SmallVector<AffineExpr> outExprs;
    SmallVector<int64_t> sizes;
    for (int64_t i = 0; i < s.rank(); ++i) {
      auto axes = op.getAxes();
      if (!axes || axes->empty() ||
          llvm::any_of(*axes, [&](int64_t a) { return s.axis(a) == i; })) {
        iterators[i] = Iterator::reduction;
        if (op.getKeepdims()) {
          // In place rather than by a reshape, which would hide the producer.
          outExprs.push_back(b.getAffineConstantExpr(0));
          sizes.push_back(1);
        }
        continue;
      }
      outExprs.push_back(dim(i));
      sizes.push_back(s[i].size);
    }
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    if (auto windows = op.getX().template getDefiningOp<WindowsOp>()) {
      // Read the image itself. Its size does not tell the window's, nor how
      // many places there are if the result does not: an empty tensor does.
      SmallVector<int64_t> counts;
      SmallVector<AffineExpr> taps;
      auto count = [&](int64_t axis) {
        counts.push_back(s[axis].size);
        taps.push_back(dim(axis));
      };
      int64_t rank = windows.getWindow().size();
      for (int64_t place = 1; place <= rank; ++place)
        if (iterators[place] == Iterator::reduction)
          count(place);
      for (int64_t axis : windowAxes(windows.getWindow()))
        count(axis);
      inputs = {in(windows.getX()),
                linalg.empty(RankedTensorType::get(counts, element))};
      maps = {sourceMap(windows), linalg.map(s.rank(), taps)};
    } else {
      inputs = {in(op.getX())};
      maps = {b.getMultiDimIdentityMap(s.rank())};
    }
    element = reductionType(element);
    auto type = RankedTensorType::get(sizes, element);
    auto how = kind(op, s.isFloat());
    Value init = linalg.filled(
        arith::getIdentityValueAttr(how, element, b, b.getLoc()), type);
    Value out = linalg.generic(
        inputs, maps, init, linalg.map(s.rank(), outExprs), iterators,
        [&](ImplicitLocOpBuilder &inner, ValueRange args) {
          return arith::getReductionOp(how, inner, inner.getLoc(),
                                       widened(inner, args[0], element),
                                       args.back());
        });
    out = linalg.rounded(out, RankedTensorType::get(sizes, s.element));
    return linalg.reshape(out, tensorType(op.getOut()));
  }

  Value move(ArgmaxOp op) {
    Shape s(op.getX());
    int64_t axis = s.axis(op.getAxis());
    SmallVector<Iterator> iterators(s.rank(), Iterator::parallel);
    iterators[axis] = Iterator::reduction;
    SmallVector<AffineExpr> exprs = dims(s.rank());
    exprs.erase(exprs.begin() + axis);
    RankedTensorType type = tensorType(op.getOut());
    Type element = reductionType(s.element);
    auto bestType = RankedTensorType::get(type.getShape(), element);
    auto how = s.isFloat() ? arith::AtomicRMWKind::maximumf
                           : arith::AtomicRMWKind::maxs;
    Value best = linalg.filled(
        arith::getIdentityValueAttr(how, element, b, b.getLoc()), bestType);
    Value place = linalg.zeros(type);
    AffineMap outMap = linalg.map(s.rank(), exprs);
    auto generic = linalg::GenericOp::create(
        b, mlir::TypeRange{bestType, type}, in(op.getX()),
        ValueRange{best, place},
        ArrayRef<AffineMap>{b.getMultiDimIdentityMap(s.rank()), outMap, outMap},
        iterators, [&](OpBuilder &nested, Location loc, ValueRange args) {
          ImplicitLocOpBuilder inner(loc, nested);
          Value x = widened(inner, args[0], element);
          Value index = linalg::IndexOp::create(nested, loc, axis);
          Value i = arith::IndexCastOp::create(nested, loc,
                                               type.getElementType(), index);
          Value better =
              s.isFloat()
                  ? Value(arith::CmpFOp::create(
                        nested, loc, arith::CmpFPredicate::OGT, x, args[1]))
                  : Value(arith::CmpIOp::create(
                        nested, loc, arith::CmpIPredicate::sgt, x, args[1]));
          Value value =
              arith::SelectOp::create(nested, loc, better, x, args[1]);
          Value where =
              arith::SelectOp::create(nested, loc, better, i, args[2]);
          linalg::YieldOp::create(nested, loc, ValueRange{value, where});
        });
    return generic.getResult(1);
  }

  //===-- Moves that are no map -------------------------------------------===//

  /// A copy of the slice: a map that only shortens an axis would be taken for
  /// the whole axis. Kernels read the slice in place.
  Value move(SliceOp op) {
    RankedTensorType type = tensorType(op.getOut());
    Shape s(op.getX());
    SmallVector<int64_t> offsets(s.rank(), 0), steps(s.rank(), 1);
    offsets[s.axis(op.getAxis())] = op.getStart();
    steps[s.axis(op.getAxis())] = op.getStep();
    auto indices = [&](ArrayRef<int64_t> ns) {
      return mlir::getAsIndexOpFoldResult(b.getContext(), ns);
    };
    Value part = tensor::ExtractSliceOp::create(
        b, type, in(op.getX()), indices(offsets), indices(type.getShape()),
        indices(steps));
    return linalg.parallel(
        part, b.getMultiDimIdentityMap(s.rank()), type,
        [](ImplicitLocOpBuilder &, ValueRange args) { return args[0]; });
  }

  Value move(PadOp op) {
    Shape s(op.getX());
    SmallVector<int64_t> low(s.rank(), 0), steps(s.rank(), 1);
    // Of several axes at once, if nobody wants the tensors between.
    llvm::SmallDenseSet<int64_t> axes{s.axis(op.getAxis())};
    PadOp pad = op, inner;
    for (;; pad = inner) {
      int64_t axis = s.axis(pad.getAxis());
      low[axis] = pad.getLow();
      steps[axis] = int64_t(pad.getInterior()) + 1;
      inner = pad.getX().getDefiningOp<PadOp>();
      if (!inner || !inner->hasOneUse() || inner.getValue() != op.getValue() ||
          !axes.insert(s.axis(inner.getAxis())).second)
        break;
    }
    double value = op.getValue().convertToDouble();
    mlir::TypedAttr attr =
        s.isFloat() ? mlir::TypedAttr(b.getFloatAttr(s.element, value))
                    : b.getIntegerAttr(s.element, int64_t(value));
    return linalg.pad(in(pad.getX()), tensorType(op.getOut()), low, steps,
                      attr);
  }

  Value move(ConcatOp op) {
    RankedTensorType type = tensorType(op.getOut());
    int64_t axis = Shape(op.getOut()).axis(op.getAxis());
    Value out = linalg.empty(type);
    SmallVector<int64_t> offsets(type.getRank(), 0), ones(type.getRank(), 1);
    for (Value v : op.getInputs()) {
      auto indices = [&](ArrayRef<int64_t> ns) {
        return mlir::getAsIndexOpFoldResult(b.getContext(), ns);
      };
      ArrayRef<int64_t> sizes = tensorType(v).getShape();
      out = tensor::InsertSliceOp::create(b, in(v), out, indices(offsets),
                                          indices(sizes), indices(ones));
      offsets[axis] += sizes[axis];
    }
    return out;
  }

  Value move(IotaOp op) {
    RankedTensorType type = tensorType(op.getOut());
    int64_t axis = Shape(op.getOut()).axis(op.getAxis());
    return linalg.parallel(
        {}, {}, type, [&](ImplicitLocOpBuilder &inner, ValueRange) -> Value {
          Value index = linalg::IndexOp::create(inner, axis);
          Type e = type.getElementType();
          if (!isa<FloatType>(e))
            return arith::IndexCastOp::create(inner, e, index);
          Value whole =
              arith::IndexCastOp::create(inner, inner.getI64Type(), index);
          return arith::SIToFPOp::create(inner, e, whole);
        });
  }

  Value move(FoldOp op) {
    RankedTensorType type = tensorType(op.getOut());
    int64_t rank = tensorType(op.getG()).getRank();
    if (windowsTile(op))
      return linalg.generic(
          in(op.getG()), b.getMultiDimIdentityMap(rank), linalg.empty(type),
          linalg.map(rank, windowExprs(op.getWindow(), op.getStride())),
          SmallVector<Iterator>(rank, Iterator::parallel),
          [&](ImplicitLocOpBuilder &, ValueRange args) { return args[0]; });
    // Windows overlap: their elements are added one after the other.
    auto sums = sumsOf(type);
    SmallVector<Iterator> iterators(rank, Iterator::reduction);
    iterators.front() = iterators.back() = Iterator::parallel;
    Value out = linalg.generic(
        in(op.getG()), b.getMultiDimIdentityMap(rank), linalg.zeros(sums),
        linalg.map(rank, windowExprs(op.getWindow(), op.getStride())),
        iterators, [&](ImplicitLocOpBuilder &inner, ValueRange args) -> Value {
          return arith::AddFOp::create(
              inner, widened(inner, args[0], sums.getElementType()), args[1]);
        });
    return linalg.rounded(out, type);
  }

  LinalgBuilder linalg;
  ImplicitLocOpBuilder &b;
  mlir::IRMapping &lowered;
};

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

struct LowerToLinalg : impl::LowerToLinalgBase<LowerToLinalg> {
  void runOnOperation() override {
    Block &body = getOperation().getBody().front();
    mlir::IRMapping lowered;
    for (BlockArgument a : body.getArguments())
      lowered.map(a, a);
    ImplicitLocOpBuilder b(getOperation().getLoc(), &getContext());
    Lowering lowering(b, lowered);
    for (Operation &op : llvm::make_early_inc_range(body)) {
      if (!isa<GraphDialect>(op.getDialect()))
        continue;
      b.setInsertionPoint(&op);
      b.setLoc(op.getLoc());
      if (isa<CallForOp, CallWhileOp, CallIfOp, CallBodyOp>(op)) {
        for (mlir::OpOperand &use : op.getOpOperands())
          use.set(lowered.lookup(use.get()));
        lowered.map(op.getResults(), op.getResults());
        dropNames(&op);
        continue;
      }
      Value v = lowering.lower(&op);
      if (!v) {
        mlir::emitError(op.getLoc())
            << op.getName().stripDialect() << " cannot be compiled";
        return signalPassFailure();
      }
      if (RuntimeLengths lengths = lengthsOfType(op.getResult(0).getType());
          !lengths.empty())
        markTensor(v, lengths);
      lowered.map(op.getResult(0), v);
    }
    Operation *ret = body.getTerminator();
    for (mlir::OpOperand &use : ret->getOpOperands())
      use.set(lowered.lookup(use.get()));
    // Those of the graph, and what only tensors by turns were made of.
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
      if (mlir::isOpTriviallyDead(&op))
        op.erase();
    dropNames(getOperation());
    countFlops();
  }

private:
  void countFlops() {
    double flops = 0;
    getOperation().walk([&](linalg::GenericOp op) {
      if (op.getNumDpsInputs() != 2 || op.getNumReductionLoops() == 0)
        return;
      double points = 2;
      for (int64_t n : op.getStaticLoopRanges())
        points *= double(n);
      flops += points;
    });
    getOperation()->setAttr(lowering::flopsAttr,
                            Builder(&getContext()).getF64FloatAttr(flops));
  }
};
} // namespace
