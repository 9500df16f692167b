//===- OperandPanels.h - a contraction's operands in panels -----*- C++ -*-===//

#ifndef GRADUS_CPU_OPERANDPANELS_H
#define GRADUS_CPU_OPERANDPANELS_H

#include "ContractionLoops.h"
#include "MicroKernel.h"

namespace gradus {

/// Copies blocks of a contraction's operands to panels, for its kernel.
class OperandPanels : public ContractionLoops {
public:
  OperandPanels(ImplicitLocOpBuilder &b, const Contraction &contraction,
                const Blocking &blocking);

  /// All of rhs in panels, and nothing else, by so many threads. They are
  /// written word by word, and read as panels of constants are, as elements.
  Value emitAll(int64_t threads);

protected:
  /// Rows that lie side by side in packed lhs: whole tiles, and whole vectors
  /// to copy. In tile registers a row's words follow each other, whatever the
  /// number of rows.
  int64_t lhsGroup(int64_t rows) const;
  /// Where a group of rows, the first of which is `g`, is copied to.
  Panel lhsPanel(Value g, int64_t rows, int64_t depth);
  /// Copies a block of lhs: group after group of rows.
  void packLhs(Value from, int64_t rows, int64_t depth);
  /// Copies a block of rhs: panel after panel of columns. Where its rows lie
  /// whole, some of them for all panels, so that they are read as they lie.
  void pack(Value from, Value first, int64_t columns, int64_t depth);

  std::unique_ptr<MicroKernel> kernel;
  Value lhs, rhs; ///< flat, as they lie

private:
  /// The columns under reduction loop `n` and those inside it.
  void packColumns(unsigned n, Value source, Value target, int64_t width,
                   int64_t depth);
};

} // namespace gradus

#endif // GRADUS_CPU_OPERANDPANELS_H
