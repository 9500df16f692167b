//===- MinimumCut.h - the cheapest way to part a network --------*- C++ -*-===//

#ifndef GRADUS_OPTIMIZE_MINIMUMCUT_H
#define GRADUS_OPTIMIZE_MINIMUMCUT_H

#include "gradus/LLVM.h"

namespace gradus {

/// Choices of yes or no, each at a price or with a gain, of which some demand
/// others: the cheapest answer to all, by a minimum cut (the closure problem;
/// Picard 1976). Yes is the side of the source.
class Choices {
public:
  using Id = unsigned;
  static constexpr int64_t never = INT64_MAX / 4;

  Id add();
  /// What a yes costs; less than 0 is a gain. `never`: it must be no.
  void price(Id choice, int64_t cost);
  /// It must be yes.
  void demand(Id choice);
  /// A yes to one demands a yes to the other.
  void demand(Id choice, Id other);

  /// The least cost, once.
  int64_t solve();
  /// After `solve`.
  bool isYes(Id choice) const { return level[choice] >= 0; }

private:
  struct Edge {
    Id to;
    int64_t capacity;
  };
  static constexpr Id source = 0, sink = 1;
  void connect(Id from, Id to, int64_t capacity);
  bool findLevels();
  int64_t push(Id from, int64_t most);

  std::vector<SmallVector<unsigned, 4>> leaving{2}; ///< edges, by node
  std::vector<Edge> edges; ///< each followed by the one against it
  std::vector<int> level;  ///< distance from the source; -1: on the other side
  std::vector<size_t> next;
  int64_t gains = 0;
};

} // namespace gradus

#endif // GRADUS_OPTIMIZE_MINIMUMCUT_H
