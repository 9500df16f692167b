//===- Handlers.h - instructions by name ------------------------*- C++ -*-===//
//
// A whole name ("cvt.rn.bf16x2.f32"), or the first part of one for all that
// begin with it ("cvt").
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_PTX_HANDLERS_H
#define GRADUS_PTX_HANDLERS_H

#include "Module.h"

namespace ptx {

using Handlers = std::vector<std::pair<std::string, Handler>>;

/// Between number types and address spaces.
Handlers conversionInstructions();
/// Loads, stores, asynchronous copies; shuffles and elections between lanes.
Handlers memoryInstructions();
/// mma.sync and ldmatrix.
Handlers matrixInstructions();
/// wgmma, and what it takes.
Handlers warpgroupInstructions();
/// Copies of boxes of tensors, and mbarriers.
Handlers bulkInstructions();

} // namespace ptx

#endif // GRADUS_PTX_HANDLERS_H
