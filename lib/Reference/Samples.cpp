//===- Samples.cpp - the op records' samples as tests ---------------------===//

#include "gradus/Reference.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Regex.h"

using namespace gradus;
using namespace gradus::graph;

/// An operand of a sample: `f32[3, 4] in 1..2`.
static llvm::Regex &operandPattern() {
  static llvm::Regex r("(^|[^=]) ((bf16|[fi](1|8|16|32|64))\\[[^]]*\\])"
                       "( in (-?[0-9.]+[0-9]|-?[0-9])\\.\\.(-?[0-9.]+))?");
  return r;
}

ProgramText gradus::takeSampleApart(StringRef sample) {
  ProgramText text;
  SmallVector<StringRef> m;
  while (operandPattern().match(sample, &m)) {
    text.body += sample.take_front(m[0].data() - sample.data());
    text.body += (m[1] + " %a" + Twine(text.operands.size())).str();
    ProgramOperand o{m[2].str()};
    if (m[2].starts_with("i1["))
      o.low = 0, o.high = 2;
    if (!m[5].empty()) {
      m[6].getAsDouble(o.low);
      m[7].getAsDouble(o.high);
    }
    text.operands.push_back(o);
    sample = sample.drop_front(m[0].end() - sample.data());
  }
  text.body += sample;
  return text;
}

static bool isFloat(StringRef shape) { return !shape.starts_with("i"); }

static std::string list(size_t n, function_ref<std::string(size_t)> item) {
  std::string s;
  for (size_t i = 0; i < n; ++i)
    s += (i ? ", " : "") + item(i);
  return s;
}

static auto numbered(StringRef prefix) {
  return
      [prefix = prefix.str()](size_t i) { return prefix + std::to_string(i); };
}
std::string gradus::declareOperands(const ProgramText &program) {
  return list(program.operands.size(), [&](size_t i) {
    return "%a" + std::to_string(i) + ": " + program.operands[i].shape;
  });
}
static mlir::OwningOpRef<ModuleOp> parse(const std::string &source,
                                         MLIRContext *ctx) {
  return mlir::parseSourceString<ModuleOp>(source, mlir::ParserConfig(ctx),
                                           "sample");
}
static void replaceAll(std::string &text, StringRef from, StringRef to) {
  for (size_t at = 0; (at = text.find(from.str(), at)) != std::string::npos;
       at += to.size())
    text.replace(at, from.size(), to.str());
}

mlir::OwningOpRef<ModuleOp> gradus::parseAlone(const ProgramText &program,
                                               MLIRContext *ctx) {
  return parse("graph.model @m { func @op(" + declareOperands(program) +
                   ") { " + program.body + "\n return } }",
               ctx);
}
static Operation &firstOp(ModuleOp module) {
  FuncOp f;
  module.walk([&](FuncOp found) { f = found; });
  return f.getBody().front().front();
}

FailureOr<ProgramText> gradus::programOfSample(StringRef sample,
                                               MLIRContext *ctx) {
  ProgramText program = takeSampleApart(sample);
  auto probe = parseAlone(program, ctx);
  if (!probe)
    return failure();
  size_t count = firstOp(*probe).getNumResults();
  program.body = "%r:" + std::to_string(count) + " = " + program.body;
  for (size_t i = 0; i < count; ++i)
    program.results.push_back("%r#" + std::to_string(i));
  return program;
}

FailureOr<SampleModel> gradus::buildSample(StringRef sample, StringRef element,
                                           MLIRContext *ctx) {
  auto program = programOfSample(sample, ctx);
  if (failed(program))
    return failure();
  auto probe = parseAlone(takeSampleApart(sample), ctx);
  auto model = buildProgram(std::move(*program), element, ctx);
  if (succeeded(model))
    model->blocksGradient = firstOp(*probe).hasTrait<BlocksGradient>();
  return model;
}

