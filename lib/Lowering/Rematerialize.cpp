//===- Rematerialize.cpp - elementwise values computed where they are read ===//
//
// In: linalg.generic on tensors, nothing fused yet. Out: the same, with copies
// of elementwise ops whose results several ops read, one for each loop nest
// that is to compute them, where that moves fewer bytes than to write the
// result once and read it again. What a batch norm subtracts and scales is so
// computed again in each of its sums and gradients, from the tensor that it
// normalises.
//
// Ops that FuseGroups.cpp will fuse into those that read them are not stored;
// each other op is the end of a loop nest, which reads its frontier: the stored
// tensors nearest to it. Whether to store a value that several nests read is
// decided for one value after the other, by the bytes that all of them would
// read and write and by the operations that would be repeated. That is the
// question of Jain et al. 2020 ("Checkmate") asked for traffic and not for
// capacity, answered greedily.
//
//===----------------------------------------------------------------------===//

#include "LinalgBuilder.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallBitVector.h"

namespace gradus {
#define GEN_PASS_DEF_REMATERIALIZE
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace arith = mlir::arith;
namespace linalg = mlir::linalg;
namespace math = mlir::math;
namespace tensor = mlir::tensor;
using mlir::OpOperand;

/// A tensor that is no larger may stay in a second-level cache.
static constexpr int64_t cachedBytes = 512 * 1024;

/// Of memory, for a tensor that is read once. What caches hold costs less.
static double readBytes(Value v) {
  auto bytes = double(lowering::byteCount(v));
  return bytes > cachedBytes ? bytes : bytes / 4;
}
/// The cache fetches a line before it is written.
static double writtenBytes(Value v) { return 2 * readBytes(v); }

/// What an operation on an element costs, in bytes moved in that time.
static double costOf(Operation &inner) {
  constexpr double simple = 0.25, division = 4, function = 16;
  if (inner.hasTrait<mlir::OpTrait::IsTerminator>() ||
      inner.hasTrait<mlir::OpTrait::ConstantLike>() ||
      isa<linalg::IndexOp>(inner))
    return 0;
  if (isa<arith::DivFOp, arith::RemFOp, arith::DivSIOp, arith::RemSIOp,
          math::SqrtOp, math::RsqrtOp>(inner))
    return division;
  bool isSimple = isa<arith::ArithDialect>(inner.getDialect()) ||
                  isa<math::AbsFOp, math::AbsIOp, math::FmaOp>(inner);
  return isSimple ? simple : function;
}

namespace {
using Frontier = llvm::SmallSetVector<Value, 8>;

class Rematerialization {
public:
  explicit Rematerialization(Block &body) : body(body) {
    constexpr int64_t room = 1 << 20; // for the copies before an op
    for (Operation &op : body)
      places[&op] = room * int64_t(places.size() + 1);
    for (auto op : body.getOps<linalg::GenericOp>())
      if (isElementwise(op) && !op->use_empty())
        classify(op);
  }

  /// Decides what is not to be stored after all; false if that is nothing.
  bool decide() {
    constexpr int mostRounds = 3; // what one value saves may let another save
    bool any = false, changed = true;
    for (int round = 0; round < mostRounds && changed; ++round) {
      changed = false;
      for (Operation *op : candidates)
        if (isStored(op) && gain(cast<linalg::GenericOp>(op)) > 0) {
          unstored.insert(op);
          any = changed = true;
        }
    }
    return any;
  }

