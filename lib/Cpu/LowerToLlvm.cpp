//===- LowerToLlvm.cpp - a kernel's body in the LLVM dialect --------------===//
//
// In: a func.func of arithmetic, memory, vectors of one axis and branches. Out:
// the same body in the LLVM dialect; the function itself, its calls and its
// returns are left for func-to-llvm.
//
// One conversion with all patterns, a function at a time, so that kernels are
// converted side by side: upstream's passes, one a dialect, each walk the whole
// module and take four times as long (docs/rationale/decisions.md).
//
//===----------------------------------------------------------------------===//

#include "TruthVectors.h"
#include "gradus/Graph.h"
#include "gradus/Passes.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Dialect/Vector/Transforms/LoweringPatterns.h"
#include "mlir/Dialect/Vector/Transforms/VectorRewritePatterns.h"
#include "mlir/Transforms/DialectConversion.h"

namespace gradus {
#define GEN_PASS_DEF_LOWERTOLLVM
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;

namespace {
/// Upstream's pattern makes a vector of the type as it was.
struct BroadcastConverted
    : mlir::OpConversionPattern<mlir::vector::BroadcastOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult
  matchAndRewrite(mlir::vector::BroadcastOp op, OpAdaptor adaptor,
                  mlir::ConversionPatternRewriter &rewriter) const override {
    Type to = getTypeConverter()->convertType(op.getType());
    if (to == op.getType())
      return failure();
    rewriter.replaceOpWithNewOp<mlir::vector::BroadcastOp>(op, to,
                                                           adaptor.getSource());
    return success();
  }
};

/// A part begins at a pointer of its own: bare pointers carry no offset.
struct PartToPointer : mlir::ConvertOpToLLVMPattern<graph::PartOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  LogicalResult
  matchAndRewrite(graph::PartOp op, OpAdaptor adaptor,
                  mlir::ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto type = cast<mlir::MemRefType>(op.getPart().getType());
    Value first =
        mlir::MemRefDescriptor(adaptor.getSource()).alignedPtr(rewriter, loc);
    Value elements = mlir::LLVM::ConstantOp::create(
        rewriter, loc, getIndexType(),
        rewriter.getIntegerAttr(getIndexType(), type.getNumElements()));
    Value at =
        mlir::LLVM::MulOp::create(rewriter, loc, adaptor.getIndex(), elements);
    Type element = getTypeConverter()->convertType(type.getElementType());
    Value pointer = mlir::LLVM::GEPOp::create(rewriter, loc, first.getType(),
                                              element, first, at);
    rewriter.replaceOp(op,
                       {mlir::MemRefDescriptor::fromStaticShape(
                           rewriter, loc, *getTypeConverter(), type, pointer)});
    return success();
  }
};

struct LowerToLlvm : impl::LowerToLlvmBase<LowerToLlvm> {
  using LowerToLlvmBase::LowerToLlvmBase;

  /// The patterns are made once, not once a function.
  LogicalResult initialize(MLIRContext *ctx) override {
    converter = std::make_shared<mlir::LLVMTypeConverter>(ctx);
    // LLVM keeps bf16 that lives across blocks in f32 and rounds it with a
    // library call when it is stored: its bits are what moves.
    if (!roundsToBf16) {
      auto bits = IntegerType::get(ctx, 16);
      converter->addConversion(
          [=](mlir::BFloat16Type) -> Type { return bits; });
      converter->addConversion(
          [=](mlir::VectorType type) -> std::optional<Type> {
            return type.getElementType().isBF16()
                       ? std::optional<Type>(type.clone(bits))
                       : std::nullopt;
          });
    }
    mlir::RewritePatternSet set(ctx);
    set.add<BroadcastConverted>(*converter, ctx, /*benefit=*/2);
    set.add<PartToPointer>(*converter);
    addTruthVectorPatterns(*converter, set);
    mlir::vector::populateVectorMaskMaterializationPatterns(
        set, /*force32BitVectorIndices=*/false);
    mlir::vector::populateVectorStepLoweringPatterns(set);
    mlir::populateVectorToLLVMConversionPatterns(*converter, set);
    mlir::arith::populateCeilFloorDivExpandOpsPatterns(set);
    mlir::arith::populateArithToLLVMConversionPatterns(*converter, set);
    mlir::populateFinalizeMemRefToLLVMConversionPatterns(*converter, set);
    mlir::cf::populateControlFlowToLLVMConversionPatterns(*converter, set);
    mlir::ub::populateUBToLLVMConversionPatterns(*converter, set);
    patterns = std::make_shared<mlir::FrozenRewritePatternSet>(std::move(set));
    return success();
  }

  void runOnOperation() override {
    mlir::LLVMConversionTarget target(getContext());
    target.addIllegalDialect<
        mlir::arith::ArithDialect, mlir::memref::MemRefDialect,
        mlir::vector::VectorDialect, mlir::cf::ControlFlowDialect,
        mlir::ub::UBDialect>();
    target.addIllegalOp<graph::PartOp>();
    target.addLegalDialect<mlir::func::FuncDialect>();
    mlir::ConversionConfig config;
    // No pattern fails once it has begun, and nothing folds that CSE and LLVM
    // do not fold as well: a third of the time.
    config.allowPatternRollback = false;
    config.foldingMode = mlir::DialectConversionFoldingMode::Never;
    if (failed(mlir::applyPartialConversion(getOperation(), target, *patterns,
                                            config)))
      signalPassFailure();
  }

private:
  std::shared_ptr<mlir::LLVMTypeConverter> converter;
  std::shared_ptr<mlir::FrozenRewritePatternSet> patterns;
};
} // namespace
