//===- SamplePool.cpp - the samples that programs are made of -------------===//

#include "SamplePool.h"
#include "gradus/Pipeline.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Regex.h"

using namespace gradus;
using namespace gradus::graph;

std::pair<std::string, SmallVector<int64_t>>
gradus::parseShape(StringRef text) {
  auto [element, rest] = text.split('[');
  SmallVector<int64_t> sizes;
  SmallVector<StringRef> parts;
  rest.drop_back().split(parts, ',', -1, /*KeepEmpty=*/false);
  for (StringRef part : parts) {
    int64_t n = 0;
    part.trim().getAsInteger(10, n);
    sizes.push_back(n);
  }
  return {element.str(), sizes};
}
std::string gradus::shapeText(StringRef element, ArrayRef<int64_t> sizes) {
  std::string s = (element + "[").str();
  llvm::raw_string_ostream os(s);
  llvm::interleaveComma(sizes, os);
  return s + "]";
}

/// A program's floats are f32 alone; another element is put in its place.
static bool isUsable(StringRef sample) {
  return llvm::none_of(ArrayRef<StringRef>{"f16", "i8[", "f64", "= i8"},
                       [&](StringRef s) { return sample.contains(s); });
}

/// A function that returns what the sample's op does; none if the op does not
/// take its operands.
static mlir::OwningOpRef<ModuleOp> functionOf(const ProgramText &text,
                                              MLIRContext *ctx) {
  auto module = parseAlone(text, ctx);
  if (!module)
    return module;
  module->walk([&](FuncOp f) {
    Block &body = f.getBody().front();
    auto results = body.front().getResults();
    body.getTerminator()->setOperands(results);
    f.setFunctionType(
        FunctionType::get(ctx, f.getArgumentTypes(), results.getTypes()));
  });
  return module;
}
static FuncOp onlyFunction(ModuleOp module) {
  FuncOp found;
  module.walk([&](FuncOp f) { found = f; });
  return found;
}
static std::optional<PooledSample> parseSample(StringRef op, ProgramText text,
                                               MLIRContext *ctx) {
  auto module = functionOf(text, ctx);
  if (!module)
    return std::nullopt;
  return PooledSample{op.str(), std::move(text),
                      llvm::to_vector(onlyFunction(*module).getResultTypes())};
}

std::vector<std::vector<PooledSample>> gradus::pooledSamples(MLIRContext *ctx) {
  std::vector<std::vector<PooledSample>> all;
  for (auto name : ctx->getRegisteredOperationsByDialect("graph")) {
    auto *documented = name.getInterface<Documented>();
    if (!documented || name.hasTrait<BlocksGradient>())
      continue;
    std::vector<PooledSample> own;
    for (StringRef s : documented->getSamples())
      if (isUsable(s))
        if (auto sample =
                parseSample(name.stripDialect(), takeSampleApart(s), ctx))
          own.push_back(std::move(*sample));
    if (!own.empty())
      all.push_back(std::move(own));
  }
  return all;
}

//===----------------------------------------------------------------------===//
// Other sizes
//===----------------------------------------------------------------------===//

static std::string withSize(StringRef type, int64_t from, int64_t to) {
  auto [element, sizes] = parseShape(type);
  llvm::replace(sizes, from, to);
  return shapeText(element, sizes);
}
/// The same of every type in a line of the language.
static std::string withSizeInTypes(StringRef text, int64_t from, int64_t to) {
  static llvm::Regex type("[fi][0-9]+\\[[^]]*\\]");
  std::string replaced;
  SmallVector<StringRef> m;
  while (type.match(text, &m)) {
    replaced += text.take_front(m[0].data() - text.data());
    replaced += withSize(m[0], from, to);
    text = text.drop_front(m[0].end() - text.data());
  }
  return replaced + text.str();
}

static bool isSmallAndFinite(const ProgramText &text, MLIRContext *ctx) {
  auto module = functionOf(text, ctx);
  if (!module)
    return false;
  FuncOp f = onlyFunction(*module);
  constexpr int64_t most = 2000;
  if (llvm::any_of(f.getResultTypes(), [](Type t) {
        return cast<RankedTensorType>(t).getNumElements() > most;
      }))
    return false;
  if (failed(runModelPipeline(*module, "graph-decompose")))
    return false;
  std::mt19937_64 random(1);
  SmallVector<Array> args;
  for (auto [o, t] : llvm::zip(text.operands, f.getArgumentTypes()))
    args.push_back(randomArray(t, o.low, o.high, random));
  auto results = interpret(f, args);
  auto isFinite = [](const Array &a) {
    return llvm::all_of(a.data, [](double x) { return std::isfinite(x); });
  };
  return succeeded(results) && llvm::all_of(*results, isFinite);
}

std::optional<PooledSample> gradus::resized(const PooledSample &sample,
                                            int64_t from, int64_t to,
                                            MLIRContext *ctx) {
  ProgramText text = sample.text;
  for (ProgramOperand &o : text.operands) {
    // Places along the axis would lie outside it.
    if (StringRef(o.shape).starts_with("i") && o.high == double(from))
      return std::nullopt;
    o.shape = withSize(o.shape, from, to);
  }
  text.body = withSizeInTypes(text.body, from, to);
  mlir::ScopedDiagnosticHandler quiet(ctx, [](auto &) { return success(); });
  if (!isSmallAndFinite(text, ctx))
    return std::nullopt;
  return parseSample(sample.op, std::move(text), ctx);
}
