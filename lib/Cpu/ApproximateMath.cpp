//===- ApproximateMath.cpp - polynomials that vectorise -------------------===//
//
// Upstream's approximations for f32 (Cephes): exp within 1 ulp, log 1, tanh 4,
// erf 4. f64 keeps libm.
//
//===----------------------------------------------------------------------===//

#include "gradus/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace gradus {
#define GEN_PASS_DEF_APPROXIMATEMATH
#include "gradus/Passes.h.inc"
} // namespace gradus

using namespace gradus;

namespace {
struct ApproximateMath : impl::ApproximateMathBase<ApproximateMath> {
  void runOnOperation() override {
    mlir::RewritePatternSet patterns(&getContext());
    mlir::populateMathPolynomialApproximationPatterns(
        patterns, [](StringRef name) {
          return llvm::is_contained(
              {"math.exp", "math.log", "math.tanh", "math.erf"}, name);
        });
    if (failed(
            mlir::applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
