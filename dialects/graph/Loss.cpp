//===- Loss.cpp - one number to minimise ----------------------------------===//

#include "Build.h"

using namespace gradus;
using namespace gradus::graph;

#define GET_OP_CLASSES
#include "dialects/graph/Loss.cpp.inc"

Shapes Infer::crossEntropy(Arg logits, Arg labels) {
  if (logits.failed)
    return logits;
  if (Arg checked = integers(labels); checked.failed)
    return checked;
  if (logits.rank() < 1)
    return fail(logits.value) << "expected [.., class], not " << logits.str();
  Shape rows(labels.element, ArrayRef(logits.dims).drop_back());
  bool fits = rows.rank() == labels.rank();
  for (int64_t i = 0; fits && i < rows.rank(); ++i)
    fits = unify(rows[i], labels[i]);
  if (!fits)
    return fail(labels.value) << "expected a label for each row of "
                              << logits.str() << ", not " << labels.str();
  return Shape(logits.element, {});
}
