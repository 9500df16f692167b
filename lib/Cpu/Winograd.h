//===- Winograd.h - 3 x 3 convolutions with fewer products ------*- C++ -*-===//

#ifndef GRADUS_CPU_WINOGRAD_H
#define GRADUS_CPU_WINOGRAD_H

#include "Contraction.h"

namespace gradus {

/// A contraction that is a convolution with 3 x 3 taps next to each other, or
/// the gradient of its filter, large enough for F(2 x 2, 3 x 3).
struct Winograd {
  Contraction c; ///< lhs: the image; rhs: the filter, or the result's gradient
  bool ofFilter; ///< the gradient of the filter
  unsigned rows, columns;       ///< loops over the pixels of the result
  unsigned tapRows, tapColumns; ///< loops over the taps, of size 3
  unsigned channels;            ///< loop over the channels of the image
  SmallVector<unsigned> images; ///< the loops that are left

  static constexpr int64_t points = 16; ///< of a transformed tile

  static std::optional<Winograd> match(const Contraction &c);

  /// The loop that threads share best, if the work is worth it.
  std::optional<std::pair<unsigned, Split>> split(int64_t threads) const;

  /// The filter as the products want it, once for many images: computed, or a
  /// constant that lies so already. Null for the filter's gradient.
  Value emitFilter(ImplicitLocOpBuilder &b) const;
  /// Everything else. `startsAtZero`: the result's old value is not read.
  void emit(ImplicitLocOpBuilder &b, Value filter, bool startsAtZero,
            const RegisterFile &machine) const;
};

} // namespace gradus

#endif // GRADUS_CPU_WINOGRAD_H