FailureOr<SampleModel> gradus::buildProgram(ProgramText text, StringRef element,
                                            MLIRContext *ctx) {
  if (element != "f32") {
    replaceAll(text.body, "f32", element);
    for (ProgramOperand &o : text.operands)
      replaceAll(o.shape, "f32", element);
  }
  size_t n = text.operands.size(), count = text.results.size();
  std::string args = declareOperands(text);
  auto resultAt = [&](size_t i) { return text.results[i]; };
  std::string op = text.body + "\n";
  std::string source = "graph.model @m {\n func @op(" + args + ") { " + op +
                       "return " + list(count, resultAt) + " }\n";

  // What does it return?
  auto probe = parse(source + "}", ctx);
  if (!probe)
    return failure();
  SmallVector<std::string> results;
  SampleModel model;
  probe->walk([&](FuncOp f) {
    for (Type t : f.getResultTypes())
      results.push_back(Shape(t).str());
  });
  model.element = element.str();
  model.numOperands = n;
  for (auto [i, o] : llvm::enumerate(text.operands)) {
    model.ranges.push_back({o.low, o.high});
    if (isFloat(o.shape))
      model.floats.push_back(i);
  }
  // The loss weighs every float result with random numbers of its own, which
  // are arguments after the op's.
  std::string weights, terms, loss, type;
  size_t w = 0;
  for (auto [k, shape] : llvm::enumerate(results)) {
    if (!isFloat(shape))
      continue;
    type = StringRef(shape).split('[').first;
    std::string i = std::to_string(w), prior = "%t." + std::to_string(w - 1);
    weights += (n + w ? ", %w" : "%w") + i + ": " + shape;
    terms += "%m." + i + " = mul " + text.results[k] + ", %w" + i + "\n%s." +
             i + " = reduce_sum %m." + i + "\n";
    terms +=
        w ? "%t." + i + " = add " + prior + ", %s." + i + "\n"
          : "%z.0 = constant " + type + "[] = 0.0\n%t.0 = add %s.0, %z.0\n";
    loss = "%t." + i;
    ++w;
  }
  model.numWeights = w;
  std::string all =
      list(n, numbered("%a")) + (n && w ? ", " : "") + list(w, numbered("%w"));
  if (w && !model.floats.empty()) {
    std::string in = args + weights;
    size_t f = model.floats.size();
    std::string wrt = list(
        f, [&](size_t i) { return "%a" + std::to_string(model.floats[i]); });
    std::string tangents, tangentNames;
    for (size_t i = 0; i < n; ++i) {
      tangents += ", %u" + std::to_string(i) + ": " + text.operands[i].shape;
      tangentNames += ", %u" + std::to_string(i);
    }
    source +=
        " func @loss(" + in + ") { " + op + terms + "return " + loss + " }\n";
    source += " func @grad(" + in + ") { %loss, %g:" + std::to_string(f) +
              " = value_and_grad @loss(" + all + ") wrt " + wrt + "\n return " +
              list(f, numbered("%g#")) + " }\n";
    source += " func @jvp(" + args + tangents +
              ") { %y:" + std::to_string(2 * count) + " = jvp @op(" +
              list(n, numbered("%a")) + tangentNames + ")\n return " +
              list(2 * count, numbered("%y#")) + " }\n";
    // Weights do not move: their tangents are zero.
    std::string zeros, zeroNames;
    for (size_t k = 0, i = 0; k < count; ++k)
      if (isFloat(results[k])) {
        std::string z = "%z" + std::to_string(i++);
        zeros += z + "s = constant " + type + "[] = 0.0\n" + z +
                 " = broadcast " + z + "s, to = " + results[k] + "\n";
        zeroNames += ", " + z;
      }
    source += " func @hvp(" + in + tangents + ") { " + zeros +
              "%h:" + std::to_string(2 * f) + " = jvp @grad(" + all +
              tangentNames + zeroNames + ")\n return " +
              list(2 * f, numbered("%h#")) + " }\n";
  }
  model.module = parse(source + "}", ctx);
  // Gradients that are zero, or miss a path, are among what is tried.
  mlir::ScopedDiagnosticHandler quiet(ctx, [](mlir::Diagnostic &d) {
    return success(d.getSeverity() != mlir::DiagnosticSeverity::Error);
  });
  if (!model.module ||
      failed(runModelPipeline(*model.module,
                              "graph-differentiate,graph-inline-calls")))
    return failure();
  return model;
}

namespace {
/// Runs the functions of a sample's model, decomposed, on one set of inputs.
class SampleRun {
public:
  explicit SampleRun(SampleModel &s) : sample(s), reference(s.module->clone()) {
    ok = succeeded(runModelPipeline(*reference, "graph-decompose"));
    reference->walk([&](FuncOp f) { functions[f.getSymName()] = f; });
  }
  SmallVector<Array> call(StringRef name, ArrayRef<Array> args) {
    auto results = interpret(functions[name], args);
    if (failed(results))
      ok = false;
    return failed(results) ? SmallVector<Array>() : *results;
  }
  bool has(StringRef name) const { return functions.count(name); }
  ArrayRef<Type> argumentTypes(StringRef name) {
    return functions[name].getArgumentTypes();
  }

  SampleModel &sample;
  bool ok;

private:
  mlir::OwningOpRef<ModuleOp> reference;
  llvm::StringMap<FuncOp> functions;
};
} // namespace

static double dot(ArrayRef<double> a, ArrayRef<double> b) {
  double sum = 0;
  for (auto [x, y] : llvm::zip(a, b))
    sum += x * y;
  return sum;
}
static double difference(double want, double got) {
  double e = std::abs(want - got) / (1 + std::abs(want));
  return std::isnan(e) ? INFINITY : e;
}

