//===- TruthVectors.cpp - truth values in memory and in vectors -----------===//
//
// In memory a truth value is a byte, 0 or 1, as the scalar patterns and C have
// it; in a vector it is a bit. The bytes are read as they are and compared with
// zero, or extended and written.
//
//===----------------------------------------------------------------------===//

#include "TruthVectors.h"
#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace gradus;
namespace LLVM = mlir::LLVM;
namespace vector = mlir::vector;

namespace {
/// What the patterns of four ops have in common.
template <typename Op> struct TruthPattern : mlir::ConvertOpToLLVMPattern<Op> {
  explicit TruthPattern(const mlir::LLVMTypeConverter &converter)
      : mlir::ConvertOpToLLVMPattern<Op>(converter, /*benefit=*/2) {}

protected:
  using Adaptor = typename Op::Adaptor;

  static mlir::VectorType bytesOf(Op op) {
    return op.getVectorType().clone(
        IntegerType::get(op.getContext(), /*width=*/8));
  }
  static bool isOfTruths(Op op) {
    return op.getVectorType().getElementType().isInteger(1);
  }
  Value pointer(Op op, Adaptor adaptor,
                mlir::ConversionPatternRewriter &rewriter) const {
    return this->getStridedElementPtr(rewriter, op.getLoc(), op.getMemRefType(),
                                      adaptor.getBase(), adaptor.getIndices());
  }
  static Value zeros(Op op, mlir::ConversionPatternRewriter &rewriter) {
    return LLVM::ZeroOp::create(rewriter, op.getLoc(), bytesOf(op));
  }
  static void replaceByTruths(Op op, Value bytes,
                              mlir::ConversionPatternRewriter &rewriter) {
    rewriter.replaceOpWithNewOp<LLVM::ICmpOp>(op, LLVM::ICmpPredicate::ne,
                                              bytes, zeros(op, rewriter));
  }
  static Value toBytes(Op op, Value truths,
                       mlir::ConversionPatternRewriter &rewriter) {
    return LLVM::ZExtOp::create(rewriter, op.getLoc(), bytesOf(op), truths);
  }
};

struct LoadTruths : TruthPattern<vector::LoadOp> {
  using TruthPattern::TruthPattern;

  LogicalResult
  matchAndRewrite(vector::LoadOp op, OpAdaptor adaptor,
                  mlir::ConversionPatternRewriter &rewriter) const override {
    if (!isOfTruths(op))
      return failure();
    Value from = pointer(op, adaptor, rewriter);
    replaceByTruths(op,
                    LLVM::LoadOp::create(rewriter, op.getLoc(), bytesOf(op),
                                         from, /*alignment=*/1),
                    rewriter);
    return success();
  }
};
struct LoadMaskedTruths : TruthPattern<vector::MaskedLoadOp> {
  using TruthPattern::TruthPattern;

  LogicalResult
  matchAndRewrite(vector::MaskedLoadOp op, OpAdaptor adaptor,
                  mlir::ConversionPatternRewriter &rewriter) const override {
    if (!isOfTruths(op))
      return failure();
    Value from = pointer(op, adaptor, rewriter);
    Value others = toBytes(op, adaptor.getPassThru(), rewriter);
    replaceByTruths(op,
                    LLVM::MaskedLoadOp::create(rewriter, op.getLoc(),
                                               bytesOf(op), from,
                                               adaptor.getMask(), others,
                                               /*alignment=*/1),
                    rewriter);
    return success();
  }
};
struct StoreTruths : TruthPattern<vector::StoreOp> {
  using TruthPattern::TruthPattern;

  LogicalResult
  matchAndRewrite(vector::StoreOp op, OpAdaptor adaptor,
                  mlir::ConversionPatternRewriter &rewriter) const override {
    if (!isOfTruths(op))
      return failure();
    Value to = pointer(op, adaptor, rewriter);
    rewriter.replaceOpWithNewOp<LLVM::StoreOp>(
        op, toBytes(op, adaptor.getValueToStore(), rewriter), to,
        /*alignment=*/1);
    return success();
  }
};
struct StoreMaskedTruths : TruthPattern<vector::MaskedStoreOp> {
  using TruthPattern::TruthPattern;

  LogicalResult
  matchAndRewrite(vector::MaskedStoreOp op, OpAdaptor adaptor,
                  mlir::ConversionPatternRewriter &rewriter) const override {
    if (!isOfTruths(op))
      return failure();
    Value to = pointer(op, adaptor, rewriter);
    rewriter.replaceOpWithNewOp<LLVM::MaskedStoreOp>(
        op, toBytes(op, adaptor.getValueToStore(), rewriter), to,
        adaptor.getMask(), /*alignment=*/1);
    return success();
  }
};
} // namespace

void gradus::addTruthVectorPatterns(const mlir::LLVMTypeConverter &converter,
                                    mlir::RewritePatternSet &patterns) {
  patterns.add<LoadTruths, LoadMaskedTruths, StoreTruths, StoreMaskedTruths>(
      converter);
}
