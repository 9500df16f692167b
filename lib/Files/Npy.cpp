//===- Npy.cpp - NumPy's array files --------------------------------------===//
//
// NumPy's NEP 1: magic, version, the length of a header that is a Python
// dictionary in text, the elements.
//
//===----------------------------------------------------------------------===//

#include "gradus/Files.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"

using namespace gradus;
using llvm::StringRef;

static llvm::Error failed(StringRef path, const llvm::Twine &what) {
  return llvm::createStringError(path + ": " + what);
}

static constexpr std::pair<DType, llvm::StringLiteral> descriptions[] = {
    {DType::F32, "<f4"},
    {DType::F64, "<f8"},
    {DType::I32, "<i4"},
    {DType::I64, "<i8"},
    {DType::I1, "|b1"},
    {DType::U8, "|u1"},
    {DType::F16, "<f2"},
    {DType::I8, "|i1"},
    // NumPy has no bf16: what the ml_dtypes package adds is saved so.
    {DType::BF16, "<V2"},
};

/// The text after `'key':` in a header.
static StringRef valueOf(StringRef header, StringRef key) {
  size_t at = header.find(("'" + key + "'").str());
  if (at == StringRef::npos)
    return "";
  StringRef rest = header.drop_front(at + key.size() + 2).ltrim();
  return rest.consume_front(":") ? rest.ltrim() : "";
}

llvm::Expected<HostTensor> gradus::readNpy(StringRef path) {
  auto file = readFile(path);
  if (!file)
    return file.takeError();
  StringRef all(file->data(), file->size());
  if (!all.starts_with("\x93NUMPY") || all.size() < 10)
    return failed(path, "is no .npy file: it does not begin with NumPy's mark");
  bool wide = all[6] >= 2;
  size_t begin = wide ? 12 : 10;
  if (all.size() < begin)
    return failed(path, "ends within its header");
  size_t length = wide ? llvm::support::endian::read32le(all.data() + 8)
                       : llvm::support::endian::read16le(all.data() + 8);
  if (all.size() - begin < length)
    return failed(path, "ends within its header");
  StringRef header = all.substr(begin, length),
            data = all.drop_front(begin + length);

  HostTensor t;
  StringRef descr = valueOf(header, "descr").ltrim('\'').take_until([](char c) {
    return c == '\'';
  });
  const auto *known =
      llvm::find_if(descriptions, [&](auto &d) { return d.second == descr; });
  if (known == std::end(descriptions))
    return failed(
        path,
        "holds elements of type '" + descr +
            "'; float32, float64, int32, int64, bool are read, little-endian");
  t.type = known->first;
  if (!valueOf(header, "fortran_order").starts_with("False"))
    return failed(path,
                  "is in Fortran order; save it with numpy.ascontiguousarray");
  StringRef shape = valueOf(header, "shape");
  if (!shape.consume_front("("))
    return failed(path, "has a header without a shape");
  int64_t bytes = dtypeBytes(t.type);
  for (shape = shape.ltrim(); !shape.empty() && !shape.starts_with(")");
       shape = shape.ltrim(" ,")) {
    uint64_t n;
    if (shape.consumeInteger(10, n) || n > uint64_t(INT64_MAX))
      return failed(path, "has a shape that is no list of sizes");
    t.shape.push_back(int64_t(n));
    if (__builtin_mul_overflow(bytes, t.shape.back(), &bytes))
      return failed(path, "claims more elements than any file holds");
  }
  if (int64_t(data.size()) != bytes)
    return failed(path, "is " + t.str() + ", which takes " +
                            llvm::Twine(bytes) + " bytes, but " +
                            llvm::Twine(data.size()) + " are there");
  t.bytes.assign(data.begin(), data.end());
  return t;
}

llvm::Error gradus::writeNpy(StringRef path, const HostTensor &t) {
  std::string shape;
  for (int64_t d : t.shape)
    shape += std::to_string(d) + ",";
  const auto *known =
      llvm::find_if(descriptions, [&](auto &d) { return d.first == t.type; });
  std::string header =
      ("{'descr': '" + known->second + "', 'fortran_order': False, 'shape': (" +
       shape + "), }")
          .str();
  // The elements start at a multiple of 64 bytes.
  header.resize(llvm::alignTo(10 + header.size() + 1, 64) - 10 - 1, ' ');
  header += '\n';
  std::vector<char> file{'\x93',
                         'N',
                         'U',
                         'M',
                         'P',
                         'Y',
                         1,
                         0,
                         char(header.size() & 255),
                         char(header.size() >> 8)};
  file.insert(file.end(), header.begin(), header.end());
  file.insert(file.end(), t.bytes.begin(), t.bytes.end());
  return writeFile(path, file);
}
