//===- OutlineKernels.cpp - a function for each fusion group --------------===//
//
// In: entry functions on tensors. Out: their computing ops moved to private
// functions (`graph.kernel`) in destination-passing style, called in their
// places; groups that are equal but for their operands share one function.
//
// A group is one linalg op, loop nest or chain of insert_slice, or the ops that
// run row by row together (GroupRows.cpp), with the fills that only they start
// from. Scalars and empty tensors that an op reads are
// made inside; reshapes stay with the caller, where they cost nothing.
//
//===----------------------------------------------------------------------===//

#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "gradus/RuntimeLengths.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace gradus {
#define GEN_PASS_DEF_OUTLINEKERNELS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace func = mlir::func;
namespace linalg = mlir::linalg;
namespace tensor = mlir::tensor;

static bool computes(Operation *op) {
  // A loop over buffers is one of the model: its body has kernels of its own.
  if (auto loop = dyn_cast<mlir::scf::ForOp>(op))
    return llvm::any_of(loop.getResultTypes(), llvm::IsaPred<mlir::TensorType>);
  return isa<linalg::LinalgOp, tensor::InsertSliceOp>(op);
}
/// The tensor that the op's result starts from, if it is another op's.
static Operation *startsFrom(Operation *op) {
  if (auto insert = dyn_cast<tensor::InsertSliceOp>(op))
    return insert.getDest().getDefiningOp();
  if (auto loop = dyn_cast<mlir::scf::ForOp>(op))
    return loop.getInits()[0].getDefiningOp();
  return nullptr;
}

/// The members of each group.
using MarkedGroups = llvm::DenseMap<Attribute, SmallVector<Operation *>>;
static MarkedGroups markedGroups(Block &body) {
  MarkedGroups groups;
  for (Operation &op : body)
    if (Attribute number = op.getAttr(lowering::groupAttr))
      groups[number].push_back(&op);
  return groups;
}

