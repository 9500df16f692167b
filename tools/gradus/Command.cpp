//===- Command.cpp - what the commands of gradus share --------------------===//

#include "Command.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Threading.h"
#include <charconv>
#include <unistd.h>

using namespace gradus;
using namespace gradus::tool;
using llvm::formatv;

static constexpr unsigned mostThreads = 256;

FreeNames::FreeNames() {
  auto &known = cl::getRegisteredOptions();
  if (auto it = known.find("threads"); it != known.end())
    it->second->removeArgument();
}

static unsigned usableProcessors() {
  return std::clamp(llvm::hardware_concurrency().compute_thread_count(), 1U,
                    mostThreads);
}

/// "64MB", "1.5GiB" or a number of bytes.
static std::optional<int64_t> parseSize(StringRef text) {
  static constexpr std::pair<llvm::StringLiteral, double> units[] = {
      {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024 * 1024 * 1024},
      {"KB", 1e3},   {"MB", 1e6},          {"GB", 1e9},
  };
  double unit = 1, number;
  for (auto [name, bytes] : units)
    if (text.consume_back_insensitive(name)) {
      unit = bytes;
      break;
    }
  constexpr double most = 0x1p62;
  if (text.rtrim().getAsDouble(number) || !(number * unit >= 1) ||
      number * unit > most)
    return std::nullopt;
  return static_cast<int64_t>(number * unit);
}

CompileOptions CommonOptions::compileOptions(Purpose purpose) const {
  CompileOptions o;
  for (const std::string &text : dims) {
    auto [name, most] = StringRef(text).split("<=");
    if (most.empty())
      o.dims.push_back(text);
    else
      o.bounds.push_back((name + "=" + most).str());
  }
  if (!specialize.empty()) {
    auto [name, sizes] = StringRef(specialize).split(':');
    for (StringRef size : llvm::split(sizes, ','))
      o.special.push_back((name + "=" + size).str());
  }
  for (StringRef name : llvm::split(march, ','))
    (name.starts_with("sm_") ? o.gpu : o.cpu) = name.str();
  if (isGpu() && o.gpu.empty())
    o.gpu = "sm_80";
  if (!isGpu())
    o.triple = target;
  static constexpr llvm::StringLiteral precisions[] = {"strict", "f32", "tf32",
                                                       "f16", "bf16"};
  o.precision = precisions[static_cast<int>(matmulPrecision.getValue())].str();
  static constexpr llvm::StringLiteral packings[] = {"auto", "always", "never"};
  o.packing = packings[static_cast<int>(gpuPack.getValue())].str();
  o.features = mattr;
  o.optLevel = level;
  o.cacheDir = cacheDir;
  o.memoryLimit = parseSize(memoryLimit).value_or(0);
  o.winograd = winograd == Switch::On;
  if (threads > 0)
    o.threads = threads;
  else if (purpose == Purpose::Run)
    o.threads = usableProcessors();
  return o;
}
void CommonOptions::configure(Compilation &c) const {
  c.dumpDirectory = dumpDir;
  c.printTiming = timing;
  c.reproducer = reproducer;
}

bool tool::parseOptions(int argc, char **argv, StringRef about,
                        CommonOptions &options, int &exitCode) {
  mlir::registerPassManagerCLOptions();
  mlir::registerDefaultTimingManagerCLOptions();
  cl::HideUnrelatedOptions(options.category);
  // Errors go through a stream of our own: cl would exit with 1.
  std::string errors;
  llvm::raw_string_ostream os(errors);
  if (cl::ParseCommandLineOptions(argc, argv, about, &os)) {
    if (options.level > 3)
      errors = "-O takes 0, 1, 2 or 3\n";
    else if (!options.isGpu() && StringRef(options.march).starts_with("sm_"))
      errors = "-mcpu=" + options.march + " is a GPU: say --target=nvptx64\n";
    else if ((options.threads.getNumOccurrences() && options.threads == 0) ||
             options.threads > mostThreads)
      errors = "--threads takes 1 to 256\n";
    else if (!options.memoryLimit.empty() && !parseSize(options.memoryLimit))
      errors = "--memory-limit takes a size, as in 64MB; '" +
               options.memoryLimit + "' is none\n";
    else
      return true;
  }
  llvm::errs() << errors;
  exitCode = Usage;
  return false;
}

int tool::report(llvm::Error e) {
  if (!e)
    return Ok;
  std::string message = llvm::toString(std::move(e));
  if (!message.empty())
    llvm::errs() << "error: " << message << "\n";
  return Diagnosed;
}

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

static llvm::Error error(const Twine &message) {
  return llvm::createStringError(message);
}

