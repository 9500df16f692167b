//===- HoistProducts.cpp - products of a loop's steps as one for all ------===//
//
// In: functions of primitive ops. Out: `for` loops without the products that no
// later step waits for. A step of a recurrent network multiplies few rows with
// a large matrix, once for each of its inputs, and adds to the gradient of each
// matrix as large a product; that is the speed of memory. One product over the
// rows of all steps runs at the speed of the processor.
//
//   before the loop   a slice's rows times a matrix from outside: the loop
//                     walks the product
//   behind it         what is only kept from each step: the loop keeps the
//                     product's rows instead
//   behind it         what is only added up from step to step, of a slice or
//                     of something computed, turned, with another: the loop
//                     keeps both, or walks them anyway
//
// The loop may keep some times the bytes more that it walks and keeps already.
// What is turned or reshaped of a matrix from outside is so once, before the
// loop.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/Build.h"
#include "gradus/Expand.h"
#include "gradus/Graph.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/MapVector.h"

namespace gradus {
#define GEN_PASS_DEF_HOISTPRODUCTS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
using namespace gradus::graph;

/// A product of as many rows runs at full speed by itself.
static constexpr int64_t manyRows = 256;
/// Bytes that a loop may keep for this, by those that it walks and keeps.
static constexpr int64_t mostMore = 8;

static bool isOutside(Value v, ForOp loop) {
  return !loop.getBody().isAncestor(v.getParentRegion());
}
static bool isKnown(Value v) {
  return llvm::all_of(Shape(v).dims, [](const Dim &d) { return d.known(); });
}
static V withSteps(const V &all, const Shape &one) {
  Shape to = one;
  to.dims.insert(to.dims.begin(), all.shape()[0]);
  return reshape(all, to);
}
/// [steps, rows, columns] as [steps * rows, columns].
static V allRows(const V &all) {
  Shape s = all.shape(), to = s;
  to.dims.erase(to.dims.begin());
  to[0] = Dim{s[0].size * s[1].size};
  return reshape(all, to);
}

/// Takes what is turned or reshaped of a value from outside out of the loop.
static void hoistViews(ForOp loop) {
  for (Operation &op :
       llvm::make_early_inc_range(loop.getBody().front().without_terminator()))
    if (isa<TransposeOp, ReshapeOp>(op) && isOutside(op.getOperand(0), loop))
      op.moveBefore(loop);
}

namespace {
class LoopProducts {
public:
  explicit LoopProducts(ForOp loop) : loop(loop), yield(loop.getYield()) {
    if (loop.getAxis() != 0 || !loop.getSteps().known() ||
        loop.getSteps().size < 2)
      return;
    for (auto product : loop.getBody().front().getOps<MatMulOp>())
      if (isPlain(product))
        choose(product);
    for (auto sum : loop.getBody().front().getOps<ReduceSumOp>())
      if (isKnown(sum.getX()) && isKept(sum.getX()))
        if (auto carry = carryThatAddsUp(sum.getOut()))
          sums[*carry] = sum;
  }

  bool isWorthIt() {
    int64_t walked = 0, more = 0;
    for (Value v : loop.getSources())
      walked += lowering::byteCount(v);
    for (Value v : loop.getStacks())
      walked += lowering::byteCount(v);
    for (MatMulOp product : before)
      more += bytesOfSteps(product.getOut());
    for (Value v : kept)
      more += bytesOfSteps(v);
    for (auto [stack, product] : behind)
      more -= bytesOfSteps(product.getOut());
    bool any = !before.empty() || !behind.empty() || !sums.empty();
    return any && more <= mostMore * walked;
  }

  void hoist() {
    ImplicitLocOpBuilder b(loop.getLoc(), loop);
    SmallVector<Value> sources(loop.getSources());
    for (MatMulOp product : before) {
      b.setLoc(product.getLoc());
      sources.push_back(withSteps(matmul2d(V(&b, allOf(product.getLhs())),
                                           V(&b, product.getRhs())),
                                  Shape(product.getOut()))
                            .value());
    }
    b.setLoc(withoutName(loop.getLoc()));
    ForOp made = makeLoop(b, sources);
    replace(b, made);
    loop.erase();
  }

private:
  static bool isPlain(MatMulOp product) {
    return !product.getTo() && isKnown(product.getLhs()) &&
           isKnown(product.getRhs()) && Shape(product.getLhs()).rank() == 2 &&
           Shape(product.getRhs()).rank() == 2;
  }
  int64_t bytesOfSteps(Value v) {
    return lowering::byteCount(v) * loop.getSteps().size;
  }
  bool isSlice(Value v) { return llvm::is_contained(loop.getSlices(), v); }
  bool isKept(Value v) {
    return isSlice(v) || kept.contains(v) ||
           llvm::is_contained(yield.getStacked(), v);
  }