  /// Copies what is not stored to each nest that computes it, and stored values
  /// to nests that read all they are computed from.
  void apply() {
    for (Operation &op : llvm::make_early_inc_range(body))
      if (isStored(&op)) {
        repeatStored(&op);
        copyInto(&op);
      }
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
      if (mlir::isOpTriviallyDead(&op))
        op.erase();
  }

private:
  static bool isElementwise(linalg::GenericOp op) {
    return op->getNumResults() == 1 &&
           op.getNumParallelLoops() == op.getNumLoops() &&
           op.getDpsInits()[0].getDefiningOp<tensor::EmptyOp>() &&
           op.getMatchingBlockArgument(op.getDpsInitOperand(0)).use_empty() &&
           llvm::none_of(*op.getBody(), [](Operation &inner) {
             return inner.getNumRegions() > 0 || isa<tensor::ExtractOp>(inner);
           });
  }
  /// Will the op that reads the elementwise result compute it for itself, if it
  /// is the only one?
  bool canTake(OpOperand &use) {
    auto user = dyn_cast<linalg::GenericOp>(use.getOwner());
    auto producer = use.get().getDefiningOp<linalg::GenericOp>();
    return user && user.isDpsInput(&use) && !lowering::addsProducts(user) &&
           linalg::areElementwiseOpsFusable(&use) &&
           (user.getNumReductionLoops() == 0 ||
            loopsFromInputs(producer).all()) &&
           (user.getMatchingIndexingMap(&use).isPermutation() ||
            onlyMoves(producer));
  }
  /// The loops whose lengths are those of axes of what the op, with all that
  /// may be fused into it, reads. A window's are not.
  const llvm::SmallBitVector &loopsFromInputs(linalg::GenericOp op) {
    if (auto it = knownLoops.find(op); it != knownLoops.end())
      return it->second;
    llvm::SmallBitVector known(op.getNumLoops());
    for (OpOperand *in : op.getDpsInputOperands()) {
      auto producer = in->get().getDefiningOp<linalg::GenericOp>();
      std::optional<llvm::SmallBitVector> axes;
      if (producer && isElementwise(producer))
        axes = loopsFromInputs(producer);
      mlir::AffineMap map = op.getMatchingIndexingMap(in);
      for (auto [axis, e] : llvm::enumerate(map.getResults()))
        if (auto d = dyn_cast<mlir::AffineDimExpr>(e);
            d && (!axes || axes->test(axis)))
          known.set(d.getPosition());
    }
    return knownLoops[op] = known;
  }

  void classify(linalg::GenericOp op) {
    if (!llvm::all_of(op->getUses(),
                      [&](OpOperand &use) { return canTake(use); }))
      return;
    if (llvm::all_equal(op->getUsers()) || onlyMoves(op))
      unstored.insert(op);
    else
      candidates.insert(op);
  }
  bool isStored(Operation *op) const { return !unstored.contains(op); }

  /// Is the operand computed by each nest that reads it?
  bool isCopied(Operation *producer) const {
    return unstored.contains(producer) || repeated.contains(producer);
  }
  /// Is it computed by the nest of this use, and perhaps stored for others?
  bool isMadeFor(OpOperand &use) const {
    Operation *producer = use.get().getDefiningOp();
    return producer &&
           (isCopied(producer) || (candidates.contains(producer) &&
                                   firstUser(producer) == use.getOwner()));
  }
  Operation *firstUser(Operation *op) const {
    return *llvm::min_element(op->getUsers(), [&](Operation *a, Operation *b) {
      return places.lookup(a) < places.lookup(b);
    });
  }
  /// The op and all that is computed with it.
  llvm::SetVector<Operation *>
  nestOf(Operation *end, function_ref<bool(OpOperand &)> isInside) const {
    llvm::SetVector<Operation *> ops;
    ops.insert(end);
    for (unsigned i = 0; i < ops.size(); ++i)
      for (OpOperand &use : ops[i]->getOpOperands())
        if (isInside(use))
          ops.insert(use.get().getDefiningOp());
    return ops;
  }
  Frontier frontier(Operation *end) const {
    Frontier found;
    auto isInside = [&](OpOperand &use) { return isMadeFor(use); };
    for (Operation *op : nestOf(end, isInside))
      for (OpOperand &use : op->getOpOperands()) {
        auto generic = dyn_cast<linalg::GenericOp>(op);
        if (!isMadeFor(use) && !(generic && generic.isDpsInit(&use)) &&
            isa<mlir::RankedTensorType>(use.get().getType()))
          found.insert(use.get());
      }
    return found;
  }
  /// The ends of the nests that compute with the value.
  llvm::SetVector<Operation *> nestsWith(Value v) const {
    llvm::SetVector<Operation *> users, ends;
    auto addUsers = [&](ValueRange values) {
      for (Value each : values)
        for (Operation *user : each.getUsers())
          users.insert(body.findAncestorOpInBlock(*user));
    };
    addUsers(v);
    for (unsigned i = 0; i < users.size(); ++i)
      if (isStored(users[i]))
        ends.insert(users[i]);
      else
        addUsers(users[i]->getResults());
    return ends;
  }
  static double elementsOf(Value v) {
    return double(cast<mlir::RankedTensorType>(v.getType()).getNumElements());
  }
  static bool isReduction(Operation *nest) {
    return cast<linalg::GenericOp>(nest).getNumReductionLoops() > 0;
  }
  /// Operations for an element of the result, but those on stored ones.
  double costOfNest(linalg::GenericOp end) const {
    double sum = 0;
    for (Operation *op : copiesFor(end))
      for (Operation &inner : *cast<linalg::GenericOp>(op).getBody())
        sum += costOf(inner);
    return sum;
  }
  /// A product's result that one nest alone reads can be that nest's epilogue,
  /// which has it in the cache.
  double readCost(Value v, size_t nests) const {
    double read = double(nests) * readBytes(v);
    auto product = v.getDefiningOp<linalg::GenericOp>();
    if (!product || !lowering::addsProducts(product))
      return read;
    if (nests > 1)
      return writtenBytes(v) + read;
    return nestsWith(v).size() > 1 ? read : 0;
  }
  double trafficOf(ArrayRef<Operation *> nests) const {
    llvm::MapVector<Value, unsigned> readers;
    for (Operation *nest : nests)
      for (Value v : frontier(nest))
        ++readers[v];
    double sum = 0;
    for (auto [v, count] : readers)
      sum += readCost(v, count);
    return sum;
  }

