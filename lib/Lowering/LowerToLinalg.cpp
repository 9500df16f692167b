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
#include "gradus/Random.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

namespace gradus {
#define GEN_PASS_DEF_LOWERTOLINALG
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace math = mlir::math;
namespace scf = mlir::scf;
namespace tensor = mlir::tensor;

static RankedTensorType tensorType(Value v) {
  return cast<RankedTensorType>(v.getType());
}

//===----------------------------------------------------------------------===//
// LinalgBuilder
//===----------------------------------------------------------------------===//

Value LinalgBuilder::filled(mlir::TypedAttr number, RankedTensorType type) {
  Value n = arith::ConstantOp::create(b, number);
  return linalg::FillOp::create(b, n, empty(type)).getResult(0);
}

AffineMap LinalgBuilder::broadcastMap(RankedTensorType x,
                                      ArrayRef<int64_t> space) {
  SmallVector<AffineExpr> exprs;
  int64_t first = space.size() - x.getRank();
  for (int64_t i = 0; i < x.getRank(); ++i)
    exprs.push_back(x.getDimSize(i) == 1 && space[first + i] != 1
                        ? b.getAffineConstantExpr(0)
                        : dim(first + i));
  return map(space.size(), exprs);
}

Value LinalgBuilder::generic(ValueRange inputs, ArrayRef<AffineMap> maps,
                             Value init, AffineMap outMap,
                             ArrayRef<Iterator> iterators, Body body) {
  // Which body argument, or which number, stands for each input?
  SmallVector<Value> operands;
  SmallVector<AffineMap> operandMaps;
  SmallVector<mlir::TypedAttr> numbers;
  for (auto [x, m] : llvm::zip(inputs, maps)) {
    DenseElementsAttr constant;
    if (mlir::matchPattern(x, mlir::m_Constant(&constant)) &&
        constant.isSplat()) {
      numbers.push_back(
          cast<mlir::TypedAttr>(constant.getSplatValue<Attribute>()));
      continue;
    }
    numbers.push_back({});
    operands.push_back(x);
    operandMaps.push_back(m);
  }
  operandMaps.push_back(outMap);
  auto op = linalg::GenericOp::create(
      b, tensorType(init), operands, init, operandMaps, iterators,
      [&](OpBuilder &nested, Location loc, ValueRange args) {
        ImplicitLocOpBuilder inner(loc, nested);
        SmallVector<Value> values;
        unsigned next = 0;
        for (mlir::TypedAttr n : numbers)
          values.push_back(n ? Value(arith::ConstantOp::create(inner, n))
                             : args[next++]);
        values.push_back(args.back());
        linalg::YieldOp::create(inner, body(inner, values));
      });
  return op.getResult(0);
}

Value LinalgBuilder::parallel(ValueRange inputs, ArrayRef<AffineMap> maps,
                              RankedTensorType type, Body body) {
  SmallVector<Iterator> iterators(type.getRank(), Iterator::parallel);
  return generic(inputs, maps, empty(type),
                 b.getMultiDimIdentityMap(type.getRank()), iterators, body);
}

Value LinalgBuilder::reshape(Value x, RankedTensorType type) {
  RankedTensorType from = tensorType(x);
  if (from == type)
    return x;
  auto groups = mlir::getReassociationIndicesForReshape(from, type);
  bool collapses = from.getRank() > type.getRank();
  if (groups && from.getRank() != type.getRank())
    return collapses
               ? Value(tensor::CollapseShapeOp::create(b, type, x, *groups))
               : Value(tensor::ExpandShapeOp::create(b, type, x, *groups));
  // By way of one axis.
  auto flat =
      RankedTensorType::get({type.getNumElements()}, type.getElementType());
  auto whole = [](RankedTensorType t) {
    SmallVector<mlir::ReassociationIndices> all;
    if (t.getRank())
      all.push_back(llvm::to_vector(llvm::seq<int64_t>(0, t.getRank())));
    return all;
  };
  if (from.getRank() > 1)
    x = tensor::CollapseShapeOp::create(b, flat, x, whole(from));
  else if (from.getRank() == 0)
    x = tensor::ExpandShapeOp::create(b, flat, x, whole(from));
  if (type.getRank() > 1)
    x = tensor::ExpandShapeOp::create(b, type, x, whole(type));
  else if (type.getRank() == 0)
    x = tensor::CollapseShapeOp::create(b, type, x, whole(type));
  return x;
}

Value LinalgBuilder::pad(Value x, RankedTensorType type, ArrayRef<int64_t> low,
                         ArrayRef<int64_t> steps, mlir::TypedAttr value) {
  auto indices = [&](ArrayRef<int64_t> ns) {
    return mlir::getAsIndexOpFoldResult(b.getContext(), ns);
  };
  return tensor::InsertSliceOp::create(b, x, filled(value, type), indices(low),
                                       indices(tensorType(x).getShape()),
                                       indices(steps));
}

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
    if (Value v = linalg.product(op, lowered))
      return v;
    if (auto formula = dyn_cast<Formula>(op))
      return elementwise(formula);
    return llvm::TypeSwitch<Operation *, Value>(op)
        .Case<ConstantOp>([&](ConstantOp o) {
          return arith::ConstantOp::create(b,
                                           cast<mlir::TypedAttr>(o.getValue()));
        })
        .Case<SizeOp>([&](SizeOp o) {
          SmallVector<mlir::OpFoldResult> size; // every shape is static now
          (void)o->fold(size);
          return arith::ConstantOp::create(
              b, cast<mlir::TypedAttr>(cast<Attribute>(size[0])));
        })
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
        .Case<SliceOp, PadOp, ConcatOp, IotaOp, ArgmaxOp, FoldOp, GatherOp,
              ScatterAddOp>([&](auto o) { return move(o); })
        .Case<UniformOp>([&](UniformOp o) { return random(o, false); })
        .Case<NormalOp>([&](NormalOp o) { return random(o, true); })
        .Default(Value());
  }

