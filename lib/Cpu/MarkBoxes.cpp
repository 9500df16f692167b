//===- MarkBoxes.cpp - operands of kernels that have zeros around ---------===//
//
// In: kernels on tensors and their calls. Out: arguments that are, in every
// call, what a kernel has written between zeros, are marked `graph.box`: of
// each axis, where the elements start and how many there are.
//
//===----------------------------------------------------------------------===//

#include "Padding.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace gradus {
#define GEN_PASS_DEF_MARKBOXES
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace func = mlir::func;
namespace linalg = mlir::linalg;
namespace tensor = mlir::tensor;

using Box = SmallVector<AxisRange>;

/// The box that the kernel writes of its result; none if that is all of it.
static std::optional<Box> boxWrittenBy(func::FuncOp kernel, unsigned result) {
  if (kernel.isExternal())
    return std::nullopt;
  Value returned = kernel.getBody().front().getTerminator()->getOperand(result);
  auto writer = returned.getDefiningOp<linalg::GenericOp>();
  auto fill = writer && writer.getNumDpsInits() == 1
                  ? writer.getDpsInits()[0].getDefiningOp<linalg::FillOp>()
                  : linalg::FillOp();
  auto padding = fill ? Padding::match(fill, writer) : std::nullopt;
  return padding ? padding->box() : std::nullopt;
}

/// The box in a reshaped tensor. `groups`: axes of the one with fewer, as those
/// of the other one.
static std::optional<Box> reshaped(const Box &box,
                                   ArrayRef<mlir::ReassociationIndices> groups,
                                   ArrayRef<int64_t> shape, bool expands) {
  Box result = llvm::map_to_vector(
      shape, [](int64_t size) { return AxisRange{0, size, size}; });
  for (auto [one, several] : llvm::enumerate(groups)) {
    // Of the several axes the first one that is longer than 1 has all that is
    // cut, and those behind it are whole.
    int64_t inside = 1;
    std::optional<unsigned> cut;
    auto sizeOf = [&](int64_t axis) {
      return expands ? shape[axis] : box[axis].size;
    };
    for (int64_t axis : several) {
      if (cut)
        inside *= sizeOf(axis);
      else if (sizeOf(axis) > 1)
        cut = axis;
    }
    if (expands) {
      const AxisRange &whole = box[one];
      if (!cut)
        continue;
      if (whole.low % inside != 0 || whole.count % inside != 0)
        return std::nullopt;
      result[*cut] = {whole.low / inside, whole.count / inside, shape[*cut]};
      continue;
    }
    for (int64_t axis : several)
      if (axis != cut && !box[axis].isWhole())
        return std::nullopt;
    if (cut)
      result[one] = {box[*cut].low * inside, box[*cut].count * inside,
                     shape[one]};
  }
  return result;
}

/// Between which zeros the value lies; none if that is not known.
static std::optional<Box> boxOf(Value v, const mlir::SymbolTable &symbols) {
  if (auto call = v.getDefiningOp<func::CallOp>()) {
    auto kernel = symbols.lookup<func::FuncOp>(call.getCallee());
    return boxWrittenBy(kernel, cast<mlir::OpResult>(v).getResultNumber());
  }
  auto through = [&](auto reshape, bool expands) {
    auto box = boxOf(reshape.getSrc(), symbols);
    return box ? reshaped(*box, reshape.getReassociationIndices(),
                          reshape.getResultType().getShape(), expands)
               : std::nullopt;
  };
  if (auto expand = v.getDefiningOp<tensor::ExpandShapeOp>())
    return through(expand, /*expands=*/true);
  if (auto collapse = v.getDefiningOp<tensor::CollapseShapeOp>())
    return through(collapse, /*expands=*/false);
  return std::nullopt;
}

namespace {
struct MarkBoxes : impl::MarkBoxesBase<MarkBoxes> {
  void runOnOperation() override {
    mlir::SymbolTable symbols(getOperation());
    llvm::MapVector<func::FuncOp, SmallVector<func::CallOp>> calls;
    getOperation().walk([&](func::CallOp call) {
      auto kernel = symbols.lookup<func::FuncOp>(call.getCallee());
      if (kernel->hasAttr(lowering::kernelAttr))
        calls[kernel].push_back(call);
    });
    Builder b(&getContext());
    for (auto &[kernel, all] : calls)
      for (unsigned i = 0; i < kernel.getNumArguments(); ++i) {
        std::optional<Box> box = boxOf(all.front().getOperand(i), symbols);
        bool isSame =
            box &&
            llvm::all_of(ArrayRef(all).drop_front(), [&](func::CallOp call) {
              return boxOf(call.getOperand(i), symbols) == box;
            });
        if (!isSame)
          continue;
        SmallVector<int64_t> numbers;
        for (const AxisRange &axis : *box)
          numbers.append({axis.low, axis.count});
        kernel.setArgAttr(i, lowering::boxAttr,
                          b.getDenseI64ArrayAttr(numbers));
      }
  }
};
} // namespace
