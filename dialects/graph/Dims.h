//===- Dims.h - other dimensions for those with names -----------*- C++ -*-===//

#ifndef GRADUS_GRAPH_DIMS_H
#define GRADUS_GRAPH_DIMS_H

#include "Shape.h"

namespace gradus::graph {

/// Puts what `replace` makes of it in the place of each named dimension, in
/// every type and attribute of `root` and of what is in it. No shape that
/// depended on one is inferred again.
void replaceDims(Operation *root, function_ref<Dim(const Dim &)> replace);

} // namespace gradus::graph

#endif // GRADUS_GRAPH_DIMS_H
