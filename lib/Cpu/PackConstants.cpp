//===- PackConstants.cpp - constant weights in panels, once ---------------===//
//
// In: bufferised kernels, entry functions whose variables are constants. Out:
// where a product would copy its right-hand side to panels at each call, and
// every caller passes a constant, the argument is marked `graph.panels`: it
// lies in panels already. Callers pass a new constant, marked likewise, whose
// bytes are put in that order when the object is written.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

namespace gradus {
#define GEN_PASS_DEF_PACKCONSTANTS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace func = mlir::func;
namespace linalg = mlir::linalg;

/// The variable that the value is, whatever its shape; null if it is none.
static BlockArgument variableBehind(Value v) {
  while (auto view = v.getDefiningOp<mlir::ViewLikeOpInterface>()) {
    // A slice starts elsewhere.
    if (!isa<mlir::memref::ExpandShapeOp, mlir::memref::CollapseShapeOp>(
            view.getOperation()))
      return {};
    v = view.getViewSource();
  }
  auto arg = dyn_cast<BlockArgument>(v);
  auto f = arg ? dyn_cast<func::FuncOp>(arg.getOwner()->getParentOp())
               : func::FuncOp();
  bool isVariable = f && !f.isPrivate() &&
                    f.getArgAttr(arg.getArgNumber(), lowering::variableAttr);
  return isVariable ? arg : BlockArgument();
}

namespace {
struct PackConstants : impl::PackConstantsBase<PackConstants> {
  using PackConstantsBase::PackConstantsBase;

  void runOnOperation() override {
    llvm::StringMap<SmallVector<func::CallOp>> calls;
    getOperation().walk(
        [&](func::CallOp call) { calls[call.getCallee()].push_back(call); });
    for (auto kernel : getOperation().getOps<func::FuncOp>())
      if (kernel.isPrivate())
        pack(kernel, calls[kernel.getName()]);
  }

private:
  void pack(func::FuncOp kernel, ArrayRef<func::CallOp> calls) {
    RegisterFile machine{vectorBits, registers};
    for (auto op : kernel.getOps<linalg::GenericOp>()) {
      auto c = Contraction::match(op, machine, RowPlace());
      // A row group runs the product for parts of its loops.
      if (!c || op->hasAttr(lowering::rowLoopsAttr) || !c->outer.empty() ||
          c->reductions.size() != 1 || c->rhs.start != 0 ||
          !Blocking::choose(*c, machine).pack)
        continue;
      auto arg = dyn_cast<BlockArgument>(c->rhs.buffer);
      if (!arg || !arg.hasOneUse() || calls.empty() ||
          !llvm::all_of(calls, [&](func::CallOp call) {
            return variableBehind(call.getOperand(arg.getArgNumber()));
          }))
        continue;
      int64_t panel = Blocking::choose(*c, machine).tileVectors * c->lanes;
      auto panels = mlir::DenseI64ArrayAttr::get(
          &getContext(),
          {panel, c->depth(), c->columns(), c->rhs.step[c->reductions[0]],
           c->rhs.step[c->column]});
      kernel.setArgAttr(arg.getArgNumber(), lowering::panelsAttr, panels);
      for (func::CallOp call : calls)
        pass(call, arg.getArgNumber(), panels);
    }
  }

  /// The call reads the packed constant in place of the one as it is.
  static void pass(func::CallOp call, unsigned i, Attribute panels) {
    Value operand = call.getOperand(i);
    BlockArgument variable = variableBehind(operand);
    auto f = call->getParentOfType<func::FuncOp>();
    Attribute name =
        f.getArgAttr(variable.getArgNumber(), lowering::variableAttr);
    for (BlockArgument a : f.getArguments()) {
      unsigned n = a.getArgNumber();
      if (f.getArgAttr(n, lowering::variableAttr) == name &&
          f.getArgAttr(n, lowering::panelsAttr) == panels &&
          a.getType() == operand.getType())
        return call.setOperand(i, a);
    }
    Builder b(f.getContext());
    unsigned at = variable.getArgNumber() + 1;
    (void)f.insertArgument(
        at, operand.getType(),
        b.getDictionaryAttr({b.getNamedAttr(lowering::variableAttr, name),
                             b.getNamedAttr(lowering::panelsAttr, panels)}),
        f.getLoc());
    call.setOperand(i, f.getArgument(at));
  }
};
} // namespace
