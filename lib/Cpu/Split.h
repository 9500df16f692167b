//===- Split.h - a loop cut into parts for threads --------------*- C++ -*-===//

#ifndef GRADUS_CPU_SPLIT_H
#define GRADUS_CPU_SPLIT_H

#include "gradus/LLVM.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gradus {

/// `size` iterations in `parts` parts of `chunk`; the last may be shorter.
struct Split {
  int64_t size, parts, chunk;

  /// At most `threads` parts, each of whole units but for the last's end.
  Split(int64_t size, int64_t unit, int64_t threads);
  int64_t last() const { return size - (parts - 1) * chunk; }
  /// The share of `threads` threads' time that is used, were it all one
  /// iteration's work.
  double balance(int64_t threads) const {
    return double(size) / double(threads * chunk);
  }
};

/// Below about this many operations a part is not worth a thread's attention.
inline constexpr double worthAThread = 30'000;

/// A loop over the parts, marked for graph-outline-parts; `body` gets the
/// part's number.
mlir::scf::ForOp createParts(ImplicitLocOpBuilder &b, const Split &split,
                             function_ref<void(OpBuilder &, Value)> body);

/// The same with where each part starts and how long it is, known for each copy
/// of the body: a shorter last part gets a copy of its own. `prepare` runs
/// before either.
void createEvenParts(ImplicitLocOpBuilder &b, const Split &split,
                     function_ref<void()> prepare,
                     function_ref<void(Value, int64_t)> body);

} // namespace gradus

#endif // GRADUS_CPU_SPLIT_H
