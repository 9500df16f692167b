//===- LowerMath.cpp - functions that a GPU has instructions for ----------===//
//
// Square roots, rounding and the like become intrinsics of LLVM, before
// convert-gpu-to-nvvm makes calls of CUDA's libdevice of them.
//
//===----------------------------------------------------------------------===//

#include "gradus/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace gradus {
#define GEN_PASS_DEF_LOWERMATH
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;
namespace math = mlir::math;

namespace {
template <typename Op> struct ToIntrinsic : mlir::OpRewritePattern<Op> {
  ToIntrinsic(MLIRContext *context, StringRef name)
      : mlir::OpRewritePattern<Op>(context), name(name) {}

  LogicalResult
  matchAndRewrite(Op op, mlir::PatternRewriter &rewriter) const override {
    if (!op.getType().isF32() && !op.getType().isF64())
      return failure();
    std::string full =
        ("llvm." + name + (op.getType().isF32() ? ".f32" : ".f64")).str();
    rewriter.replaceOpWithNewOp<mlir::LLVM::CallIntrinsicOp>(
        op, op.getType(), rewriter.getStringAttr(full), op->getOperands());
    return success();
  }

  StringRef name;
};

struct AbsAsMaximum : mlir::OpRewritePattern<math::AbsIOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult
  matchAndRewrite(math::AbsIOp op,
                  mlir::PatternRewriter &rewriter) const override {
    Value zero = mlir::arith::ConstantOp::create(
        rewriter, op.getLoc(), rewriter.getZeroAttr(op.getType()));
    Value negative = mlir::arith::SubIOp::create(rewriter, op.getLoc(), zero,
                                                 op.getOperand());
    rewriter.replaceOpWithNewOp<mlir::arith::MaxSIOp>(op, op.getOperand(),
                                                      negative);
    return success();
  }
};

struct LowerMath : impl::LowerMathBase<LowerMath> {
  void runOnOperation() override {
    mlir::RewritePatternSet patterns(&getContext());
    auto add = [&]<typename... Op>(StringRef name) {
      (patterns.add<ToIntrinsic<Op>>(&getContext(), name), ...);
    };
    add.operator()<math::SqrtOp>("sqrt");
    add.operator()<math::FloorOp>("floor");
    add.operator()<math::CeilOp>("ceil");
    add.operator()<math::AbsFOp>("fabs");
    add.operator()<math::CopySignOp>("copysign");
    add.operator()<math::FmaOp>("fma");
    add.operator()<math::RoundEvenOp>("roundeven");
    add.operator()<math::TruncOp>("trunc");
    patterns.add<AbsAsMaximum>(&getContext());
    mlir::walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};
} // namespace
