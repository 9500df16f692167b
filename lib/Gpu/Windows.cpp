//===- Windows.cpp - sums of windows that overlap -------------------------===//

#include "Windows.h"
#include "Linear.h"

using namespace gradus;
using namespace gradus::gpu;
namespace linalg = mlir::linalg;
using mlir::AffineExpr;
using mlir::AffineMap;

namespace {
/// A place as a sum of loops, each times a number, and a constant.
struct LinearPlace {
  struct Term {
    unsigned loop;
    int64_t factor;
  };
  SmallVector<Term> terms;
  int64_t constant = 0;
};
} // namespace

/// Along each axis of a result, where every loop stands once and moves the
/// place ahead; none if that is not so.
static std::optional<SmallVector<LinearPlace>> placesOf(linalg::LinalgOp op,
                                                        AffineMap written) {
  llvm::SmallDenseSet<unsigned> seen;
  SmallVector<LinearPlace> places;
  for (AffineExpr e : written.getResults()) {
    LinearPlace &place = places.emplace_back();
    SmallVector<int64_t> factors(op.getNumLoops(), 0);
    if (!addCoefficients(e, 1, factors, place.constant))
      return std::nullopt;
    for (auto [loop, factor] : llvm::enumerate(factors)) {
      if (factor == 0)
        continue;
      if (factor < 0 || !seen.insert(loop).second)
        return std::nullopt;
      place.terms.push_back({unsigned(loop), factor});
    }
    if (place.terms.empty())
      return std::nullopt;
  }
  return places;
}

SmallVector<Window> gpu::windowsOf(linalg::LinalgOp op) {
  if (op.getNumDpsInits() != 1)
    return {};
  auto places = placesOf(op, op.getIndexingMapsArray().back());
  if (!places)
    return {};
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  mlir::MLIRContext *context = op->getContext();
  SmallVector<Window> windows;
  for (auto [axis, place] : llvm::enumerate(*places)) {
    if (place.terms.size() == 1 && place.constant == 0 &&
        place.terms[0].factor == 1)
      continue;
    // What is left to add up is least if the longest loop follows.
    auto *longest = llvm::max_element(place.terms, [&](auto &a, auto &b) {
      return sizes[a.loop] < sizes[b.loop];
    });
    AffineExpr rest = mlir::getAffineConstantExpr(place.constant, context);
    for (auto [loop, factor] : place.terms)
      if (loop != longest->loop)
        rest = rest + mlir::getAffineDimExpr(loop, context) * factor;
    windows.push_back({unsigned(axis), longest->loop, longest->factor, rest});
  }
  return windows;
}

bool gpu::touchesOnce(linalg::LinalgOp op) {
  return op.getNumDpsInits() == 1 && touchesOnce(op, *op.getDpsInitOperand(0));
}
bool gpu::touchesOnce(linalg::LinalgOp op, mlir::OpOperand &init) {
  auto places = placesOf(op, op.getMatchingIndexingMap(&init));
  if (!places)
    return false;
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  size_t loops = 0;
  for (LinearPlace &place : *places) {
    // Each step of a loop is longer than all that faster ones cover.
    llvm::sort(place.terms,
               [](auto &a, auto &b) { return a.factor < b.factor; });
    int64_t covered = 1;
    for (auto [loop, factor] : place.terms) {
      if (factor < covered)
        return false;
      covered += factor * (sizes[loop] - 1);
    }
    loops += place.terms.size();
  }
  return loops == op.getNumLoops();
}
