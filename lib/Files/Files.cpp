//===- Files.cpp - whole files, and tensors in memory ---------------------===//

#include "gradus/Files.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>
#include <cstring>
#include <unistd.h>

using namespace gradus;

int64_t gradus::dtypeBytes(DType type) {
  switch (type) {
  case DType::F64:
  case DType::I64:
    return 8;
  case DType::F32:
  case DType::I32:
    return 4;
  case DType::F16:
  case DType::BF16:
    return 2;
  case DType::I1:
  case DType::U8:
  case DType::I8:
    return 1;
  }
  llvm_unreachable("a type of no kind");
}
llvm::StringRef gradus::dtypeName(DType type) {
  static constexpr llvm::StringLiteral names[] = {
      "f32", "f64", "i32", "i64", "i1", "u8", "f16", "bf16", "i8"};
  return names[static_cast<int>(type)];
}

template <typename T> static double element(const HostTensor &t, int64_t i) {
  T v;
  std::memcpy(&v, t.bytes.data() + i * sizeof(T), sizeof(T));
  return static_cast<double>(v);
}
static double halfAt(const HostTensor &t, int64_t i,
                     const llvm::fltSemantics &semantics) {
  uint16_t bits;
  std::memcpy(&bits, t.bytes.data() + i * sizeof bits, sizeof bits);
  return llvm::APFloat(semantics, llvm::APInt(16, bits)).convertToDouble();
}
static uint16_t halfOf(double value, const llvm::fltSemantics &semantics) {
  llvm::APFloat f(value);
  bool lossy;
  f.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &lossy);
  return f.bitcastToAPInt().getZExtValue();
}
double HostTensor::at(int64_t i) const {
  switch (type) {
  case DType::F32:
    return element<float>(*this, i);
  case DType::F64:
    return element<double>(*this, i);
  case DType::I32:
    return element<int32_t>(*this, i);
  case DType::I64:
    return element<int64_t>(*this, i);
  case DType::F16:
    return halfAt(*this, i, llvm::APFloat::IEEEhalf());
  case DType::BF16:
    return halfAt(*this, i, llvm::APFloat::BFloat());
  case DType::I8:
    return element<int8_t>(*this, i);
  case DType::I1:
  case DType::U8:
    return element<uint8_t>(*this, i);
  }
  llvm_unreachable("a type of no kind");
}
void HostTensor::set(int64_t i, double value) {
  char *to = bytes.data() + i * dtypeBytes(type);
  auto put = [&](auto v) { std::memcpy(to, &v, sizeof v); };
  switch (type) {
  case DType::F32:
    return put(static_cast<float>(value));
  case DType::F64:
    return put(value);
  case DType::I32:
    return put(static_cast<int32_t>(value));
  case DType::I64:
    return put(static_cast<int64_t>(value));
  case DType::F16:
    return put(halfOf(value, llvm::APFloat::IEEEhalf()));
  case DType::BF16:
    return put(halfOf(value, llvm::APFloat::BFloat()));
  case DType::I8:
    return put(static_cast<int8_t>(value));
  case DType::I1:
    return put(static_cast<uint8_t>(value != 0));
  case DType::U8:
    return put(static_cast<uint8_t>(value));
  }
}
std::string TensorSpec::str() const {
  std::string s = dtypeName(type).str() + "[";
  for (size_t i = 0; i < shape.size(); ++i)
    s += (i ? ", " : "") + std::to_string(shape[i]);
  return s + "]";
}
bool gradus::holdsNan(const HostTensor &t) {
  int64_t n = t.isFloat() ? t.elements() : 0;
  for (int64_t i = 0; i < n; ++i)
    if (std::isnan(t.at(i)))
      return true;
  return false;
}
int64_t gradus::firstNonFinite(const HostTensor &t) {
  if (t.isFloat())
    for (int64_t i = 0, n = t.elements(); i < n; ++i)
      if (!std::isfinite(t.at(i)))
        return i;
  return -1;
}

static llvm::Error failed(llvm::StringRef path, const llvm::Twine &what) {
  return llvm::createStringError(path + ": " + what);
}

llvm::Expected<std::vector<char>> gradus::readFile(llvm::StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFileOrSTDIN(path);
  if (!buffer)
    return failed(path, "cannot be read: " + buffer.getError().message());
  llvm::StringRef s = (*buffer)->getBuffer();
  return std::vector<char>(s.begin(), s.end());
}

llvm::Error gradus::writeFile(llvm::StringRef path,
                              llvm::ArrayRef<char> contents) {
  llvm::StringRef text(contents.data(), contents.size());
  if (path == "-") {
    llvm::outs() << text;
    llvm::outs().flush();
    return llvm::Error::success();
  }
  auto temporary = llvm::sys::fs::TempFile::create(path + ".%%%%%%.tmp");
  if (!temporary) {
    llvm::consumeError(temporary.takeError());
    return failed(path,
                  "cannot be written: is its folder there, and writable?");
  }
  auto drop = [&](const llvm::Twine &why) {
    llvm::consumeError(temporary->discard());
    return failed(path, why);
  };
  for (size_t at = 0; at < contents.size();) {
    ssize_t n =
        ::write(temporary->FD, contents.data() + at, contents.size() - at);
    if (n < 0 && errno != EINTR)
      return drop("cannot be written: " + llvm::Twine(std::strerror(errno)));
    at += std::max<ssize_t>(n, 0);
  }
  // On disk before the name says so: a crash leaves the old file or the new.
  if (::fsync(temporary->FD) != 0 && errno != EINVAL)
    return drop("cannot be written: " + llvm::Twine(std::strerror(errno)));
  if (auto e = temporary->keep(path)) {
    llvm::consumeError(std::move(e));
    return failed(path,
                  "cannot be written: the finished file cannot take this name");
  }
  return llvm::Error::success();
}
