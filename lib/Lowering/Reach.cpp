//===- Reach.cpp - what of a row's op is not hidden -----------------------===//

#include "Reach.h"
#include "gradus/Lowering.h"

using namespace gradus;

/// Their places in the attribute; -1 where nothing is tested.
enum {
  loopPlace,
  rowPlace,
  lowPlace,
  highPlace,
  probesPlace,
  testedPlace,
  farthestRowPlace
};

std::optional<Reach> Reach::of(Operation *op) {
  auto attr = op->getAttrOfType<DenseI64ArrayAttr>(lowering::reachAttr);
  if (!attr)
    return std::nullopt;
  ArrayRef<int64_t> all = attr.asArrayRef();
  Reach reach{unsigned(all[loopPlace]), unsigned(all[rowPlace]), all[lowPlace],
              all[highPlace], all[probesPlace] != 0};
  if (all[testedPlace] >= 0)
    reach.tested = all[testedPlace];
  reach.asksFarthestRow = all[farthestRowPlace] != 0;
  return reach;
}
void Reach::mark(Operation *op) const {
  op->setAttr(lowering::reachAttr,
              DenseI64ArrayAttr::get(op->getContext(),
                                     {int64_t(loop), int64_t(row), low, high,
                                      probes, tested ? int64_t(*tested) : -1,
                                      asksFarthestRow}));
}
