//===- Train.cpp - a compiled step fed with data --------------------------===//
//
// The step and the metrics are compiled ahead of time to one object, which is
// linked into this process. Everything that a run depends on is the seed, the
// data and the number of steps done: a run that was killed and resumed ends
// with the same bits as one that was not.
//
//===----------------------------------------------------------------------===//

#include "Batch.h"
#include "Progress.h"
#include "gradus/Graph.h"
#include "gradus/Random.h"
#include "gradus/Training.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include <csignal>
#include <numeric>

using namespace gradus;
using llvm::formatv;
using Clock = std::chrono::steady_clock;

static volatile std::sig_atomic_t interrupted = 0;

static llvm::Error error(const Twine &message) {
  return llvm::createStringError(message);
}

/// The examples in the order of an epoch (Fisher and Yates).
static std::vector<int64_t> shuffled(int64_t n, int64_t seed, int64_t epoch) {
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i) {
    auto bits = random::threefry2x32(seed, epoch, i);
    auto word = uint64_t(bits.first) << 32 | bits.second;
    std::swap(order[i], order[word % uint64_t(i + 1)]);
  }
  return order;
}

namespace {
/// What the text of the model says about training.
struct TrainSpec {
  std::string name, loss; ///< @fit, @loss
  std::vector<std::string> reports;
  std::string batchDim; ///< empty: the batch is a number in the text
  int64_t batch = 0;    ///< that number
  bool takesData = false;
};

llvm::Expected<TrainSpec> readSpec(ModuleOp module, StringRef wanted) {
  auto model = *module.getOps<graph::ModelOp>().begin();
  SmallVector<graph::TrainOp> all(model.getBody().getOps<graph::TrainOp>());
  if (all.empty())
    return error("the model has no 'train' line; add one, as in: train @fit "
                 "minimizes @loss using adam(lr = 1.0e-3)");
  graph::TrainOp op;
  for (auto t : all)
    if (t.getSymName() == wanted || (wanted.empty() && all.size() == 1))
      op = t;
  if (!op) {
    std::string names;
    for (auto t : all)
      names += (names.empty() ? "" : ", ") + t.getSymName().str();
    return error("say which with --function: the model trains " + names);
  }
  TrainSpec spec{op.getSymName().str(), op.getLoss().str(), {}, "", 0};
  for (Attribute a : op.getReports())
    spec.reports.push_back(cast<mlir::FlatSymbolRefAttr>(a).getValue().str());
  if (auto loss = model.lookupSymbol<graph::FuncOp>(op.getLoss()))
    for (Type t : loss.getArgumentTypes())
      if (graph::Shape s(t); s.rank() > 0) {
        spec.takesData = true;
        spec.batchDim = s[0].name ? s[0].name.str() : "";
        spec.batch = s[0].known() ? s[0].size : 0;
        break;
      }
  return spec;
}

/// A program and a function of it, called with a batch.
struct Caller {
  Program &program;
  const FunctionInterface &function;
  Block64 arena;
  std::vector<Block64> results;

  Caller(Program &program, const FunctionInterface &f)
      : program(program), function(f), arena(program.memory(f.arenaBytes)) {
    for (const Port &p : f.outputs)
      results.emplace_back(p.type.byteCount());
  }
  llvm::Expected<std::vector<double>> operator()(void *variables,
                                                 Batch &batch) {
    SmallVector<void *> out = llvm::map_to_vector(
        results, [](Block64 &r) -> void * { return r.data(); });
    if (auto e = program.call(function, variables, batch.pointers(), out,
                              arena.data()))
      return std::move(e);
    std::vector<double> values;
    for (auto [p, r] : llvm::zip(function.outputs, results)) {
      HostTensor t(p.type);
      std::memcpy(t.bytes.data(), r.data(), t.bytes.size());
      values.push_back(t.at(0));
    }
    return values;
  }
};

class Trainer {
public:
  Trainer(StringRef path, const CompileOptions &options,
          const TrainOptions &train)
      : path(path), compileOptions(options), options(train) {}

