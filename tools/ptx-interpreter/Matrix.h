//===- Matrix.h - products of small matrices in a warp ----------*- C++ -*-===//

#ifndef GRADUS_PTX_MATRIX_H
#define GRADUS_PTX_MATRIX_H

#include "Module.h"

namespace ptx {

/// mma.sync and ldmatrix, by name.
std::vector<std::pair<std::string, Handler>> matrixInstructions();

} // namespace ptx

#endif // GRADUS_PTX_MATRIX_H
