//===- CompareCompiled.cpp - compiled code against the reference ----------===//

#include "gradus/Compiler.h"
#include "gradus/Proof.h"

using namespace gradus;
using namespace gradus::graph;

/// The numbers that the type holds in their place.
static Array rounded(Array a, DType type) {
  HostTensor one({type, {}});
  for (double &x : a.data) {
    one.set(0, x);
    x = one.at(0);
  }
  return a;
}
/// How far results may lie from the reference, which computes in f64: some
/// roundings of each type.
static double tolerance(DType type) {
  switch (type) {
  case DType::F64:
    return 1e-9;
  case DType::F16:
    return 4e-3;
  case DType::BF16:
    return 3e-2;
  default:
    return 5e-4;
  }
}

static Block64 inMemory(const Array &a, const TensorSpec &spec) {
  HostTensor t(spec);
  for (auto [i, x] : llvm::enumerate(a.data))
    t.set(i, x);
  Block64 block(spec.byteCount());
  std::memcpy(block.data(), t.bytes.data(), t.bytes.size());
  return block;
}

std::string gradus::compareCompiled(SampleModel &sample, StringRef cpu,
                                    double &worst) {
  mlir::OwningOpRef<ModuleOp> reference = sample.module->clone();
  if (failed(runModelPipeline(*reference, "graph-decompose")))
    return "does not decompose";
  std::string text;
  llvm::raw_string_ostream(text) << *sample.module;
  CompileOptions options;
  options.cpu = cpu.str();
  Compilation c(options);
  if (failed(c.parseText(text, "sample")))
    return "does not print and parse";
  auto objects = c.objects();
  if (!objects)
    return "does not compile: " + llvm::toString(objects.takeError());
  auto program = Program::load(*objects, c.interface());
  if (!program)
    return "does not link: " + llvm::toString(program.takeError());
  std::mt19937_64 random(7);
  worst = 0;
  for (const FunctionInterface &f : program->interface().functions) {
    FuncOp source;
    reference->walk([&](FuncOp g) {
      if (g.getSymName() == f.name)
        source = g;
    });
    SmallVector<Array> args;
    std::vector<Block64> blocks;
    SmallVector<const void *> in;
    SmallVector<void *> out;
    for (auto [i, p] : llvm::enumerate(f.inputs)) {
      auto [low, high] =
          i < sample.ranges.size() ? sample.ranges[i] : std::pair(-1.0, 1.0);
      args.push_back(
          rounded(randomArray(source.getArgumentTypes()[i], low, high, random),
                  p.type.type));
      blocks.push_back(inMemory(args.back(), p.type));
    }
    for (const Port &p : f.outputs)
      blocks.emplace_back(p.type.byteCount());
    for (auto [i, b] : llvm::enumerate(blocks))
      i < f.inputs.size() ? in.push_back(b.data()) : out.push_back(b.data());
    auto want = interpret(source, args);
    if (failed(want))
      return "has no reference value";
    Block64 arena(f.arenaBytes);
    program->call(f, nullptr, in, out, arena.data());
    for (auto [k, p] : llvm::enumerate(f.outputs)) {
      HostTensor got(p.type);
      double bound = tolerance(p.type.type);
      std::memcpy(got.bytes.data(), out[k], got.bytes.size());
      for (auto [i, w] : llvm::enumerate((*want)[k].data)) {
        double error = std::abs(w - got.at(i)) / (1 + std::abs(w));
        worst = std::isnan(error) ? INFINITY : std::max(worst, error);
        if (!(error < bound))
          return "compiled @" + f.name + " gives " + std::to_string(got.at(i)) +
                 " for element " + std::to_string(i) + " of result " +
                 std::to_string(k) + ", the reference " + std::to_string(w);
      }
    }
  }
  return "";
}
