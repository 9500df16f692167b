//===- Interpreter.h - PTX run on the CPU -----------------------*- C++ -*-===//
//
// Runs the PTX that Gradus emits, one thread after the other between barriers,
// so that kernels can be judged where there is no GPU. An instruction that it
// does not know is an error, never a guess; so is an access outside a buffer,
// a barrier that not all threads reach, and a read of shared memory that no
// thread has written.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_PTX_INTERPRETER_H
#define GRADUS_PTX_INTERPRETER_H

#include <array>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace ptx {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Instruction {
  std::string guard; ///< register, or empty
  bool negated = false;
  std::vector<std::string> opcode; ///< "ld", "shared", "b32"
  std::vector<std::string> operands;
  int line = 0;
};

struct Kernel {
  std::string name;
  std::vector<std::string> params;
  std::map<std::string, size_t> shared; ///< bytes of each variable
  std::vector<Instruction> code;
  std::map<std::string, size_t> labels;
};

/// The kernels of a PTX module, by name.
std::map<std::string, Kernel> parse(const std::string &text);

struct Launch {
  std::array<uint32_t, 3> grid, block;
};

/// Runs a kernel. Each buffer is bounds-checked; params are buffers in order.
void run(const Kernel &kernel, const Launch &launch,
         std::vector<std::vector<char> *> buffers);

} // namespace ptx

#endif // GRADUS_PTX_INTERPRETER_H