/// The ops of the group that ends in `root`, in order.
static SmallVector<Operation *> groupOf(Operation *root,
                                        const MarkedGroups &marked) {
  llvm::SetVector<Operation *> group;
  SmallVector<Operation *> work{root};
  if (Attribute number = root->getAttr(lowering::groupAttr))
    llvm::append_range(work, marked.find(number)->second);
  while (!work.empty()) {
    Operation *op = work.pop_back_val();
    group.insert(op);
    SmallVector<Operation *> starts;
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
      for (Value init : linalgOp.getDpsInits())
        starts.push_back(init.getDefiningOp());
    else
      starts.push_back(startsFrom(op));
    for (Operation *s : starts)
      if (s && s->hasOneUse() && isa<linalg::FillOp, tensor::InsertSliceOp>(s))
        work.push_back(s);
  }
  SmallVector<Operation *> ordered = group.takeVector();
  llvm::sort(ordered,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return ordered;
}

namespace {
struct OutlineKernels : impl::OutlineKernelsBase<OutlineKernels> {
  void runOnOperation() override {
    kernels.clear();
    for (auto f : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      if (f->hasAttr(lowering::kernelAttr))
        continue;
      markLoops(f);
      lengths = LengthAnalysis();
      // From the end, so that the last op of a group comes first.
      Block &body = f.getBody().front();
      MarkedGroups marked = markedGroups(body);
      llvm::SmallPtrSet<Operation *, 32> taken;
      SmallVector<SmallVector<Operation *>> groups;
      for (Operation &op : llvm::reverse(body))
        if (computes(&op) && !taken.contains(&op)) {
          groups.push_back(groupOf(&op, marked));
          taken.insert(groups.back().begin(), groups.back().end());
        }
      for (auto &group : llvm::reverse(groups))
        outline(group);
    }
  }

private:
  void outline(ArrayRef<Operation *> group) {
    Operation *root = group.back();
    llvm::SmallPtrSet<Operation *, 8> members(group.begin(), group.end());
    SmallVector<Value> results;
    for (Operation *op : group)
      for (Value v : op->getResults())
        if (leaves(v, members))
          results.push_back(v);
    llvm::SetVector<Value> args;
    llvm::SetVector<Operation *> inside;
    for (Operation *op : group)
      op->walk([&](Operation *nested) {
        for (mlir::OpOperand &use : nested->getOpOperands()) {
          Value v = use.get();
          Operation *owner = v.getParentBlock()->getParentOp();
          if (op->isAncestor(owner) || members.contains(v.getDefiningOp()))
            continue;
          if (!cloned(use) && !isTemporary(use, members)) {
            args.insert(v);
            continue;
          }
          if (auto slice = slicedFrom(v)) {
            inside.insert(slice);
            args.insert(slice.getSource());
          }
          inside.insert(v.getDefiningOp());
        }
      });

    OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
    auto kernel = func::FuncOp::create(
        b, root->getLoc(), "kernel",
        b.getFunctionType(ValueRange(args.getArrayRef()).getTypes(),
                          ValueRange(results).getTypes()));
    Block *body = kernel.addEntryBlock();
    b.setInsertionPointToStart(body);
    for (auto [i, arg] : llvm::enumerate(args))
      if (ArrayAttr attr = lengthsAttrOf(&getContext(), lengths.of(arg)))
        kernel.setArgAttr(i, lowering::lengthsAttr, attr);
    mlir::IRMapping map;
    map.map(args.getArrayRef(), body->getArguments());
    for (Operation *op : inside)
      b.clone(*op, map);
    for (Operation *op : group)
      // Equal groups are one kernel, whatever their numbers.
      b.clone(*op, map)->removeAttr(lowering::groupAttr);
    func::ReturnOp::create(
        b, root->getLoc(),
        llvm::map_to_vector(results, [&](Value v) { return map.lookup(v); }));
    kernel = shared(kernel);

    b.setInsertionPoint(root);
    auto call =
        func::CallOp::create(b, root->getLoc(), kernel, args.getArrayRef());
    for (auto [from, to] : llvm::zip(results, call.getResults())) {
      lengths.replace(from, to);
      from.replaceAllUsesWith(to);
    }
    for (Operation *op : llvm::reverse(group))
      op->erase();
  }

  using Members = llvm::SmallPtrSet<Operation *, 8>;

  /// Is the value read outside the group?
  static bool leaves(Value v, const Members &members) {
    return llvm::any_of(v.getUsers(), [&](Operation *user) {
      while (user->getBlock() != v.getParentBlock())
        user = user->getParentOp();
      return !members.contains(user);
    });
  }
  /// Does the op that starts from this empty tensor make it into something that
  /// no one outside reads?
  static bool isTemporary(mlir::OpOperand &use, const Members &members) {
    auto op = dyn_cast<linalg::LinalgOp>(use.getOwner());
    if (!use.get().getDefiningOp<tensor::EmptyOp>() || !op ||
        !op.isDpsInit(&use))
      return false;
    Value result = op.getTiedOpResult(&use);
    if (leaves(result, members))
      return false;
    if (!isa<linalg::FillOp>(op))
      return true;
    mlir::OpOperand &next = *result.use_begin();
    auto user = dyn_cast<linalg::LinalgOp>(next.getOwner());
    return user && user.isDpsInit(&next) &&
           !leaves(user.getTiedOpResult(&next), members);
  }

  /// The slice that the value is, its axes split or not.
  static tensor::ExtractSliceOp slicedFrom(Value v) {
    if (auto split = v.getDefiningOp<tensor::ExpandShapeOp>())
      v = split.getSrc();
    return v.getDefiningOp<tensor::ExtractSliceOp>();
  }
  /// Made in the kernel rather than passed to it: scalars, slices (a bare
  /// pointer carries no strides), and tensors that are read for their shape
  /// only.
  static bool cloned(mlir::OpOperand &use) {
    Operation *def = use.get().getDefiningOp();
    if (!def)
      return false;
    if (slicedFrom(use.get()))
      return true;
    if (def->hasTrait<mlir::OpTrait::ConstantLike>())
      return !isa<mlir::TensorType>(use.get().getType());
    auto op = dyn_cast<linalg::LinalgOp>(use.getOwner());
    return isa<tensor::EmptyOp>(def) && op && op.isDpsInput(&use);
  }

  /// The kernel like this one that is there already, else this one.
  func::FuncOp shared(func::FuncOp kernel) {
    std::string text;
    llvm::raw_string_ostream os(text);
    kernel.print(os, mlir::OpPrintingFlags().useLocalScope().assumeVerified());
    auto [it, fresh] = kernels.try_emplace(text, kernel);
    if (!fresh) {
      kernel.erase();
      return it->second;
    }
    Builder b(&getContext());
    kernel.setName(("kernel" + Twine(kernels.size() - 1)).str());
    kernel.setPrivate();
    kernel->setAttr(lowering::kernelAttr, b.getUnitAttr());
    return kernel;
  }

  llvm::StringMap<func::FuncOp> kernels;
  LengthAnalysis lengths;
};
} // namespace