static bool storeNumber(StringRef text, DType type, char *at) {
  auto put = [&](auto v) {
    std::memcpy(at, &v, sizeof v);
    return true;
  };
  double d;
  int64_t i;
  switch (type) {
  case DType::F32:
    return !text.getAsDouble(d) && put(float(d));
  case DType::F64:
    return !text.getAsDouble(d) && put(d);
  case DType::F16:
  case DType::BF16: {
    HostTensor t({type, {}});
    if (text.getAsDouble(d))
      return false;
    t.set(0, d);
    std::memcpy(at, t.bytes.data(), t.bytes.size());
    return true;
  }
  case DType::I8:
    return !text.getAsInteger(0, i) && i >= INT8_MIN && i <= INT8_MAX &&
           put(int8_t(i));
  case DType::I32:
    return !text.getAsInteger(0, i) && i >= INT32_MIN && i <= INT32_MAX &&
           put(int32_t(i));
  case DType::I64:
    return !text.getAsInteger(0, i) && put(i);
  default:
    if (text == "true" || text == "false")
      return put(uint8_t(text == "true"));
    return !text.getAsInteger(0, i) && (i == 0 || i == 1) && put(uint8_t(i));
  }
}

/// `1.5`, which fills any shape, or `[1, 2, 3]`, row-major.
static llvm::Expected<HostTensor> parseInput(const Port &port, StringRef text) {
  TensorSpec type = port.type;
  SmallVector<StringRef> numbers;
  bool list = text.consume_front("[");
  if (list && !text.consume_back("]"))
    return error("--input " + port.name + ": a list ends in ']'");
  if (list)
    for (StringRef rest = text.trim(); !rest.empty();) {
      auto [head, tail] = rest.split(',');
      numbers.push_back(head.trim(" []"));
      rest = tail.trim();
    }
  else
    numbers.push_back(text);
  // A list tells how many rows there are.
  if (int64_t n = numbers.size();
      list && !port.rows.empty() && type.elements() > 0) {
    int64_t each = type.elements() / type.shape[0];
    if (n % each == 0 && n / each <= type.shape[0])
      type.shape[0] = n / each;
  }
  HostTensor t(type);
  if (list && int64_t(numbers.size()) != t.elements())
    return error(formatv("--input {0}: {1} numbers are given, but {0} is {2}",
                         port.name, numbers.size(), port.str()));
  int64_t size = dtypeBytes(t.type);
  for (int64_t i = 0; i < t.elements(); ++i) {
    StringRef n = list ? numbers[i] : numbers[0];
    if (!storeNumber(n, t.type, t.bytes.data() + i * size))
      return error(formatv("--input {0}: '{1}' is no {2}", port.name, n,
                           dtypeName(t.type)));
  }
  return t;
}

llvm::Expected<std::vector<HostTensor>>
tool::readInputs(const FunctionInterface &f, ArrayRef<std::string> given) {
  std::map<std::string, StringRef> values;
  std::string known;
  for (const Port &p : f.inputs)
    known += (known.empty() ? "" : ", ") + p.name + ": " + p.str();
  for (const std::string &g : given) {
    auto [name, value] = StringRef(g).split('=');
    if (value.empty())
      return error("--input " + g +
                   ": write name=number, name=[list] or name=@file.npy");
    if (llvm::none_of(f.inputs,
                      [&, n = name](const Port &p) { return p.name == n; }))
      return error("@" + f.name + " has no input '" + name +
                   "'; its inputs are " + (known.empty() ? "none" : known));
    if (!values.emplace(name.str(), value).second)
      return error("--input " + name + " is given twice");
  }
  std::vector<HostTensor> inputs;
  for (const Port &p : f.inputs) {
    auto it = values.find(p.name);
    if (it == values.end())
      return error("@" + f.name + " needs --input " + p.name +
                   "=...; its inputs are " + known);
    StringRef text = it->second;
    bool file = text.consume_front("@");
    auto t = file ? readNpy(text) : parseInput(p, text);
    if (!t)
      return t.takeError();
    TensorSpec want = p.type;
    if (!p.rows.empty() && !t->shape.empty())
      want.shape[0] = t->shape[0]; // the call looks at its bound
    if (t->type != want.type || t->shape != want.shape)
      return error(text + ": holds " + t->str() + ", but %" + p.name + " is " +
                   p.str());
    if (int64_t at = firstNonFinite(*t); file && at >= 0)
      return error(
          formatv("{0}: element {1} is {2}; a model takes finite numbers", text,
                  at, t->at(at)));
    inputs.push_back(std::move(*t));
  }
  return inputs;
}

llvm::Expected<const FunctionInterface *>
tool::chooseFunction(const ModelInterface &model, StringRef name) {
  std::string names;
  SmallVector<const FunctionInterface *> candidates;
  for (const FunctionInterface &f : model.functions) {
    if (f.name == name)
      return &f;
    if (f.name != "init")
      candidates.push_back(&f);
    names += (names.empty() ? "" : ", ") + f.name;
  }
  if (name.empty() && candidates.size() == 1)
    return candidates[0];
  if (name.empty())
    return error("say which function with --function; the model has " + names);
  return error("the model has no function '" + name + "'; it has " + names);
}

