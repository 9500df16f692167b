//===- Batch.cpp - examples as a function takes them ----------------------===//

#include "Batch.h"
#include "llvm/Support/FormatVariadic.h"
#include <cstring>

using namespace gradus;

static HostTensor asNumbers(DType type, double scale) {
  HostTensor t({type, {256}});
  for (int64_t byte = 0; byte < 256; ++byte)
    t.set(byte, double(byte) * scale);
  return t;
}
llvm::Expected<Batch> Batch::create(const FunctionInterface &f,
                                    const Examples &data) {
  Batch b;
  std::string text; // the argument that is one
  for (const Port &p : f.inputs) {
    if (p.name == "seed" && p.type.shape.empty() && !p.type.isFloat()) {
      b.ports.push_back(
          {Part::Seed, HostTensor(p.type), Block64(p.type.byteCount())});
      continue;
    }
    if (p.type.shape.empty())
      return llvm::createStringError(
          "@" + f.name + " takes a scalar, %" + p.name +
          ", which no data set has; a whole number %seed is another one in "
          "each step");
    if (data.isText && p.type.isFloat())
      return llvm::createStringError("@" + f.name + " takes floats, %" +
                                     p.name + ", but a text has bytes: i32");
    if (data.isText && !text.empty())
      return llvm::createStringError(
          "@" + f.name + " takes %" + text + " and %" + p.name +
          ", but a text is one: cut it up in the function, with 'slice'");
    text = p.name;
    bool image = p.type.isFloat() || data.isText;
    int64_t size = p.type.shape[0],
            each = p.type.elements() / std::max<int64_t>(size, 1);
    int64_t have = image ? data.features() : 1;
    if (each != have)
      return llvm::createStringError(llvm::formatv(
          "%{0} takes {1} numbers an example, but the data have {2} ({3})",
          p.name, each, have, image ? data.images.str() : data.labels.str()));
    if (p.type.type == DType::I1)
      return llvm::createStringError(
          "%" + p.name + " takes truth values, which no data set has");
    b.size = size;
    b.ports.push_back({image ? Part::Image : Part::Label,
                       asNumbers(p.type.type, p.type.isFloat() ? 1.0 / 255 : 1),
                       Block64(p.type.byteCount())});
  }
  return b;
}

/// Example `e` of `each` bytes as numbers, to a row.
template <typename Bits>
static void copy(const HostTensor &from, int64_t e, int64_t each,
                 const HostTensor &numbers, char *to, int64_t row) {
  const auto *source =
      reinterpret_cast<const uint8_t *>(from.bytes.data()) + e * each;
  const auto *table = reinterpret_cast<const Bits *>(numbers.bytes.data());
  Bits *target = reinterpret_cast<Bits *>(to) + row * each;
  for (int64_t i = 0; i < each; ++i)
    target[i] = table[source[i]];
}
static void copyRow(const HostTensor &from, int64_t e, int64_t each,
                    const HostTensor &numbers, char *to, int64_t row) {
  switch (dtypeBytes(numbers.type)) {
  case 1:
    return copy<uint8_t>(from, e, each, numbers, to, row);
  case 2:
    return copy<uint16_t>(from, e, each, numbers, to, row);
  case 4:
    return copy<uint32_t>(from, e, each, numbers, to, row);
  default:
    return copy<uint64_t>(from, e, each, numbers, to, row);
  }
}

void Batch::fill(const Examples &data, ArrayRef<int64_t> examples,
                 int64_t seed) {
  for (Part &part : ports) {
    if (part.kind == Part::Seed) {
      part.numbers.set(0, double(seed));
      std::memcpy(part.memory.data(), part.numbers.bytes.data(),
                  part.numbers.bytes.size());
      continue;
    }
    for (auto [row, e] : llvm::enumerate(examples))
      if (part.kind == Part::Image)
        copyRow(data.images, e, data.features(), part.numbers,
                part.memory.data(), row);
      else
        copyRow(data.labels, e, 1, part.numbers, part.memory.data(), row);
  }
}
SmallVector<const void *> Batch::pointers() {
  return llvm::map_to_vector(
      ports, [](Part &p) -> const void * { return p.memory.data(); });
}
std::vector<HostTensor> Batch::tensors(const FunctionInterface &f) {
  std::vector<HostTensor> all;
  for (auto [p, part] : llvm::zip(f.inputs, ports)) {
    HostTensor &t = all.emplace_back(p.type);
    std::memcpy(t.bytes.data(), part.memory.data(), t.bytes.size());
  }
  return all;
}
