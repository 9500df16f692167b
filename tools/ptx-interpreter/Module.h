//===- Module.h - PTX, read and decoded -------------------------*- C++ -*-===//

#ifndef GRADUS_PTX_MODULE_H
#define GRADUS_PTX_MODULE_H

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace ptx {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Warp;
struct Instruction;
/// Runs an instruction for the lanes of a warp whose bit is set.
using Handler = void (*)(Warp &, const Instruction &, uint32_t lanes);

/// `Wait` and `ClusterWait` may have to be tried again, the former by a branch.
enum class Control : uint8_t {
  None,
  Branch,
  Return,
  Barrier,
  WarpBarrier,
  Wait,
  ClusterWait
};
enum class Space : uint8_t { Generic, Global, Shared };

/// One instruction. Every operand that is a value is the number of a register:
/// constants and special registers have registers of their own.
struct Instruction {
  Handler run = nullptr;
  Control control = Control::None;
  int guard = -1; ///< a predicate, or none
  bool negated = false;
  std::vector<int> outs, ins;
  bool isLater = false; ///< its results are there after a wait
  /// Constants that are added to the addresses among `ins`.
  std::vector<int64_t> offsets;
  size_t target = 0; ///< of a branch
  Space space = Space::Generic;
  uint32_t bytes = 0; ///< of an element in memory
  int variant = 0;    ///< what a handler of several instructions tells apart by
  std::vector<std::string> opcode; ///< "ld", "shared", "b32"
  int line = 0;

  bool has(const char *part) const;
  std::string name() const;
};

/// What a register holds before the first instruction.
struct Preset {
  enum Kind : uint8_t { Constant, Special, SharedAddress } kind;
  int reg;
  uint64_t value;     ///< of a constant
  std::string symbol; ///< "%tid.x", or a variable
};

/// Parameters as generic addresses see them.
inline constexpr uint64_t paramWindow = uint64_t(1) << 61;

struct Param {
  std::string name;
  size_t offset, bytes;
};
struct SharedVariable {
  size_t bytes, alignment; ///< no bytes: as many as the launch adds
};

struct Kernel {
  std::string name;
  std::vector<Param> params;
  size_t paramBytes = 0;
  std::map<std::string, SharedVariable> shared;
  std::vector<Preset> presets;
  int registers = 0;
  bool usesAsyncProxy = false;
  uint32_t clusterBlocks = 1; ///< along x
  std::vector<Instruction> code;
};

/// The kernels of a PTX module, by name. An instruction that is not known is an
/// error, never a guess.
std::map<std::string, Kernel> parse(const std::string &text);

/// Sets how an instruction runs; its operands are there.
void decode(Instruction &instruction);

} // namespace ptx

#endif // GRADUS_PTX_MODULE_H