  llvm::Error run() {
    auto begin = Clock::now();
    auto compiled = compile(options.batch, /*trains=*/true);
    if (!compiled)
      return compiled.takeError();
    // How long an example of a text is the model says.
    if (spec.takesData)
      if (auto e = load(isText(options.data)
                            ? loadText(options.data, textLength(*compiled))
                            : loadDataset(options.data)))
        return e;
    double seconds =
        std::chrono::duration<double>(Clock::now() - begin).count();
    Program &program = *compiled;
    const FunctionInterface *step =
        program.interface().find(spec.name + ".step");
    std::string read = formatv(" and read {0} + {1} examples",
                               data.train.count(), data.test.count());
    llvm::errs() << formatv(
        "compiled @{0}{1} in {2:f2} s; {3:f1} MB of variables, {4:f1} MB of "
        "arena\n",
        step->name, spec.takesData ? read : "", seconds,
        double(program.interface().variableBytes) / 1e6,
        double(program.interface().arenaBytes()) / 1e6);
    variables.emplace(program);
    if (auto e = startValues(program))
      return e;
    std::signal(SIGINT, [](int) { interrupted = 1; });
    std::signal(SIGTERM, [](int) { interrupted = 1; });
    return loop(program, *step);
  }

private:
  llvm::Error load(llvm::Expected<Dataset> loaded) {
    if (!loaded)
      return loaded.takeError();
    data = std::move(*loaded);
    if (data.train.count() < options.batch)
      return error(
          formatv("--batch={0} is more than the {1} examples there are",
                  options.batch, data.train.count()));
    return llvm::Error::success();
  }
  /// The numbers an example that the step's first input takes.
  int64_t textLength(const Program &program) const {
    const FunctionInterface *step =
        program.interface().find(spec.name + ".step");
    if (step->inputs.empty() || step->inputs[0].type.shape.empty())
      return 0;
    const TensorSpec &type = step->inputs[0].type;
    return type.elements() / std::max<int64_t>(type.shape[0], 1);
  }

  /// The functions that the test examples need, and the step if it trains.
  llvm::Expected<Program> compile(int64_t batch, bool trains) {
    Compilation c(compileOptions);
    if (failed(c.parse(path)))
      return error("");
    auto read = readSpec(c.module(), options.function);
    if (!read)
      return read.takeError();
    spec = *read;
    std::vector<std::string> functions = measures();
    if (trains)
      functions.push_back(spec.name + ".step");
    c.options() = sized(batch);
    c.options().functions = functions;
    if (spec.takesData && spec.batchDim.empty() && spec.batch != batch)
      return error(formatv("the model takes batches of {0}, not of {1}; a "
                           "named dimension takes any",
                           spec.batch, batch));
    return Program::of(c);
  }

  CompileOptions sized(int64_t batch) const {
    CompileOptions o = compileOptions;
    if (!spec.batchDim.empty())
      o.dims.push_back(spec.batchDim + "=" + std::to_string(batch));
    return o;
  }

  /// The loss and the reported metrics.
  std::vector<std::string> measures() const {
    std::vector<std::string> functions{spec.loss};
    functions.insert(functions.end(), spec.reports.begin(), spec.reports.end());
    return functions;
  }

  llvm::Error startValues(Program &program) {
    if (options.resume) {
      if (options.checkpoint.empty())
        return error("--resume needs the file, as --checkpoint=FILE");
      auto c = readSafetensors(options.checkpoint);
      if (!c)
        return c.takeError();
      if (auto e = variables->load(*c, options.checkpoint))
        return e;
      auto number = [&](const char *key) {
        int64_t n = 0;
        if (StringRef(c->metadata[key]).getAsInteger(10, n) || n < 0)
          n = -1;
        return n;
      };
      if (number("batch") != options.batch || number("seed") != options.seed)
        return error(options.checkpoint + ": this run had --batch=" +
                     c->metadata["batch"] + " --seed=" + c->metadata["seed"] +
                     "; resume it with the same");
      epoch = number("epoch");
      firstStep = number("step");
      if (epoch < 0 || firstStep < 0)
        return error(options.checkpoint +
                     ": this checkpoint does not say how far its training was");
      llvm::errs() << formatv("resuming at epoch {0}, step {1}\n", epoch + 1,
                              firstStep);
      return llvm::Error::success();
    }
    const FunctionInterface *init = program.interface().find("init");
    Block64 arena = program.memory(init->arenaBytes);
    int64_t seed = options.seed;
    return program.call(*init, variables->data(), {&seed}, {}, arena.data());
  }

  llvm::Error save(int64_t epoch, int64_t step) {
    if (options.checkpoint.empty())
      return llvm::Error::success();
    Checkpoint c = variables->save();
    c.metadata["epoch"] = std::to_string(epoch);
    c.metadata["step"] = std::to_string(step);
    c.metadata["seed"] = std::to_string(options.seed);
    c.metadata["batch"] = std::to_string(options.batch);
    saved = Clock::now();
    return writeSafetensors(options.checkpoint, c);
  }

