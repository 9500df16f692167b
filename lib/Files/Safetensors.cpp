//===- Safetensors.cpp - checkpoints --------------------------------------===//
//
// The safetensors format: the length of a JSON header as a little-endian
// 64-bit number, the header, the elements. Each tensor has `dtype`, `shape`
// and `data_offsets`, from the end of the header.
//
//===----------------------------------------------------------------------===//

#include "gradus/Files.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"

using namespace gradus;
using llvm::StringRef;
namespace json = llvm::json;

static constexpr std::pair<DType, llvm::StringLiteral> dtypes[] = {
    {DType::F32, "F32"}, {DType::F64, "F64"},   {DType::I32, "I32"},
    {DType::I64, "I64"}, {DType::I1, "BOOL"},   {DType::U8, "U8"},
    {DType::F16, "F16"}, {DType::BF16, "BF16"}, {DType::I8, "I8"},
};

static llvm::Error failed(StringRef path, const llvm::Twine &what) {
  return llvm::createStringError(path + ": " + what);
}

static llvm::Expected<HostTensor> readTensor(StringRef path, StringRef name,
                                             const json::Value &entry,
                                             StringRef data) {
  auto bad = [&](const llvm::Twine &what) {
    return failed(path, "tensor '" + name + "' " + what);
  };
  const json::Object *o = entry.getAsObject();
  if (!o)
    return bad("is not described by an object");
  HostTensor t;
  auto dtype = o->getString("dtype");
  const auto *known = llvm::find_if(
      dtypes, [&](auto &d) { return dtype && d.second == *dtype; });
  if (known == std::end(dtypes))
    return bad("has the dtype '" + dtype.value_or("(none)") +
               "', which is not read");
  t.type = known->first;
  const json::Array *shape = o->getArray("shape"),
                    *offsets = o->getArray("data_offsets");
  if (!shape || !offsets || offsets->size() != 2)
    return bad("lacks a shape or its two data_offsets");
  int64_t bytes = dtypeBytes(t.type);
  for (const json::Value &v : *shape) {
    auto n = v.getAsInteger();
    if (!n || *n < 0 || __builtin_mul_overflow(bytes, *n, &bytes))
      return bad("has a shape that is no list of sizes");
    t.shape.push_back(*n);
  }
  auto begin = (*offsets)[0].getAsInteger(), end = (*offsets)[1].getAsInteger();
  if (!begin || !end || *begin < 0 || *end < *begin ||
      *end > int64_t(data.size()))
    return bad("lies outside the file: it is cut short or damaged");
  if (*end - *begin != bytes)
    return bad("is " + t.str() + ", which takes " + llvm::Twine(bytes) +
               " bytes, but has " + llvm::Twine(*end - *begin));
  t.bytes.assign(data.begin() + *begin, data.begin() + *end);
  return t;
}

llvm::Expected<Checkpoint> gradus::readSafetensors(StringRef path) {
  auto file = readFile(path);
  if (!file)
    return file.takeError();
  StringRef all(file->data(), file->size());
  if (all.size() < 8)
    return failed(path, "is no safetensors file: it is shorter than 8 bytes");
  uint64_t length = llvm::support::endian::read64le(all.data());
  if (length > all.size() - 8)
    return failed(
        path, "is cut short or no safetensors file: its header would take " +
                  llvm::Twine(length) + " bytes, but the file has " +
                  llvm::Twine(all.size()));
  auto header = json::parse(all.substr(8, length));
  if (!header || !header->getAsObject()) {
    if (!header)
      llvm::consumeError(header.takeError());
    return failed(path, "is no safetensors file: its header is no JSON object");
  }
  Checkpoint c;
  StringRef data = all.drop_front(8 + length);
  for (const auto &[key, value] : *header->getAsObject()) {
    if (key == "__metadata__") {
      if (const json::Object *o = value.getAsObject())
        for (const auto &[k, v] : *o)
          c.metadata[k.str()] = v.getAsString().value_or("").str();
      continue;
    }
    auto t = readTensor(path, key, value, data);
    if (!t)
      return t.takeError();
    c.tensors[key.str()] = std::move(*t);
  }
  return c;
}

llvm::Error gradus::writeSafetensors(StringRef path, const Checkpoint &c) {
  json::Object header;
  json::Object metadata;
  for (const auto &[k, v] : c.metadata)
    metadata[k] = v;
  header["__metadata__"] = std::move(metadata);
  int64_t offset = 0;
  for (const auto &[name, t] : c.tensors) {
    const auto *known = llvm::find_if(
        dtypes, [&, &t = t](auto &d) { return d.first == t.type; });
    int64_t end = offset + int64_t(t.bytes.size());
    header[name] = json::Object{{"dtype", known->second.str()},
                                {"shape", json::Array(t.shape)},
                                {"data_offsets", json::Array{offset, end}}};
    offset = end;
  }
  std::string text;
  llvm::raw_string_ostream(text) << json::Value(std::move(header));
  // Tensors start aligned: spaces are allowed after the header.
  text.resize(llvm::alignTo(text.size() + 8, 64) - 8, ' ');
  std::vector<char> file(8);
  llvm::support::endian::write64le(file.data(), text.size());
  file.insert(file.end(), text.begin(), text.end());
  for (const auto &[name, t] : c.tensors)
    file.insert(file.end(), t.bytes.begin(), t.bytes.end());
  return writeFile(path, file);
}
