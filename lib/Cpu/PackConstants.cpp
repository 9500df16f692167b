//===- PackConstants.cpp - constant weights as products read them ---------===//
//
// In: bufferised kernels, entry functions whose variables are constants. Out:
// where a product would copy its right-hand side to panels at each call, or
// transform its filter, and every caller passes a constant, the argument is
// marked `graph.panels` or `graph.winograd`: it lies so already. Callers pass a
// new constant, marked likewise, whose bytes are made when the object is
// written.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "Winograd.h"
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
    machine = {vectorBits, registers, DotInstructions::of(dots)};
    llvm::StringMap<SmallVector<func::CallOp>> calls;
    getOperation().walk(
        [&](func::CallOp call) { calls[call.getCallee()].push_back(call); });
    for (auto kernel : getOperation().getOps<func::FuncOp>())
      if (kernel.isPrivate())
        pack(kernel, calls[kernel.getName()]);
  }

private:
  void pack(func::FuncOp kernel, ArrayRef<func::CallOp> calls) {
    for (auto op : kernel.getOps<linalg::GenericOp>()) {
      auto c = Contraction::match(op, machine, placeOf(op));
      // What is widened in copying would take more memory for good.
      bool widens =
          c && c->isNarrow() && c->words.part != elementOf(c->rhs.buffer);
      if (!c || widens)
        continue;
      auto arg = dyn_cast<BlockArgument>(c->rhs.buffer);
      if (!arg || !arg.hasOneUse() || calls.empty() ||
          !llvm::all_of(calls, [&](func::CallOp call) {
            return variableBehind(call.getOperand(arg.getArgNumber()));
          }))
        continue;
      std::optional<NamedAttribute> form = formFor(op, *c);
      if (!form)
        continue;
      kernel.setArgAttr(arg.getArgNumber(), form->getName(), form->getValue());
      for (func::CallOp call : calls)
        pass(call, arg.getArgNumber(), *form);
    }
  }
  /// A row of the op's group, at indices that are not known yet.
  static RowPlace placeOf(linalg::GenericOp op) {
    RowPlace place;
    if (auto rows =
            op->getAttrOfType<mlir::DenseI64ArrayAttr>(lowering::rowLoopsAttr))
      for (int64_t d : rows.asArrayRef())
        place.loops.push_back({unsigned(d), Value()});
    return place;
  }

  /// How the product wants its right-hand side, if not as it is.
  std::optional<NamedAttribute> formFor(linalg::GenericOp op,
                                        const Contraction &c) {
    Builder b(&getContext());
    auto form = [&](StringRef name, ArrayRef<int64_t> numbers) {
      return b.getNamedAttr(name, b.getDenseI64ArrayAttr(numbers));
    };
    const LinearAccess &rhs = c.rhs;
    if (auto w = winograd ? Winograd::match(c) : std::nullopt) {
      if (w->ofFilter)
        return std::nullopt;
      int64_t channels = c.size[w->channels], columns = c.columns();
      return form(lowering::winogradAttr,
                  {Winograd::points * channels * columns, channels, columns,
                   rhs.start, rhs.step[w->tapRows], rhs.step[w->tapColumns],
                   rhs.step[w->channels], rhs.step[c.column]});
    }
    // A row group runs the product for parts of its loops.
    Contraction known = c;
    known.constant = true;
    Blocking blocking = Blocking::choose(known, machine);
    if (!blocking.pack || op->hasAttr(lowering::rowLoopsAttr) ||
        !c.outer.empty() || rhs.start != 0)
      return std::nullopt;
    int64_t panel = blocking.tileVectors * c.lanes;
    int64_t inner = c.size[c.reductions.back()];
    int64_t depth = c.depth() / inner * c.words.steps(inner) * c.words.elements;
    SmallVector<int64_t> numbers{int64_t(llvm::alignTo(c.columns(), panel)) *
                                     depth,
                                 panel,
                                 c.columns(),
                                 rhs.step[c.column],
                                 c.words.elements,
                                 c.words.stepsAtOnce,
                                 c.words.flips};
    for (unsigned d : c.reductions) {
      numbers.push_back(c.size[d]);
      numbers.push_back(rhs.step[d]);
    }
    return form(lowering::panelsAttr, numbers);
  }

  /// The call reads the packed constant in place of the one as it is.
  static void pass(func::CallOp call, unsigned i, NamedAttribute form) {
    Value operand = call.getOperand(i);
    BlockArgument variable = variableBehind(operand);
    auto f = call->getParentOfType<func::FuncOp>();
    Attribute name =
        f.getArgAttr(variable.getArgNumber(), lowering::variableAttr);
    for (BlockArgument a : f.getArguments()) {
      unsigned n = a.getArgNumber();
      if (f.getArgAttr(n, lowering::variableAttr) == name &&
          f.getArgAttr(n, form.getName()) == form.getValue() &&
          a.getType() == operand.getType())
        return call.setOperand(i, a);
    }
    Builder b(f.getContext());
    unsigned at = variable.getArgNumber() + 1;
    (void)f.insertArgument(
        at, operand.getType(),
        b.getDictionaryAttr(
            {b.getNamedAttr(lowering::variableAttr, name), form}),
        f.getLoc());
    call.setOperand(i, f.getArgument(at));
  }

  RegisterFile machine;
};
} // namespace
