//===- Run.cpp - gradus run, gradus bench: a function compiled and called -===//

#include "CheckNan.h"
#include "Command.h"
#include "llvm/Support/FormatVariadic.h"
#include <chrono>

using namespace gradus;
using namespace gradus::tool;
using Clock = std::chrono::steady_clock;

namespace {
struct CallOptions : CommonOptions {
  cl::opt<std::string> function{
      "function", cl::desc("The function to call (default: the only one)"),
      cl::cat(category)};
  cl::opt<std::string> load{"load", cl::desc("Parameters from this checkpoint"),
                            cl::value_desc("file.safetensors"),
                            cl::cat(category)};
  cl::opt<int64_t> seed{"seed", cl::desc("Seed of the initial parameters"),
                        cl::init(0), cl::cat(category)};

  CompileOptions compileOptions() const {
    CompileOptions o = CommonOptions::compileOptions();
    if (!function.empty())
      o.functions = {function};
    return o;
  }
};
} // namespace

/// Compiles the model and links it into this process.
static llvm::Expected<Program> build(const CommonOptions &options,
                                     Compilation &c) {
  options.configure(c);
  if (failed(c.parse(options.input)))
    return llvm::createStringError("");
  return Program::of(c);
}

static llvm::Error writeOutputs(const FunctionInterface &f,
                                ArrayRef<HostTensor> results,
                                ArrayRef<std::string> wanted) {
  llvm::StringMap<std::string> files;
  for (const std::string &w : wanted) {
    auto [name, file] = StringRef(w).split('=');
    if (!file.consume_front("@") || file.empty())
      return llvm::createStringError("--output " + w +
                                     ": write name=@file.npy");
    if (llvm::none_of(f.outputs,
                      [&, n = name](const Port &p) { return p.name == n; })) {
      std::string known;
      for (const Port &p : f.outputs)
        known += (known.empty() ? "" : ", ") + p.name;
      return llvm::createStringError("@" + f.name + " has no output '" + name +
                                     "'; its outputs are " + known);
    }
    files[name] = file.str();
  }
  for (auto [p, t] : llvm::zip(f.outputs, results)) {
    auto it = files.find(p.name);
    if (it == files.end())
      printTensor(llvm::outs(), p.name, t);
    else if (auto e = writeNpy(it->second, t))
      return e;
  }
  return llvm::Error::success();
}

/// The options with the sizes that the inputs have.
static CompileOptions sizedAs(CompileOptions o, const FunctionInterface &f,
                              ArrayRef<HostTensor> inputs) {
  auto sizes = llvm::cantFail(inputSizes(f, inputs)); // the call had them
  for (auto [s, n] : llvm::zip(f.sizes, sizes))
    o.dims.push_back(s.name + "=" + std::to_string(n));
  o.bounds.clear();
  o.special.clear();
  return o;
}

int tool::runCommand(int argc, char **argv) {
  CallOptions options;
  cl::list<std::string> inputs{
      "input", cl::desc("An input: a number, a [list], or a file"),
      cl::value_desc("name=1.5|name=[1,2]|name=@x.npy"),
      cl::cat(options.category)};
  cl::list<std::string> outputs{"output", cl::desc("Write an output to a file"),
                                cl::value_desc("name=@y.npy"),
                                cl::cat(options.category)};
  CheckOption check(options.category);
  int exitCode;
  if (!parseOptions(
          argc, argv,
          "gradus run: compiles a model and calls one of its functions\n",
          options, exitCode))
    return exitCode;
  auto run = [&]() -> llvm::Error {
    Compilation c(options.compileOptions());
    auto program = build(options, c);
    if (!program)
      return program.takeError();
    auto f = chooseFunction(program->interface(), options.function);
    if (!f)
      return f.takeError();
    auto values = readInputs(**f, inputs);
    if (!values)
      return values.takeError();
    Variables variables(*program);
    if (auto e =
            startVariables(*program, variables, options.load, options.seed))
      return e;
    Checkpoint before = variables.save();
    auto results = callWith(*program, **f, variables.data(), *values);
    if (!results)
      return results.takeError();
    if (check == Check::Nan && holdsNan(variables.save(), *results))
      return explainNan(options,
                        sizedAs(options.compileOptions(), **f, *values),
                        (*f)->name, before, *values);
    return writeOutputs(**f, *results, outputs);
  };
  return report(run());
}

//===----------------------------------------------------------------------===//
// bench
//===----------------------------------------------------------------------===//

