//===- Product.h - a sum of products, and how a GPU runs it -----*- C++ -*-===//

#ifndef GRADUS_GPU_PRODUCT_H
#define GRADUS_GPU_PRODUCT_H

#include "Epilogue.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus::gpu {

/// How f32 is multiplied (--matmul-precision).
enum class Precision {
  Strict, ///< as f32, with fused multiply-adds
  F32,    ///< three products of tf32 in tensor cores
  Tf32,
  F16,
  Bf16,
};

/// Loops of an op that run as one: their steps in every operand follow from
/// those of the last. Steps are elements of lhs, rhs, out; 0 repeats.
struct Axis {
  int64_t size;
  std::array<int64_t, 3> steps;
  SmallVector<unsigned> loops; ///< the last one is the fastest
};
enum Factor : unsigned { Lhs, Rhs, Out };

/// out[b, m, n] = sum over k of lhs[b, m, k] * rhs[b, k, n], where each index
/// stands for several loops: a matmul, an einsum, a convolution or its
/// gradient.
struct Product {
  mlir::linalg::GenericOp op;
  SmallVector<Axis> batch, rows, columns, depth;
  Access lhs, rhs, out;
  /// Of depth and rows, where a call says how many steps there are.
  RuntimeLength depthLength, rowsLength;

  /// The product that an op on buffers is, or none: one that adds products of
  /// elements at places linear in its loops, with rows and columns enough.
  static std::optional<Product> match(mlir::linalg::LinalgOp op);

  int64_t m() const { return sizeOf(rows); }
  int64_t n() const { return sizeOf(columns); }
  int64_t k() const { return sizeOf(depth); }
  int64_t batches() const { return sizeOf(batch); }
  static int64_t sizeOf(ArrayRef<Axis> axes);
  /// Is it made of elements of f32?
  bool isF32() const;
};

struct Chip;

/// How products are made.
struct ProductOptions {
  Precision precision;
  enum Packing { Auto, Always, Never } packing;

  /// "strict", "f32", "tf32", "f16" or "bf16"; "auto", "always" or "never".
  static std::optional<ProductOptions> parse(StringRef precision,
                                             StringRef packing);
};

/// Adds the kernels of a product to `kernels`, and their launches at `host`.
void emitProduct(OpBuilder &host, mlir::gpu::GPUModuleOp kernels,
                 const Product &product, const Epilogue &epilogue,
                 const ProductOptions &options, const Chip &chip);

} // namespace gradus::gpu

#endif // GRADUS_GPU_PRODUCT_H