  void choose(MatMulOp product) {
    Value lhs = product.getLhs(), rhs = product.getRhs();
    auto turned = lhs.getDefiningOp<TransposeOp>();
    if (turned && !isOutside(lhs, loop)) {
      auto carry = carryThatAddsUp(product.getOut());
      // Rows of this product's sum, of one step.
      if (!carry || isOutside(turned.getX(), loop) || isOutside(rhs, loop) ||
          Shape(rhs)[0].size >= manyRows)
        return;
      keep(turned.getX());
      keep(rhs);
      sums[*carry] = product;
      return;
    }
    if (!isOutside(rhs, loop) || isOutside(lhs, loop) ||
        Shape(lhs)[0].size >= manyRows)
      return;
    if (auto stack = onlyStack(product.getOut())) {
      keep(lhs);
      behind[*stack] = product;
    } else if (isSlice(lhs)) {
      before.push_back(product);
    }
  }
  void keep(Value v) {
    if (!isKept(v))
      kept.insert(v);
  }
  /// The stack that the value goes to, if it goes nowhere else.
  std::optional<unsigned> onlyStack(Value v) {
    if (!v.hasOneUse() || *v.user_begin() != yield)
      return std::nullopt;
    auto at = llvm::find(yield.getStacked(), v);
    if (at == yield.getStacked().end())
      return std::nullopt;
    return at - yield.getStacked().begin();
  }
  /// The carry that nothing is done with but to add the value in each step.
  std::optional<unsigned> carryThatAddsUp(Value v) {
    auto add = v.hasOneUse() ? dyn_cast<AddOp>(*v.user_begin()) : AddOp();
    if (!add || !add.getOut().hasOneUse() ||
        *add.getOut().user_begin() != yield ||
        add->getBlock() != yield->getBlock())
      return std::nullopt;
    Value other = add.getOperand(add.getOperand(0) == v ? 1 : 0);
    auto carry = dyn_cast<BlockArgument>(other);
    if (!carry || !other.hasOneUse() || other.getType() != v.getType() ||
        !llvm::is_contained(loop.getCarries(), carry))
      return std::nullopt;
    unsigned i = carry.getArgNumber() - 1; // behind the counter
    return yield.getCarried()[i] == add.getOut() ? std::optional(i)
                                                 : std::nullopt;
  }

  /// The loop without what is hoisted: with the same carries and stacks but
  /// those that stand for hoisted sums and products, then what is kept.
  ForOp makeLoop(ImplicitLocOpBuilder &b, ArrayRef<Value> sources) {
    SmallVector<Value> inits;
    for (auto [i, init] : llvm::enumerate(loop.getInitial()))
      if (!sums.contains(i))
        inits.push_back(init);
    auto body = [&](Value counter, ValueRange carries,
                    ValueRange slices) -> ForOp::Yields {
      mlir::IRMapping map;
      map.map(loop.getCounter(), counter);
      auto carry = carries.begin();
      for (auto [i, arg] : llvm::enumerate(loop.getCarries()))
        map.map(arg, sums.contains(i) ? loop.getInitial()[i] : *carry++);
      size_t walked = loop.getSlices().size();
      map.map(llvm::to_vector_of<Value>(loop.getSlices()),
              slices.take_front(walked));
      for (auto [product, slice] : llvm::zip(before, slices.drop_front(walked)))
        map.map(product.getOut(), slice);
      return bodyOf(b, map);
    };
    auto made =
        ForOp::make(b, inits, sources, cast<RankedTensorType>(loop.getCounts()),
                    loop.getReverse(), body);
    made.setCheckpoint(loop.getCheckpoint());
    SmallVector<BlockArgument> named;
    for (auto [i, carry] : llvm::enumerate(loop.getCarries()))
      if (!sums.contains(i))
        named.push_back(carry);
    takeNames(llvm::to_vector(made.getCarries()), named);
    auto slices = llvm::to_vector(made.getSlices());
    takeNames(slices, llvm::to_vector(loop.getSlices()));
    for (auto [i, product] : llvm::enumerate(before))
      slices[loop.getSlices().size() + i].setLoc(product.getLoc());
    for (auto [v, stack] : stackOf)
      rename(mlir::OpResult(made.getStacks()[stack]), nameOf(v));
    return made;
  }
  ForOp::Yields bodyOf(ImplicitLocOpBuilder &b, mlir::IRMapping &map) {
    for (Operation &op : loop.getBody().front().without_terminator()) {
      auto product = dyn_cast<MatMulOp>(op);
      if (!product || !llvm::is_contained(before, product))
        b.clone(op, map);
    }
    ForOp::Yields yields;
    for (auto [i, v] : llvm::enumerate(yield.getCarried()))
      if (!sums.contains(i))
        yields.carried.push_back(map.lookupOrDefault(v));
    for (auto [i, v] : llvm::enumerate(yield.getStacked()))
      if (!behind.contains(i)) {
        stackOf.try_emplace(v, yields.stacked.size());
        yields.stacked.push_back(map.lookupOrDefault(v));
      }
    for (Value v : kept) {
      stackOf.try_emplace(v, yields.stacked.size());
      yields.stacked.push_back(map.lookupOrDefault(v));
    }
    return yields;
  }