  llvm::Error loop(Program &program, const FunctionInterface &step) {
    auto batch = Batch::create(step, data.train);
    if (!batch)
      return batch.takeError();
    Caller call(program, step);
    std::vector<std::string> names;
    for (const Port &p : step.outputs)
      names.push_back(p.name);
    // The rest comes in another epoch's order.
    int64_t steps =
        spec.takesData ? data.train.count() / options.batch : options.steps;
    saved = Clock::now();
    for (; epoch < options.epochs; ++epoch, firstStep = 0) {
      auto order = shuffled(data.train.count(), options.seed, epoch);
      Progress progress(names, epoch + 1, options.epochs, steps,
                        spec.takesData ? options.batch : 0,
                        (options.epochs - epoch - 1) * steps);
      for (int64_t s = firstStep; s < steps; ++s) {
        auto examples =
            spec.takesData
                ? ArrayRef(order).slice(s * options.batch, options.batch)
                : ArrayRef<int64_t>();
        batch->fill(data.train, examples, seedOf(epoch * steps + s));
        Checkpoint before;
        if (options.onNan)
          before = variables->save();
        auto called = call(variables->data(), *batch);
        if (!called) {
          progress.clear();
          return called.takeError();
        }
        const std::vector<double> &values = *called;
        if (options.onNan && leftNan(values)) {
          progress.clear();
          return options.onNan(step.name, sized(options.batch), before,
                               batch->tensors(step));
        }
        if (!std::isfinite(values[0])) {
          progress.clear();
          return error(formatv("the loss is {0} in step {1} of epoch {2}: a "
                               "smaller learning rate may help{3}",
                               values[0], s + 1, epoch + 1,
                               options.checkpoint.empty()
                                   ? ""
                                   : "; the checkpoint is from before"));
        }
        progress.step(s + 1, values);
        bool due = Clock::now() - saved >
                   std::chrono::duration<double>(options.checkpointSeconds);
        if (interrupted || due)
          if (auto e = save(epoch, s + 1))
            return e;
        if (interrupted) {
          progress.clear();
          return error(options.checkpoint.empty()
                           ? "interrupted"
                           : "interrupted; go on with --resume");
        }
      }
      progress.clear();
      llvm::outs() << progress.summary();
      if (auto e = evaluate(program))
        return e;
      llvm::outs() << "\n";
      llvm::outs().flush();
      if (auto e = save(epoch + 1, 0))
        return e;
    }
    return llvm::Error::success();
  }

  /// The model's %seed in a step of this run; negative ones are of tests.
  int64_t seedOf(int64_t step) const {
    return random::threefry2x32(options.seed, 1, step).first >> 1;
  }

  /// Did the step leave a number that is none?
  bool leftNan(ArrayRef<double> results) const {
    return llvm::any_of(results, [](double x) { return std::isnan(x); }) ||
           llvm::any_of(variables->save().tensors,
                        [](auto &named) { return holdsNan(named.second); });
  }

  /// Means over all test examples: whole batches, then what is left in a
  /// program compiled for just that many.
  llvm::Error evaluate(Program &program) {
    int64_t n = data.test.count(), rest = n % options.batch;
    if (rest && !restProgram && !spec.batchDim.empty()) {
      auto compiled = compile(rest, /*trains=*/false);
      if (!compiled)
        return compiled.takeError();
      restProgram.emplace(std::move(*compiled));
    }
    for (const std::string &name : measures()) {
      double sum = 0;
      int64_t counted = 0;
      if (!spec.takesData) {
        const FunctionInterface &f = *program.interface().find(name);
        auto batch = Batch::create(f, data.test);
        if (!batch)
          return batch.takeError();
        batch->fill(data.test, {}, seedOf(-1));
        auto values = Caller(program, f)(variables->data(), *batch);
        if (!values)
          return values.takeError();
        llvm::outs() << formatv("  test {0} {1}", name, figure((*values)[0]));
        continue;
      }
      auto part = [&](Program &p, int64_t first, int64_t end) -> llvm::Error {
        const FunctionInterface &f = *p.interface().find(name);
        auto batch = Batch::create(f, data.test);
        if (!batch)
          return batch.takeError();
        Caller call(p, f);
        std::vector<int64_t> examples(batch->size);
        for (int64_t at = first; at + batch->size <= end; at += batch->size) {
          std::iota(examples.begin(), examples.end(), at);
          batch->fill(data.test, examples, seedOf(-1 - at));
          auto values = call(variables->data(), *batch);
          if (!values)
            return values.takeError();
          sum += (*values)[0] * double(batch->size);
          counted += batch->size;
        }
        return llvm::Error::success();
      };
      if (auto e = part(program, 0, n - rest))
        return e;
      if (rest && restProgram)
        if (auto e = part(*restProgram, n - rest, n))
          return e;
      llvm::outs() << formatv(
          "  test {0} {1}", name,
          figure(sum / double(std::max<int64_t>(counted, 1))));
    }
    return llvm::Error::success();
  }

  std::string path;
  CompileOptions compileOptions;
  const TrainOptions &options;
  Dataset data;
  TrainSpec spec;
  std::optional<Variables> variables;
  std::optional<Program> restProgram;
  int64_t epoch = 0, firstStep = 0;
  Clock::time_point saved;
};
} // namespace

int gradus::train(StringRef path, const CompileOptions &options,
                  const TrainOptions &train) {
  if (auto e = Trainer(path, options, train).run()) {
    std::string message = llvm::toString(std::move(e));
    if (!message.empty())
      llvm::errs() << "error: " << message << "\n";
    return interrupted ? 130 : 1;
  }
  return 0;
}