std::string gradus::checkSample(SampleModel &sample, double &worst) {
  constexpr double tolerance = 1e-5, secondTolerance = 1e-4;
  std::mt19937_64 random(1);
  SampleRun run(sample);
  worst = 0;
  if (!run.has("loss")) {
    SmallVector<Array> args;
    for (auto [t, r] : llvm::zip(run.argumentTypes("op"), sample.ranges))
      args.push_back(randomArray(t, r.first, r.second, random));
    run.call("op", args);
    return run.ok ? "" : "no value";
  }
  ArrayRef<Type> types = run.argumentTypes("loss");
  SmallVector<Array> args, tangents;
  for (unsigned i = 0; i < types.size(); ++i) {
    bool weight = i >= sample.numOperands;
    auto [low, high] = weight ? std::pair(-1.0, 1.0) : sample.ranges[i];
    args.push_back(randomArray(types[i], low, high, random));
    if (!weight)
      tangents.push_back(Shape(types[i]).isFloat()
                             ? randomArray(types[i], -1, 1, random)
                             : args.back());
  }
  auto with = [](ArrayRef<Array> a, ArrayRef<Array> b) {
    SmallVector<Array> all(a);
    llvm::append_range(all, b);
    return all;
  };

  // Reverse, against differences.
  auto gradients = run.call("grad", args);
  if (!run.ok)
    return "no value";
  if (sample.blocksGradient) {
    for (const Array &g : gradients)
      if (llvm::any_of(g.data, [](double d) { return d != 0; }))
        return "the gradient is not zero";
    return "";
  }
  auto loss = [&](ArrayRef<Array> at) {
    return run.call("loss", at)[0].data[0];
  };
  worst = checkGradient(loss, args, sample.floats, gradients, 1 << 20, random)
              .error;
  if (!(worst < tolerance))
    return "the gradient differs from differences";

  // Forward, against reverse: <w, jvp(u)> = <vjp(w), u>.
  auto forward = run.call(
      "jvp", with(ArrayRef(args).take_front(sample.numOperands), tangents));
  double byForward = 0, byReverse = 0;
  unsigned count = forward.size() / 2, w = sample.numOperands;
  for (unsigned k = 0; k < count; ++k)
    if (w < args.size() && forward[count + k].shape == args[w].shape &&
        Shape(sample.module->lookupSymbol<ModelOp>("m")
                  .lookupSymbol<FuncOp>("op")
                  .getResultTypes()[k])
            .isFloat())
      byForward += dot(args[w++].data, forward[count + k].data);
  for (auto [k, i] : llvm::enumerate(sample.floats))
    byReverse += dot(gradients[k].data, tangents[i].data);
  worst = std::max(worst, difference(byReverse, byForward));
  if (!(difference(byReverse, byForward) < tolerance))
    return "forward and reverse mode differ";

  // Second order, against differences of the gradient along the tangents.
  auto second = run.call("hvp", with(args, tangents));
  constexpr double step = 1e-5;
  auto gradientAt = [&](double by) {
    SmallVector<Array> at(args);
    for (unsigned i : sample.floats)
      for (auto [x, t] : llvm::zip(at[i].data, tangents[i].data))
        x += by * t;
    return run.call("grad", at);
  };
  auto up = gradientAt(step), down = gradientAt(-step);
  for (size_t k = 0; k < sample.floats.size(); ++k)
    for (size_t e = 0; e < up[k].data.size(); ++e) {
      double numeric = (up[k].data[e] - down[k].data[e]) / (2 * step);
      double error =
          difference(numeric, second[sample.floats.size() + k].data[e]);
      worst = std::max(worst, error);
      if (!(error < secondTolerance))
        return "the second derivative differs from differences";
    }
  return "";
}

std::string gradus::missingSamples(StringRef op, ArrayRef<StringRef> samples,
                                   ArrayRef<ArgSpec> specs) {
  if (samples.empty())
    return "no sample";
  bool sizeOne = false, broadcasts = false, pair = false;
  llvm::StringMap<llvm::StringSet<>> values;
  for (StringRef sample : samples) {
    ProgramText text = takeSampleApart(sample);
    sizeOne |= llvm::Regex("\\[(.*, )?1(, .*)?\\]").match(sample) ||
               sample.contains("[]");
    pair |= text.operands.size() > 1;
    for (const ProgramOperand &o : text.operands)
      broadcasts |= o.shape != text.operands[0].shape;
    for (const ArgSpec &a : specs) {
      if (a.kind != ArgSpec::Attribute)
        continue;
      SmallVector<StringRef> m;
      llvm::Regex named(
          ("(^| )" + a.name + "( = ([^,[]+|[^[]*\\[[^]]*\\]))?(,|$)").str());
      values[a.name].insert(
          named.match(sample, &m) ? m[2] : sample.take_until([](char c) {
            return c == ',';
          }));
    }
  }
  if (!sizeOne)
    return "no sample with an axis of size 1";
  if (pair && !broadcasts)
    return "no sample with operands of different shapes";
  for (const ArgSpec &a : specs)
    if (a.kind == ArgSpec::Attribute && values[a.name].size() < 2)
      return ("no two values of '" + a.name + "'").str();
  return "";
}