  /// What the value is in all steps.
  Value allOf(Value v, ForOp made = {}) {
    if (isSlice(v))
      return loop.getSources()[cast<BlockArgument>(v).getArgNumber() - 1 -
                               loop.getInitial().size()];
    return made.getStacks()[stackOf.lookup(v)];
  }
  void replace(ImplicitLocOpBuilder &b, ForOp made) {
    auto takePlace = [](mlir::OpResult now, Value old) {
      rename(now, nameOf(old));
      old.replaceAllUsesWith(now);
    };
    unsigned final = 0, stack = 0;
    for (auto [i, old] : llvm::enumerate(loop.getFinals()))
      if (sums.contains(i))
        old.replaceAllUsesWith(sumOf(b, i, made));
      else
        takePlace(made.getFinals()[final++], old);
    for (auto [i, old] : llvm::enumerate(loop.getStacks())) {
      auto product = behind.find(i);
      if (product == behind.end()) {
        takePlace(made.getStacks()[stack++], old);
        continue;
      }
      MatMulOp op = product->second;
      b.setLoc(op.getLoc());
      V rows(&b, allOf(op.getLhs(), made));
      old.replaceAllUsesWith(
          withSteps(matmul2d(rows, V(&b, op.getRhs())), Shape(op.getOut()))
              .value());
    }
  }
  /// What the carry ends with.
  Value sumOf(ImplicitLocOpBuilder &b, unsigned carry, ForOp made) {
    Operation *op = sums[carry];
    b.setLoc(op->getLoc());
    Value init = loop.getInitial()[carry];
    V start = isZero(init) ? V(0.0) : V(&b, init);
    if (auto sum = dyn_cast<ReduceSumOp>(op)) {
      V all(&b, allOf(sum.getX(), made));
      SmallVector<int64_t> axes{0};
      for (int64_t axis = 0; axis < Shape(sum.getX()).rank(); ++axis)
        if (!sum.getAxes() || isOneOf(*sum.getAxes(), axis, sum.getX()))
          axes.push_back(axis + 1);
      V total = reduce_sum(all, Axes(List(axes)), /*keepdims=*/false);
      return (start + reshape(total, Shape(init))).value();
    }
    auto product = cast<MatMulOp>(op);
    auto turned = product.getLhs().getDefiningOp<TransposeOp>();
    V lhs = allRows(V(&b, allOf(turned.getX(), made))),
      rhs = allRows(V(&b, allOf(product.getRhs(), made)));
    return (start + matmul(transpose(lhs), rhs)).value();
  }
  static bool isOneOf(List axes, int64_t axis, Value x) {
    return llvm::any_of(axes, [&](int64_t a) {
      return (a < 0 ? a + Shape(x).rank() : a) == axis;
    });
  }

  ForOp loop;
  YieldOp yield;
  SmallVector<MatMulOp> before;
  llvm::MapVector<unsigned, MatMulOp> behind;  ///< by the stack
  llvm::MapVector<unsigned, Operation *> sums; ///< by the carry
  llvm::SetVector<Value> kept; ///< what the loop does not keep yet
  llvm::DenseMap<Value, unsigned> stackOf;
};

struct HoistProducts : impl::HoistProductsBase<HoistProducts> {
  void runOnOperation() override {
    SmallVector<ForOp> loops; // inner ones first
    getOperation().walk([&](ForOp loop) { loops.push_back(loop); });
    for (ForOp loop : loops) {
      hoistViews(loop);
      LoopProducts products(loop);
      if (products.isWorthIt())
        products.hoist();
    }
  }
};
} // namespace