//===----------------------------------------------------------------------===//
// Calls and results
//===----------------------------------------------------------------------===//

llvm::Expected<SmallVector<int64_t>>
tool::inputSizes(const FunctionInterface &f, ArrayRef<HostTensor> inputs) {
  SmallVector<int64_t> sizes;
  for (const SizeArgument &s : f.sizes) {
    const Port *first = nullptr;
    int64_t size = s.most;
    for (auto [p, t] : llvm::zip(f.inputs, inputs)) {
      if (p.rows != s.name)
        continue;
      if (first && t.shape[0] != size)
        return error(formatv("{0} is {1} in {2}, but {3} in {4}", s.name, size,
                             first->name, t.shape[0], p.name));
      first = &p;
      size = t.shape[0];
    }
    sizes.push_back(size);
  }
  return sizes;
}

llvm::Expected<std::vector<HostTensor>>
tool::callWith(Program &program, const FunctionInterface &f, void *variables,
               ArrayRef<HostTensor> inputs) {
  auto sizes = inputSizes(f, inputs);
  if (!sizes)
    return sizes.takeError();
  std::vector<HostTensor> results;
  for (const Port &p : f.outputs) {
    TensorSpec type = p.type;
    for (auto [s, n] : llvm::zip(f.sizes, *sizes))
      if (s.name == p.rows)
        type.shape[0] = std::clamp<int64_t>(n, 0, s.most);
    results.emplace_back(type);
  }
  // Compiled code wants aligned tensors.
  std::vector<Block64> in, out;
  SmallVector<const void *> inPointers;
  SmallVector<void *> outPointers;
  for (const HostTensor &t : inputs) {
    in.emplace_back(t.bytes.size());
    std::memcpy(in.back().data(), t.bytes.data(), t.bytes.size());
  }
  for (const HostTensor &t : results)
    out.emplace_back(t.bytes.size());
  for (Block64 &b : in)
    inPointers.push_back(b.data());
  for (Block64 &b : out)
    outPointers.push_back(b.data());
  Block64 arena = program.memory(f.arenaBytes);
  if (const char *wrong = program.bind(f, variables, inPointers, outPointers,
                                       arena.data(), *sizes)())
    return error(wrong);
  for (auto [t, b] : llvm::zip(results, out))
    std::memcpy(t.bytes.data(), b.data(), t.bytes.size());
  return results;
}

llvm::Error tool::startVariables(Program &program, Variables &variables,
                                 StringRef checkpoint, int64_t seed) {
  if (program.interface().variables.empty())
    return checkpoint.empty()
               ? llvm::Error::success()
               : error("--load: the model has no variables to load");
  if (!checkpoint.empty()) {
    auto c = readSafetensors(checkpoint);
    if (!c)
      return c.takeError();
    return variables.load(*c, checkpoint);
  }
  const FunctionInterface *init = program.interface().find("init");
  Block64 arena = program.memory(init->arenaBytes);
  return program.call(*init, variables.data(), {&seed}, {}, arena.data());
}

static std::string numberText(const HostTensor &t, int64_t i) {
  if (t.type == DType::I1)
    return t.at(i) != 0 ? "true" : "false";
  if (!t.isFloat())
    return std::to_string(int64_t(t.at(i)));
  // The fewest digits that read back as the same number.
  char buffer[32];
  auto end = t.type == DType::F64
                 ? std::to_chars(buffer, buffer + 32, t.at(i))
                 : std::to_chars(buffer, buffer + 32, float(t.at(i)));
  return std::string(buffer, end.ptr);
}

/// The elements from `at` in nested brackets, long axes shortened.
static void printNested(llvm::raw_ostream &os, const HostTensor &t, size_t axis,
                        int64_t at, int64_t size, unsigned indent) {
  if (axis == t.shape.size()) {
    os << numberText(t, at);
    return;
  }
  constexpr int64_t shown = 8;
  int64_t n = t.shape[axis], inner = size / std::max<int64_t>(n, 1);
  bool rows = axis + 1 < t.shape.size();
  os << "[";
  for (int64_t i = 0; i < n; ++i) {
    if (i)
      os << (rows ? ",\n" + std::string(indent + axis + 1, ' ') : ", ");
    if (n > shown && i == shown / 2) {
      os << "...";
      i = n - shown / 2 - 1;
      continue;
    }
    printNested(os, t, axis + 1, at + i * inner, inner, indent);
  }
  os << "]";
}

void tool::printTensor(llvm::raw_ostream &os, StringRef name,
                       const HostTensor &t) {
  os << name << " = ";
  if (t.shape.empty()) {
    os << numberText(t, 0) << "\n";
    return;
  }
  os << t.str() << "\n  ";
  printNested(os, t, 0, 0, t.elements(), 2);
  os << "\n";
}