  /// Bytes that are not moved if the candidate is not stored, less what it
  /// costs to compute it again.
  double gain(linalg::GenericOp op) {
    Value v = op.getResult(0);
    llvm::SetVector<Operation *> nests = nestsWith(v);
    nests.insert(op);
    double stored = trafficOf(nests.getArrayRef()) + writtenBytes(v);
    unstored.insert(op);
    nests.remove(op);
    double repeated = trafficOf(nests.getArrayRef()) +
                      double(nests.size() - 1) * elementsOf(v) * costOfNest(op);
    unstored.erase(op);
    return stored - repeated;
  }

  /// Chooses stored values that the nest would rather compute than read.
  void repeatStored(Operation *nest) {
    repeated.clear();
    if (!isa<linalg::GenericOp>(nest))
      return;
    for (Value v : frontier(nest)) {
      auto op = v.getDefiningOp<linalg::GenericOp>();
      if (!op || !isElementwise(op) || !isTakenBy(nest, op))
        continue;
      double before = bytesRead(nest);
      repeated.insert(op);
      double cost = costOfNest(op);
      // A sum that reads what others read may become one with them.
      if (isReduction(nest) && cost < 2)
        cost = 0;
      if (bytesRead(nest) + elementsOf(v) * cost > before)
        repeated.erase(op);
    }
  }
  double bytesRead(Operation *nest) const {
    double sum = 0;
    for (Value v : frontier(nest))
      sum += readBytes(v);
    return sum;
  }
  /// Can each op of the nest that reads the result compute it?
  bool isTakenBy(Operation *nest, linalg::GenericOp op) {
    llvm::SetVector<Operation *> inside = copiesFor(nest);
    return llvm::all_of(op->getUses(), [&](OpOperand &use) {
      return !inside.contains(use.getOwner()) || canTake(use);
    });
  }

  void copyInto(Operation *nest) {
    llvm::SetVector<Operation *> inside = copiesFor(nest);
    inside.remove(nest);
    if (llvm::none_of(inside, [&](Operation *op) {
          return candidates.contains(op) || repeated.contains(op);
        }))
      return;
    SmallVector<Operation *> ordered(inside.getArrayRef());
    llvm::sort(ordered, [&](Operation *a, Operation *b) {
      return places.lookup(a) < places.lookup(b);
    });
    OpBuilder b(nest);
    int64_t place = places.lookup(nest) - int64_t(ordered.size());
    mlir::IRMapping copies;
    for (Operation *op : ordered) {
      // Distinct results start from distinct tensors.
      Value init = cast<linalg::GenericOp>(op).getDpsInits()[0];
      b.clone(*init.getDefiningOp(), copies);
      Operation *copy = b.clone(*op, copies);
      unstored.insert(copy);
      places[copy] = place++;
    }
    for (OpOperand &use : nest->getOpOperands())
      use.set(copies.lookupOrDefault(use.get()));
  }
  /// The op and what is to be copied to where it stands.
  llvm::SetVector<Operation *> copiesFor(Operation *end) const {
    return nestOf(end, [&](OpOperand &use) {
      Operation *producer = use.get().getDefiningOp();
      return producer && isCopied(producer);
    });
  }

  Block &body;
  /// The order of the ops: the block's own is lost with each copy.
  llvm::DenseMap<Operation *, int64_t> places;
  llvm::DenseMap<Operation *, llvm::SmallBitVector> knownLoops;
  llvm::SetVector<Operation *> candidates; ///< several nests could take them
  llvm::SmallPtrSet<Operation *, 32> unstored;
  /// Stored values that the nest which is being copied into computes as well.
  llvm::SmallPtrSet<Operation *, 4> repeated;
};

struct Rematerialize : impl::RematerializeBase<Rematerialize> {
  void runOnOperation() override {
    Rematerialization values(getOperation().getBody().front());
    if (values.decide())
      values.apply();
  }
};
} // namespace
