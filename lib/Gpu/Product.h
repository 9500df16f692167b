//===- Product.h - a batched matrix product and its GPU tiles ---*- C++ -*-===//

#ifndef GRADUS_GPU_PRODUCT_H
#define GRADUS_GPU_PRODUCT_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gradus {

/// out[b, m, n] = sum over k of lhs[b, m, k] * rhs[b, k, n], each operand with
/// the distance in elements between neighbours along each loop; 0 repeats.
struct Product {
  struct Steps {
    int64_t row, column;
    SmallVector<int64_t> batch;
  };
  int64_t m, n, k;
  SmallVector<int64_t> batch;
  Steps lhs, rhs, out;
  int64_t lhsElements, rhsElements, outElements;
  Type element;
  Location loc;

  /// The product that a generic on tensors is, or none.
  static std::optional<Product> match(mlir::linalg::GenericOp op);
  int64_t batches() const {
    int64_t count = 1;
    for (int64_t b : batch)
      count *= b;
    return count;
  }
  /// Says everything that the kernel depends on: "matmul_f32_128x10x256_nt".
  std::string name() const;
};

/// Sizes of a kernel: a block of threads computes rows x columns in steps of
/// depth, a thread a square of side x side.
struct Tiles {
  int64_t rows, columns, depth, side;
  int64_t threads() const { return rows / side * (columns / side); }
  static Tiles choose(const Product &p);
};

/// Adds the kernel to a gpu.module at the builder's insertion point.
void emitKernel(ImplicitLocOpBuilder &b, const Product &product,
                const Tiles &tiles);

} // namespace gradus

#endif // GRADUS_GPU_PRODUCT_H
