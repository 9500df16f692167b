//===- Files.h - tensors in files -------------------------------*- C++ -*-===//
//
// NumPy arrays, IDX data sets, safetensors checkpoints. Readers trust nothing:
// every size that a file claims is checked against the bytes that are there
// before anything is allocated.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_FILES_H
#define GRADUS_FILES_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <map>
#include <string>
#include <vector>

namespace gradus {

enum class DType { F32, F64, I32, I64, I1, U8, F16, BF16, I8 };
int64_t dtypeBytes(DType type);
llvm::StringRef dtypeName(DType type); ///< "f32", as in models

/// A tensor's element type and shape.
struct TensorSpec {
  DType type = DType::F32;
  std::vector<int64_t> shape;

  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : shape)
      n *= d;
    return n;
  }
  int64_t byteCount() const { return elements() * dtypeBytes(type); }
  bool isFloat() const {
    return type == DType::F32 || type == DType::F64 || type == DType::F16 ||
           type == DType::BF16;
  }
  /// "f32[2, 3]"
  std::string str() const;
};

/// A tensor in memory, row-major.
struct HostTensor : TensorSpec {
  std::vector<char> bytes;

  HostTensor() = default;
  /// Zeros.
  explicit HostTensor(const TensorSpec &spec)
      : TensorSpec(spec), bytes(spec.byteCount()) {}
  /// Element `i`, whatever the type.
  double at(int64_t i) const;
  void set(int64_t i, double value);
};

bool holdsNan(const HostTensor &t);
/// The place of the first NaN or infinity, or -1.
int64_t firstNonFinite(const HostTensor &t);

/// Writes a file as a whole or not at all: to a temporary beside it, flushed
/// to disk, then renamed. "-" is standard output.
llvm::Error writeFile(llvm::StringRef path, llvm::ArrayRef<char> contents);
llvm::Expected<std::vector<char>> readFile(llvm::StringRef path);

llvm::Expected<HostTensor> readNpy(llvm::StringRef path);
llvm::Error writeNpy(llvm::StringRef path, const HostTensor &t);

/// IDX (LeCun's MNIST format), plain or gzipped. Elements must be bytes.
llvm::Expected<HostTensor> readIdx(llvm::StringRef path);

/// Tensors by name, and text about them.
struct Checkpoint {
  std::map<std::string, HostTensor> tensors;
  std::map<std::string, std::string> metadata;
};
llvm::Expected<Checkpoint> readSafetensors(llvm::StringRef path);
llvm::Error writeSafetensors(llvm::StringRef path,
                             const Checkpoint &checkpoint);

} // namespace gradus

#endif // GRADUS_FILES_H
