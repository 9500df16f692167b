//===- ExtractMatmuls.cpp - the matrix products of a model ----------------===//
//
// In: functions at stage linalg. Out: a gpu.module with a kernel for each
// product in them. Generics that are no product of two matrices (convolutions,
// products with several summed loops) are left out.
//
//===----------------------------------------------------------------------===//

#include "Product.h"
#include "gradus/Lowering.h"
#include "gradus/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/StringSet.h"

namespace gradus {
#define GEN_PASS_DEF_EXTRACTMATMULS
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace linalg = mlir::linalg;

/// The distance between neighbours along each loop; none if the map is more
/// than a choice of loops.
static std::optional<SmallVector<int64_t>> loopSteps(linalg::GenericOp op,
                                                     mlir::OpOperand *operand) {
  SmallVector<int64_t> steps(op.getNumLoops(), 0);
  auto shape = cast<RankedTensorType>(operand->get().getType()).getShape();
  auto map = op.getMatchingIndexingMap(operand);
  int64_t step = 1;
  for (int64_t i = shape.size() - 1; i >= 0; --i) {
    mlir::AffineExpr e = map.getResult(i);
    if (auto d = dyn_cast<mlir::AffineDimExpr>(e))
      steps[d.getPosition()] += step;
    else if (!isa<mlir::AffineConstantExpr>(e) ||
             cast<mlir::AffineConstantExpr>(e).getValue() != 0)
      return std::nullopt;
    step *= shape[i];
  }
  return steps;
}

std::optional<Product> Product::match(linalg::GenericOp op) {
  Type element = mlir::getElementTypeOrSelf(op.getResultTypes()[0]);
  // Operands of 16 or 8 bits have no kernel yet.
  bool sameTypes = llvm::all_of(op.getOperandTypes(), [&](Type t) {
    return mlir::getElementTypeOrSelf(t) == element;
  });
  if (!lowering::addsProducts(op) || op.getNumReductionLoops() != 1 ||
      !isa<FloatType>(element) || !sameTypes)
    return std::nullopt;
  auto a = loopSteps(op, op.getDpsInputOperand(0)),
       b = loopSteps(op, op.getDpsInputOperand(1)),
       c = loopSteps(op, op.getDpsInitOperand(0));
  if (!a || !b || !c)
    return std::nullopt;
  auto sizes = op.getStaticLoopRanges();
  auto iterators = op.getIteratorTypesArray();
  std::optional<unsigned> row, column, sum;
  SmallVector<unsigned> rest;
  for (unsigned d = 0; d < sizes.size(); ++d) {
    bool inA = (*a)[d] != 0, inB = (*b)[d] != 0;
    if (iterators[d] == mlir::utils::IteratorType::reduction)
      sum = d;
    else if (inA && !inB && (!row || sizes[d] > sizes[*row]))
      row ? rest.push_back(*std::exchange(row, d)) : void(row = d);
    else if (inB && !inA && (!column || sizes[d] > sizes[*column]))
      column ? rest.push_back(*std::exchange(column, d)) : void(column = d);
    else
      rest.push_back(d);
  }
  if (!row || !column || (*a)[*sum] == 0 || (*b)[*sum] == 0)
    return std::nullopt;
  auto type = [&](unsigned i) {
    return cast<RankedTensorType>(op->getOperand(i).getType());
  };
  Product p{sizes[*row],
            sizes[*column],
            sizes[*sum],
            {},
            {(*a)[*row], (*a)[*sum], {}},
            {(*b)[*sum], (*b)[*column], {}},
            {(*c)[*row], (*c)[*column], {}},
            type(0).getNumElements(),
            type(1).getNumElements(),
            type(2).getNumElements(),
            type(2).getElementType(),
            op.getLoc()};
  for (unsigned d : rest) {
    if (sizes[d] == 1)
      continue;
    p.batch.push_back(sizes[d]);
    p.lhs.batch.push_back((*a)[d]);
    p.rhs.batch.push_back((*b)[d]);
    p.out.batch.push_back((*c)[d]);
  }
  if (p.m == 0 || p.n == 0 || p.k == 0 || p.batches() == 0)
    return std::nullopt;
  return p;
}

std::string Product::name() const {
  std::string s;
  llvm::raw_string_ostream os(s);
  os << "matmul_" << element << "_";
  for (auto [size, x, y, z] : llvm::zip(batch, lhs.batch, rhs.batch, out.batch))
    os << size << "s" << x << "_" << y << "_" << z << "_";
  // n: as it lies, t: turned.
  os << m << "x" << n << "x" << k << "_" << (lhs.column == 1 ? "n" : "t")
     << (rhs.column == 1 ? "n" : "t");
  if (out.column != 1)
    os << "t";
  return s;
}

Tiles Tiles::choose(const Product &p) {
  // A large result gives every thread enough squares of 8 x 8 to hide the
  // shared memory behind 64 products an 16 loads.
  if (p.m >= 128 && p.n >= 128)
    return {128, 128, 8, 8};
  return {64, 64, 16, 4};
}

namespace {
struct ExtractMatmuls : impl::ExtractMatmulsBase<ExtractMatmuls> {
  void runOnOperation() override {
    std::vector<Product> products;
    llvm::StringSet<> names;
    getOperation().walk([&](linalg::GenericOp op) {
      if (auto p = Product::match(op))
        if (names.insert(p->name()).second)
          products.push_back(std::move(*p));
    });
    for (Operation &op :
         llvm::make_early_inc_range(llvm::reverse(*getOperation().getBody())))
      op.erase();
    ImplicitLocOpBuilder b(getOperation().getLoc(), &getContext());
    b.setInsertionPointToStart(getOperation().getBody());
    auto kernels = mlir::gpu::GPUModuleOp::create(b, "kernels");
    for (const Product &p : products) {
      b.setInsertionPointToEnd(kernels.getBody());
      b.setLoc(p.loc);
      emitKernel(b, p, Tiles::choose(p));
    }
  }
};
} // namespace
