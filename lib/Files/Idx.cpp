//===- Idx.cpp - IDX data sets --------------------------------------------===//
//
// Two zero bytes, the element type, the number of axes, the sizes as
// big-endian 32-bit numbers, the elements.
//
//===----------------------------------------------------------------------===//

#include "gradus/Files.h"
#include <zlib.h>

using namespace gradus;

static llvm::Error failed(llvm::StringRef path, const llvm::Twine &what) {
  return llvm::createStringError(path + ": " + what);
}

namespace {
/// zlib reads plain files as they are.
struct GzFile {
  gzFile file;
  explicit GzFile(const std::string &path) : file(gzopen(path.c_str(), "rb")) {}
  ~GzFile() {
    if (file)
      gzclose(file);
  }
  GzFile(const GzFile &) = delete;
  GzFile &operator=(const GzFile &) = delete;
};
} // namespace

llvm::Expected<HostTensor> gradus::readIdx(llvm::StringRef path) {
  GzFile in(path.str());
  if (!in.file)
    return failed(path, "cannot be read: " + llvm::Twine(std::strerror(errno)));
  unsigned char magic[4];
  if (gzread(in.file, magic, 4) != 4 || magic[0] != 0 || magic[1] != 0)
    return failed(path,
                  "is no IDX file: it does not begin with two zero bytes");
  if (magic[2] != 0x08)
    return failed(path, "holds elements of IDX type " +
                            llvm::Twine(int(magic[2])) +
                            "; only bytes (8) are read");
  if (magic[3] < 1 || magic[3] > 4)
    return failed(path, "claims " + llvm::Twine(int(magic[3])) +
                            " axes; IDX data sets have 1 to 4");
  HostTensor t;
  t.type = DType::U8;
  int64_t bytes = 1;
  for (int i = 0; i < magic[3]; ++i) {
    unsigned char size[4];
    if (gzread(in.file, size, 4) != 4)
      return failed(path, "ends within its header");
    t.shape.push_back(int64_t(size[0]) << 24 | size[1] << 16 | size[2] << 8 |
                      size[3]);
    if (__builtin_mul_overflow(bytes, t.shape.back(), &bytes))
      return failed(path, "claims more elements than any file holds");
  }
  // Grow with what is there, not to what the header claims.
  constexpr int64_t chunk = 1 << 20;
  while (int64_t(t.bytes.size()) < bytes) {
    int64_t at = t.bytes.size(), want = std::min(chunk, bytes - at);
    t.bytes.resize(at + want);
    int got = gzread(in.file, t.bytes.data() + at, want);
    if (got < want)
      return failed(path, "is cut short: its header promises " +
                              llvm::Twine(bytes) + " bytes (" + t.str() +
                              "), but " + llvm::Twine(at + std::max(got, 0)) +
                              " are there");
  }
  char more;
  if (gzread(in.file, &more, 1) == 1)
    return failed(path, "is longer than its header says (" + t.str() + ")");
  return t;
}