private:
  Value in(Value v) { return lowered.lookup(v); }
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
    return linalg.parallel(inputs, maps, type,
                           [&](ImplicitLocOpBuilder &inner, ValueRange args) {
                             return op.buildScalar(inner, args.drop_back());
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
    return linalg.map(6, windowExprs(op.getStride()));
  }
  SmallVector<AffineExpr> windowExprs(List stride) {
    return {dim(0), dim(1) * stride[0] + dim(3), dim(2) * stride[1] + dim(4),
            dim(5)};
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
        continue;
      }
      outExprs.push_back(dim(i));
      sizes.push_back(s[i].size);
    }
    SmallVector<Value> inputs;
    SmallVector<AffineMap> maps;
    if (auto windows = op.getX().template getDefiningOp<WindowsOp>()) {
      // Read the image itself. Its size does not tell the window's: an empty
      // tensor of that shape does.
      inputs = {in(windows.getX()), linalg.empty(RankedTensorType::get(
                                        windows.getWindow(), element))};
      maps = {sourceMap(windows), linalg.map(6, {dim(3), dim(4)})};
    } else {
      inputs = {in(op.getX())};
      maps = {b.getMultiDimIdentityMap(s.rank())};
    }
    auto type = RankedTensorType::get(sizes, element);
    auto how = kind(op, s.isFloat());
    Value init = linalg.filled(
        arith::getIdentityValueAttr(how, element, b, b.getLoc()), type);
    Value out = linalg.generic(
        inputs, maps, init, linalg.map(s.rank(), outExprs), iterators,
        [&](ImplicitLocOpBuilder &inner, ValueRange args) {
          return arith::getReductionOp(how, inner, inner.getLoc(), args[0],
                                       args.back());
        });
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
    auto bestType = RankedTensorType::get(type.getShape(), s.element);
    auto how = s.isFloat() ? arith::AtomicRMWKind::maximumf
                           : arith::AtomicRMWKind::maxs;
    Value best = linalg.filled(
        arith::getIdentityValueAttr(how, s.element, b, b.getLoc()), bestType);
    Value place = linalg.zeros(type);
    AffineMap outMap = linalg.map(s.rank(), exprs);
    auto generic = linalg::GenericOp::create(
        b, mlir::TypeRange{bestType, type}, in(op.getX()),
        ValueRange{best, place},
        ArrayRef<AffineMap>{b.getMultiDimIdentityMap(s.rank()), outMap, outMap},
        iterators, [&](OpBuilder &nested, Location loc, ValueRange args) {
          Value index = linalg::IndexOp::create(nested, loc, axis);
          Value i = arith::IndexCastOp::create(nested, loc,
                                               type.getElementType(), index);
          Value better =
              s.isFloat()
                  ? Value(arith::CmpFOp::create(nested, loc,
                                                arith::CmpFPredicate::OGT,
                                                args[0], args[1]))
                  : Value(arith::CmpIOp::create(nested, loc,
                                                arith::CmpIPredicate::sgt,
                                                args[0], args[1]));
          Value value =
              arith::SelectOp::create(nested, loc, better, args[0], args[1]);
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
    low[s.axis(op.getAxis())] = op.getLow();
    steps[s.axis(op.getAxis())] = int64_t(op.getInterior()) + 1;
    double value = op.getValue().convertToDouble();
    mlir::TypedAttr attr;
    if (s.isFloat())
      attr = b.getFloatAttr(s.element, value);
    else
      attr = b.getIntegerAttr(s.element, int64_t(value));
    return linalg.pad(in(op.getX()), tensorType(op.getOut()), low, steps, attr);
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
    // Windows overlap: their elements are added one after the other.
    RankedTensorType type = tensorType(op.getOut());
    SmallVector<Iterator> iterators(6, Iterator::reduction);
    iterators[0] = iterators[5] = Iterator::parallel;
    return linalg.generic(
        in(op.getG()), b.getMultiDimIdentityMap(6), linalg.zeros(type),
        linalg.map(6, windowExprs(op.getStride())), iterators,
        [](ImplicitLocOpBuilder &inner, ValueRange args) -> Value {
          return arith::AddFOp::create(inner, args[0], args[1]);
        });
  }

  /// An index as an `index`, 0 where it lies outside the axis, and whether it
  /// lies inside.
  static std::pair<Value, Value> checkedIndex(ImplicitLocOpBuilder &b, Value id,
                                              int64_t size) {
    Value index = arith::IndexCastOp::create(b, b.getIndexType(), id);
    Value n = arith::ConstantIndexOp::create(b, size),
          zero = arith::ConstantIndexOp::create(b, 0);
    // As unsigned, a negative index is a large one.
    Value inside =
        arith::CmpIOp::create(b, arith::CmpIPredicate::ult, index, n);
    return {arith::SelectOp::create(b, inside, index, zero), inside};
  }

  Value move(GatherOp op) {
    Value x = in(op.getX()), ids = in(op.getIds());
    RankedTensorType type = tensorType(op.getOut());
    int64_t axis = Shape(op.getX()).axis(op.getAxis()),
            idRank = tensorType(ids).getRank();
    int64_t size = tensorType(x).getDimSize(axis);
    if (size == 0)
      return linalg.zeros(type);
    SmallVector<AffineExpr> exprs;
    for (int64_t i = 0; i < idRank; ++i)
      exprs.push_back(dim(axis + i));
    return linalg.parallel(
        ids, linalg.map(type.getRank(), exprs), type,
        [&](ImplicitLocOpBuilder &inner, ValueRange args) -> Value {
          auto [index, inside] = checkedIndex(inner, args[0], size);
          SmallVector<Value> at;
          for (int64_t i = 0, e = tensorType(x).getRank(); i < e; ++i)
            at.push_back(i == axis
                             ? index
                             : Value(linalg::IndexOp::create(
                                   inner, i < axis ? i : i + idRank - 1)));
          Value v = tensor::ExtractOp::create(inner, x, at);
          Value zero = arith::ConstantOp::create(
              inner, inner.getZeroAttr(type.getElementType()));
          return arith::SelectOp::create(inner, inside, v, zero);
        });
  }

  Value move(ScatterAddOp op) {
    Value g = in(op.getG()), ids = in(op.getIds());
    RankedTensorType type = tensorType(op.getOut()), from = tensorType(g);
    int64_t axis = Shape(op.getOut()).axis(op.getAxis()),
            idRank = tensorType(ids).getRank();
    Value out = linalg.zeros(type);
    if (type.getNumElements() == 0 || from.getNumElements() == 0)
      return out;
    // Loops over the slices, in order: two may go to one place.
    SmallVector<Value> low, high, step, at;
    for (int64_t n : from.getShape()) {
      low.push_back(arith::ConstantIndexOp::create(b, 0));
      high.push_back(arith::ConstantIndexOp::create(b, n));
      step.push_back(arith::ConstantIndexOp::create(b, 1));
    }
    auto body = [&](OpBuilder &nested, Location loc, ValueRange at,
                    ValueRange sums) -> scf::ValueVector {
      ImplicitLocOpBuilder inner(loc, nested);
      Value id = tensor::ExtractOp::create(inner, ids, at.slice(axis, idRank));
      auto [index, inside] = checkedIndex(inner, id, type.getDimSize(axis));
      SmallVector<Value> to(at.take_front(axis));
      to.push_back(index);
      llvm::append_range(to, at.drop_front(axis + idRank));
      Value v = tensor::ExtractOp::create(inner, g, at);
      Value zero = arith::ConstantOp::create(
          inner, inner.getZeroAttr(type.getElementType()));
      Value term = arith::SelectOp::create(inner, inside, v, zero);
      Value old = tensor::ExtractOp::create(inner, sums[0], to);
      Value sum = arith::AddFOp::create(inner, old, term);
      return {tensor::InsertOp::create(inner, sum, sums[0], to)};
    };
    if (from.getRank() == 0)
      return body(b, b.getLoc(), {}, out)[0];
    return scf::buildLoopNest(b, b.getLoc(), low, high, step, out, body)
        .results[0];
  }

  //===-- Random numbers --------------------------------------------------===//

  /// Threefry-2x32 (gradus/Random.h) in 32-bit arithmetic, which vectorises.
  template <typename Op> Value random(Op op, bool normal) {
    RankedTensorType type = tensorType(op.getOut());
    return linalg.parallel(
        in(op.getSeed()), linalg.map(type.getRank(), {}), type,
        [&](ImplicitLocOpBuilder &inner, ValueRange args) {
          auto [x, y] =
              threefry(inner, args[0], op.getStream(), type.getShape());
          return normal ? normalNumber(inner, x, y, type.getElementType())
                        : uniformNumber(inner, x, type.getElementType());
        });
  }

  static std::pair<Value, Value> threefry(ImplicitLocOpBuilder &b, Value seed,
                                          int64_t stream,
                                          ArrayRef<int64_t> shape) {
    Type i32 = b.getI32Type(), i64 = b.getI64Type();
    auto number = [&](uint32_t n) -> Value {
      return arith::ConstantOp::create(
          b, b.getIntegerAttr(i32, llvm::APInt(32, n)));
    };
    auto add = [&](Value p, Value q) -> Value {
      return arith::AddIOp::create(b, p, q);
    };
    auto halves = [&](Value v) -> std::pair<Value, Value> {
      Value shift = arith::ConstantOp::create(b, b.getI64IntegerAttr(32));
      Value upper = arith::ShRUIOp::create(b, v, shift);
      return {arith::TruncIOp::create(b, i32, v),
              arith::TruncIOp::create(b, i32, upper)};
    };
    if (seed.getType() != i64)
      seed = arith::ExtSIOp::create(b, i64, seed);
    auto [k0, upper] = halves(seed);
    Value k1 = add(upper, number(static_cast<uint32_t>(stream)));
    Value mixed = arith::XOrIOp::create(b, k0, k1);
    Value keys[] = {k0, k1,
                    arith::XOrIOp::create(b, mixed, number(random::parity))};
    Value index = arith::ConstantOp::create(b, b.getI64IntegerAttr(0));
    for (auto [axis, size] : llvm::enumerate(shape)) {
      Value n = arith::ConstantOp::create(b, b.getI64IntegerAttr(size));
      Value i =
          arith::IndexCastOp::create(b, i64, linalg::IndexOp::create(b, axis));
      index = add(arith::MulIOp::create(b, index, n), i);
    }
    auto [low, high] = halves(index);
    Value x = add(low, k0), y = add(high, k1);
    for (uint32_t group = 0; group < 5; ++group) {
      for (unsigned i = 0; i < 4; ++i) {
        unsigned r = random::rotations[(group % 2) * 4 + i];
        x = add(x, y);
        Value left = arith::ShLIOp::create(b, y, number(r));
        Value right = arith::ShRUIOp::create(b, y, number(32 - r));
        y = arith::XOrIOp::create(b, arith::OrIOp::create(b, left, right), x);
      }
      x = add(x, keys[(group + 1) % 3]);
      y = add(add(y, keys[(group + 2) % 3]), number(group + 1));
    }
    return {x, y};
  }
  static Value uniformNumber(ImplicitLocOpBuilder &b, Value bits, Type e) {
    Value shift = arith::ConstantOp::create(b, b.getI32IntegerAttr(8));
    Value top = arith::ShRUIOp::create(b, bits, shift);
    // 24 bits: non-negative as signed, and exact in f32.
    Value n = arith::SIToFPOp::create(b, e, top);
    Value unit = arith::ConstantOp::create(b, b.getFloatAttr(e, 0x1p-24));
    return arith::MulFOp::create(b, n, unit);
  }
  static Value normalNumber(ImplicitLocOpBuilder &b, Value x, Value y, Type e) {
    auto number = [&](double n) -> Value {
      return arith::ConstantOp::create(b, b.getFloatAttr(e, n));
    };
    Value u = arith::AddFOp::create(b, uniformNumber(b, x, e), number(0x1p-24));
    Value angle =
        arith::MulFOp::create(b, uniformNumber(b, y, e), number(2 * M_PI));
    Value square =
        arith::MulFOp::create(b, number(-2), math::LogOp::create(b, u));
    Value radius = math::SqrtOp::create(b, square);
    return arith::MulFOp::create(b, radius, math::CosOp::create(b, angle));
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
    SmallVector<Operation *> done;
    for (Operation &op : llvm::make_early_inc_range(body)) {
      if (!isa<GraphDialect>(op.getDialect()))
        continue;
      b.setInsertionPoint(&op);
      b.setLoc(op.getLoc());
      Value v = lowering.lower(&op);
      if (!v) {
        mlir::emitError(op.getLoc())
            << op.getName().stripDialect() << " cannot be compiled";
        return signalPassFailure();
      }
      lowered.map(op.getResult(0), v);
      done.push_back(&op);
    }
    Operation *ret = body.getTerminator();
    for (mlir::OpOperand &use : ret->getOpOperands())
      use.set(lowered.lookup(use.get()));
    for (Operation *op : llvm::reverse(done))
      op->erase();
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
