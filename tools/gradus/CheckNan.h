//===- CheckNan.h - --check=nan ---------------------------------*- C++ -*-===//

#ifndef GRADUS_TOOLS_CHECKNAN_H
#define GRADUS_TOOLS_CHECKNAN_H

#include "Command.h"

namespace gradus::tool {

enum class Check { None, Nan };
struct CheckOption : cl::opt<Check> {
  explicit CheckOption(cl::OptionCategory &category)
      : cl::opt<Check>(
            "check",
            cl::desc("Where a NaN appears, name the op, its line, and "
                     "save what it was given as .npy files"),
            cl::values(clEnumValN(Check::Nan, "nan", "look for NaNs")),
            cl::init(Check::None), cl::cat(category)) {}
};

bool holdsNan(const Checkpoint &variables, ArrayRef<HostTensor> results);

/// Calls a function again, with the numbers that made a NaN, and prints which
/// op made the first.
llvm::Error explainNan(const CommonOptions &common, CompileOptions options,
                       StringRef function, const Checkpoint &variables,
                       ArrayRef<HostTensor> inputs);

} // namespace gradus::tool

#endif // GRADUS_TOOLS_CHECKNAN_H