/// Numbers that no operation can skip: small, of both signs, not zero.
static void fillWithNumbers(HostTensor &t) {
  for (int64_t i = 0; i < t.elements(); ++i) {
    int64_t whole = i * 7919 % 11;
    t.set(i, t.isFloat()           ? double(whole) / 8 - 0.6
             : t.type == DType::I1 ? double(whole % 2)
                                   : double(whole % 10));
  }
}

/// `1.234 ms`
static std::string inUnits(double seconds) {
  for (auto [unit, factor] : {std::pair{"s", 1.0}, {"ms", 1e3}, {"us", 1e6}})
    if (seconds * factor >= 1)
      return llvm::formatv("{0:f3} {1}", seconds * factor, unit);
  return llvm::formatv("{0:f1} ns", seconds * 1e9);
}

int tool::benchCommand(int argc, char **argv) {
  CallOptions options;
  cl::opt<unsigned> runs{"runs",
                         cl::desc("Timings after the warm-up, of one call or "
                                  "of enough for the clock"),
                         cl::init(10), cl::cat(options.category)};
  cl::opt<bool> first{
      "first", cl::desc("Call it once, without a warm-up, and time that"),
      cl::cat(options.category)};
  int exitCode;
  if (!parseOptions(argc, argv,
                    "gradus bench: times a compiled function: one warm-up, "
                    "then the mean of several calls\n",
                    options, exitCode))
    return exitCode;
  auto run = [&]() -> llvm::Error {
    if (runs == 0)
      return llvm::createStringError("--runs must be at least 1");
    Compilation c(options.compileOptions());
    auto begin = Clock::now();
    auto program = build(options, c);
    if (!program)
      return program.takeError();
    double compiled =
        std::chrono::duration<double>(Clock::now() - begin).count();
    auto chosen = chooseFunction(program->interface(), options.function);
    if (!chosen)
      return chosen.takeError();
    const FunctionInterface &f = **chosen;
    Variables variables(*program);
    if (auto e =
            startVariables(*program, variables, options.load, options.seed))
      return e;
    std::vector<Block64> blocks;
    SmallVector<const void *> in;
    SmallVector<void *> out;
    for (const Port &p : f.inputs) {
      HostTensor t(p.type);
      fillWithNumbers(t);
      blocks.emplace_back(t.bytes.size());
      std::memcpy(blocks.back().data(), t.bytes.data(), t.bytes.size());
      in.push_back(blocks.back().data());
    }
    for (const Port &p : f.outputs) {
      blocks.emplace_back(p.type.byteCount());
      out.push_back(blocks.back().data());
    }
    Block64 arena = program->memory(f.arenaBytes);
    Program::Call call =
        program->bind(f, variables.data(), in, out, arena.data());
    const char *problem = nullptr; // what the last call says
    auto secondsOf = [&](int64_t calls) {
      auto start = Clock::now();
      for (int64_t i = 0; i < calls; ++i)
        problem = call();
      return std::chrono::duration<double>(Clock::now() - start).count() /
             double(calls);
    };
    double once = secondsOf(1);
    if (problem)
      return llvm::createStringError(problem);
    if (first) {
      llvm::outs() << "@" << f.name << ": first call " << inUnits(once)
                   << "; compiled in " << inUnits(compiled) << "\n";
      return llvm::Error::success();
    }
    // Calls that are short beside the clock's own time are timed together.
    once = std::min(once, secondsOf(1)); // that was a warm-up
    constexpr double shortest = 1e-4;
    int64_t together =
        once >= shortest ? 1 : int64_t(shortest / std::max(once, 1e-9)) + 1;
    double sum = 0, best = INFINITY;
    for (unsigned i = 0; i < runs; ++i) {
      double t = secondsOf(together);
      sum += t;
      best = std::min(best, t);
    }
    double mean = sum / runs;
    llvm::outs() << llvm::formatv("@{0}: mean of {1} runs {2}, best {3}",
                                  f.name, unsigned(runs), inUnits(mean),
                                  inUnits(best));
    if (f.productFlops > 0)
      llvm::outs() << llvm::formatv(", {0:f1} GFLOP/s (best {1:f1})",
                                    f.productFlops / mean / 1e9,
                                    f.productFlops / best / 1e9);
    llvm::outs() << llvm::formatv("; compiled in {0:f3} s\n", compiled);
    return llvm::Error::success();
  };
  return report(run());
}
