//===- Constants.cpp - a checkpoint's values in the object ----------------===//
//
// Gives the constants of a frozen model their bytes: as the model has them, or
// in the form that a product reads.
//
//===----------------------------------------------------------------------===//

#include "Constants.h"
#include "gradus/Lowering.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Module.h"

using namespace gradus;

/// A matrix in panels; what lies past its columns or its last whole word is
/// zero, before bits are flipped. `form` as in lowering::panelsAttr.
static void packPanels(const HostTensor &from, ArrayRef<int64_t> form,
                       char *to) {
  int64_t panel = form[1], columns = form[2], columnStride = form[3];
  int64_t wordElements = form[4], wordsAtOnce = form[5];
  bool flips = form[6] != 0;
  ArrayRef<int64_t> loops = form.drop_front(7);
  int64_t depth = loops[loops.size() - 2], stride = loops.back();
  // Where the innermost loop begins in the constant, each time.
  std::vector<int64_t> starts{0};
  for (; loops.size() > 2; loops = loops.drop_front(2)) {
    std::vector<int64_t> inner;
    for (int64_t start : starts)
      for (int64_t i = 0; i < loops[0]; ++i)
        inner.push_back(start + i * loops[1]);
    starts = std::move(inner);
  }
  int64_t bytes = dtypeBytes(from.type);
  int64_t filled =
      llvm::alignTo(llvm::divideCeil(depth, wordElements), wordsAtOnce) *
      wordElements;
  for (int64_t first = 0; first < columns; first += panel)
    for (int64_t start : starts) {
      for (int64_t k = 0; k < depth; ++k)
        for (int64_t j = 0; j < std::min(panel, columns - first); ++j) {
          int64_t word = k / wordElements * panel + j;
          int64_t place = word * wordElements + k % wordElements;
          int64_t source = start + k * stride + (first + j) * columnStride;
          std::memcpy(to + place * bytes, from.bytes.data() + source * bytes,
                      bytes);
        }
      for (char &byte : llvm::MutableArrayRef(to, panel * filled * bytes))
        byte ^= flips ? char(0x80) : 0;
      to += panel * filled * bytes;
    }
}

/// G g G' of every filter, where G = (1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1)
/// (Lavin and Gray 2015), in the order of operations of compiled code
/// (lib/Cpu/Winograd.cpp). `form` as in lowering::winogradAttr.
template <typename T>
static void transformFilters(const T *from, ArrayRef<int64_t> form, T *to) {
  int64_t channels = form[1], columns = form[2];
  auto timesG = [](const T *g, int64_t step, T *out) {
    T ends = g[0] + g[2 * step];
    out[0] = g[0];
    out[step] = (ends + g[step]) * T(0.5);
    out[2 * step] = (ends - g[step]) * T(0.5);
    out[3 * step] = g[2 * step];
  };
  for (int64_t i = 0; i < channels; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      T taps[9], columnsDone[12], points[16];
      for (int64_t r = 0; r < 3; ++r)
        for (int64_t t = 0; t < 3; ++t)
          taps[3 * r + t] = from[form[3] + r * form[4] + t * form[5] +
                                 i * form[6] + j * form[7]];
      for (int64_t t = 0; t < 3; ++t)
        timesG(taps + t, 3, columnsDone + t);
      for (int64_t r = 0; r < 4; ++r)
        timesG(columnsDone + 3 * r, 1, points + 4 * r);
      for (int64_t p = 0; p < 16; ++p)
        to[(p * channels + i) * columns + j] = points[p];
    }
}

std::string gradus::whatDoesNotFit(const Checkpoint &c,
                                   ArrayRef<VariableInfo> variables) {
  std::string wrong;
  for (const VariableInfo &v : variables) {
    auto it = c.tensors.find(v.name);
    if (it == c.tensors.end())
      wrong += "\n  " + v.name + ": " + v.type.str() +
               " in the model, not in the checkpoint";
    else if (it->second.type != v.type.type || it->second.shape != v.type.shape)
      wrong += "\n  " + v.name + ": " + v.type.str() + " in the model, " +
               it->second.str() + " in the checkpoint";
  }
  return wrong;
}

llvm::Expected<Checkpoint>
gradus::readConstants(StringRef path, ArrayRef<VariableInfo> variables) {
  auto c = readSafetensors(path);
  if (!c)
    return c.takeError();
  std::string wrong = whatDoesNotFit(*c, variables);
  if (!wrong.empty())
    return llvm::createStringError(path + ": does not fit the model:" + wrong);
  return c;
}

void gradus::embedConstants(llvm::Module &module, ArrayAttr constants,
                            const Checkpoint &checkpoint) {
  llvm::GlobalVariable *block =
      module.getNamedGlobal(lowering::constantsSymbol);
  if (!block)
    return;
  std::string bytes(block->getValueType()->getArrayNumElements(), 0);
  for (Attribute a : constants) {
    auto constant = cast<DictionaryAttr>(a);
    const HostTensor &value =
        checkpoint.tensors.at(constant.getAs<StringAttr>("name").str());
    char *to = bytes.data() + constant.getAs<IntegerAttr>("offset").getInt();
    auto form = [&](StringRef name) {
      auto numbers = constant.getAs<DenseI64ArrayAttr>(name);
      return numbers ? numbers.asArrayRef() : ArrayRef<int64_t>();
    };
    const char *from = value.bytes.data();
    if (auto panels = form(lowering::panelsAttr); !panels.empty())
      packPanels(value, panels, to);
    else if (auto w = form(lowering::winogradAttr); w.empty())
      std::memcpy(to, from, value.bytes.size());
    else if (value.type == DType::F32)
      transformFilters(reinterpret_cast<const float *>(from), w,
                       reinterpret_cast<float *>(to));
    else
      transformFilters(reinterpret_cast<const double *>(from), w,
                       reinterpret_cast<double *>(to));
  }
  block->setInitializer(llvm::ConstantDataArray::getRaw(
      bytes, bytes.size(), llvm::Type::getInt8Ty(module.getContext())));
  block->setConstant(true);
}
