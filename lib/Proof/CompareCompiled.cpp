//===- CompareCompiled.cpp - compiled code against the reference ----------===//

#include "gradus/Compiler.h"
#include "gradus/Proof.h"

using namespace gradus;
using namespace gradus::graph;

Array gradus::roundedTo(DType type, Array a) {
  HostTensor one({type, {}});
  for (double &x : a.data) {
    one.set(0, x);
    x = one.at(0);
  }
  return a;
}
double gradus::toleranceOf(DType type) {
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

double gradus::disagreement(double want, double got) {
  return std::isnan(want) && std::isnan(got) ? 0 : relativeError(want, got);
}

static void write(const Array &a, const TensorSpec &spec, char *to) {
  HostTensor t(spec);
  for (auto [i, x] : llvm::enumerate(a.data))
    t.set(i, x);
  std::memcpy(to, t.bytes.data(), t.bytes.size());
}
static Array read(const TensorSpec &spec, const char *from) {
  HostTensor t(spec);
  std::memcpy(t.bytes.data(), from, t.bytes.size());
  Array a(spec.shape);
  for (auto [i, x] : llvm::enumerate(a.data))
    x = t.at(i);
  return a;
}

llvm::Expected<SmallVector<Array>>
gradus::callCompiled(const Program &program, const FunctionInterface &f,
                     ArrayRef<Array> args,
                     std::map<std::string, Array> &variables,
                     ArrayRef<int64_t> sizes, unsigned calls) {
  auto typeOf = [&](const Port &p) {
    TensorSpec type = p.type;
    for (auto [s, n] : llvm::zip(f.sizes, sizes))
      if (s.name == p.rows)
        type.shape[0] = n;
    return type;
  };
  const ModelInterface &model = program.interface();
  Block64 block = program.memory(model.variableBytes),
          arena = program.memory(f.arenaBytes);
  std::vector<Block64> blocks;
  SmallVector<const void *> in;
  SmallVector<void *> out;
  for (auto [p, a] : llvm::zip(f.inputs, args)) {
    TensorSpec type = typeOf(p);
    write(a, type, blocks.emplace_back(type.byteCount()).data());
    in.push_back(blocks.back().data());
  }
  for (const Port &p : f.outputs)
    out.push_back(blocks.emplace_back(typeOf(p).byteCount()).data());
  auto call = program.bind(f, block.data(), in, out, arena.data(), sizes);
  for (unsigned i = 0; i < calls; ++i) {
    for (const VariableInfo &v : model.variables)
      write(variables.at(v.name), v.type, block.data() + v.offset);
    if (const char *problem = call())
      return llvm::createStringError(problem);
  }
  for (const VariableInfo &v : model.variables)
    variables[v.name] = read(v.type, block.data() + v.offset);
  SmallVector<Array> results;
  for (auto [p, data] : llvm::zip(f.outputs, out))
    results.push_back(read(typeOf(p), static_cast<const char *>(data)));
  return results;
}

llvm::Expected<Program> gradus::compileText(StringRef text,
                                            const CompileOptions &options) {
  Compilation c(options);
  if (failed(c.parseText(text, "program")))
    return llvm::createStringError("it does not print and parse");
  return Program::of(c);
}

std::string gradus::compareCompiled(SampleModel &sample, StringRef cpu,
                                    double &worst) {
  mlir::OwningOpRef<ModuleOp> reference = sample.module->clone();
  if (failed(runModelPipeline(*reference, "graph-decompose")))
    return "does not decompose";
  std::string text;
  llvm::raw_string_ostream(text) << *sample.module;
  CompileOptions options;
  (cpu.starts_with("sm_") ? options.gpu : options.cpu) = cpu.str();
  auto program = compileText(text, options);
  if (!program)
    return "does not compile: " + llvm::toString(program.takeError());
  std::mt19937_64 random(7);
  worst = 0;
  for (const FunctionInterface &f : program->interface().functions) {
    FuncOp source;
    reference->walk([&](FuncOp g) {
      if (g.getSymName() == f.name)
        source = g;
    });
    SmallVector<Array> args;
    for (auto [i, p] : llvm::enumerate(f.inputs)) {
      auto [low, high] =
          i < sample.ranges.size() ? sample.ranges[i] : std::pair(-1.0, 1.0);
      args.push_back(
          roundedTo(p.type.type, randomArray(source.getArgumentTypes()[i], low,
                                             high, random)));
    }
    auto want = interpret(source, args);
    if (failed(want))
      return "has no reference value";
    std::map<std::string, Array> none;
    auto got = callCompiled(*program, f, args, none);
    if (!got)
      return "does not run: " + llvm::toString(got.takeError());
    for (auto [k, p] : llvm::enumerate(f.outputs))
      for (auto [i, w] : llvm::enumerate((*want)[k].data)) {
        double error = disagreement(w, (*got)[k].data[i]);
        worst = std::max(worst, error);
        if (!(error < toleranceOf(p.type.type)))
          return "compiled @" + f.name + " gives " +
                 std::to_string((*got)[k].data[i]) + " for element " +
                 std::to_string(i) + " of result " + std::to_string(k) +
                 ", the reference " + std::to_string(w);
      }
  }
  return "";
}
