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
/// Where an op reads or writes truth values.
struct Bytes {
  mlir::ConversionPatternRewriter &b;
  Location loc;
  mlir::VectorType type;
  Value address;
  static constexpr unsigned alignment = 1;

  Value toTruths(Value bytes) const {
    Value zeros = LLVM::ZeroOp::create(b, loc, type);
    return LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, bytes, zeros);
  }
  Value fromTruths(Value truths) const {
    return LLVM::ZExtOp::create(b, loc, type, truths);
  }
};

void replace(vector::LoadOp op, vector::LoadOp::Adaptor, const Bytes &at) {
  Value bytes =
      LLVM::LoadOp::create(at.b, at.loc, at.type, at.address, Bytes::alignment);
  at.b.replaceOp(op, at.toTruths(bytes));
}
void replace(vector::MaskedLoadOp op, vector::MaskedLoadOp::Adaptor adaptor,
             const Bytes &at) {
  Value bytes = LLVM::MaskedLoadOp::create(
      at.b, at.loc, at.type, at.address, adaptor.getMask(),
      at.fromTruths(adaptor.getPassThru()), Bytes::alignment);
  at.b.replaceOp(op, at.toTruths(bytes));
}
void replace(vector::StoreOp op, vector::StoreOp::Adaptor adaptor,
             const Bytes &at) {
  at.b.replaceOpWithNewOp<LLVM::StoreOp>(
      op, at.fromTruths(adaptor.getValueToStore()), at.address,
      Bytes::alignment);
}
void replace(vector::MaskedStoreOp op, vector::MaskedStoreOp::Adaptor adaptor,
             const Bytes &at) {
  at.b.replaceOpWithNewOp<LLVM::MaskedStoreOp>(
      op, at.fromTruths(adaptor.getValueToStore()), at.address,
      adaptor.getMask(), Bytes::alignment);
}

template <typename Op> struct TruthPattern : mlir::ConvertOpToLLVMPattern<Op> {
  explicit TruthPattern(const mlir::LLVMTypeConverter &converter)
      : mlir::ConvertOpToLLVMPattern<Op>(converter, /*benefit=*/2) {}

  LogicalResult
  matchAndRewrite(Op op, typename Op::Adaptor adaptor,
                  mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::VectorType type = op.getVectorType();
    if (!type.getElementType().isInteger(1))
      return failure();
    Value address =
        this->getStridedElementPtr(rewriter, op.getLoc(), op.getMemRefType(),
                                   adaptor.getBase(), adaptor.getIndices());
    replace(op, adaptor,
            {rewriter, op.getLoc(), type.clone(rewriter.getI8Type()), address});
    return success();
  }
};
} // namespace

void gradus::addTruthVectorPatterns(const mlir::LLVMTypeConverter &converter,
                                    mlir::RewritePatternSet &patterns) {
  patterns
      .add<TruthPattern<vector::LoadOp>, TruthPattern<vector::MaskedLoadOp>,
           TruthPattern<vector::StoreOp>, TruthPattern<vector::MaskedStoreOp>>(
          converter);
}
