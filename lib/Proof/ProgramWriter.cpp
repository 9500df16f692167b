//===- ProgramWriter.cpp - programs of ops chosen at random ---------------===//
//
// The samples of the op records say how each op may be used. A program strings
// them together: an operand of a sample is an earlier result, brought to the
// operand's shape by reshaping, broadcasting, cutting or padding, and into its
// range by a sigmoid; or an argument of its own.
//
// One op in eight is a loop or a branch around a few others, which read what is
// around it as well.
//
// Ops with steps take arguments only: at a step, results that are equal but for
// their rounding would make the reference and compiled code differ.
//
//===----------------------------------------------------------------------===//

#include "SamplePool.h"
#include "llvm/ADT/StringSet.h"

using namespace gradus;
using namespace gradus::graph;

static bool hasSteps(StringRef op) {
  return llvm::is_contained({"argmax", "cast", "compare", "floor", "max",
                             "max_pool", "min", "reduce_max", "reduce_min",
                             "sign"},
                            op);
}
/// With a point, as the language wants numbers.
static std::string numberText(double x) {
  std::string s;
  llvm::raw_string_ostream(s) << llvm::formatv("{0:F6}", x).str();
  return s;
}

namespace gradus {
/// Writes a program, line by line.
class ProgramWriter {
public:
  using Tensor = RandomProgram::Tensor;

  ProgramWriter(RandomProgram &program, uint64_t seed, MLIRContext *ctx)
      : program(program), random(seed), ctx(ctx) {}

  using Samples = ArrayRef<std::vector<PooledSample>>;

  void addOps(unsigned count, Samples samples) {
    for (unsigned i = 0; i < count; ++i)
      addAny(samples);
    // What nothing reads is a result; a few of them will do.
    constexpr size_t mostResults = 4;
    for (const auto &line : llvm::reverse(program.lines))
      for (const Tensor &t : line.results)
        if (!isRead(t.name) && program.results.size() < mostResults)
          program.results.push_back(t.name);
    program.dropUnread();
  }

private:
  size_t below(size_t n) { return random() % n; }
  bool isRead(StringRef name) const {
    return llvm::any_of(program.lines, [&](const RandomProgram::Line &line) {
      return llvm::is_contained(line.reads, name);
    });
  }

  void addAny(Samples samples) {
    // The functions made of a program pass its arguments many times over.
    constexpr size_t mostArguments = 10;
    if (program.operands.size() > mostArguments)
      return;
    constexpr size_t oneIn = 8, deepest = 2;
    if (depth < deepest && below(oneIn) == 0) {
      ++depth;
      switch (below(3)) {
      case 0:
        addFor(samples);
        break;
      case 1:
        addWhile(samples);
        break;
      default:
        addIf(samples);
      }
      --depth;
      return;
    }
    const std::vector<PooledSample> &op = samples[below(samples.size())];
    const PooledSample &sample = op[below(op.size())];
    std::optional<PooledSample> other = withAnySize(sample);
    add(other ? *other : sample);
  }

  //===-- Loops and branches ----------------------------------------------===//

  /// A few ops between braces; `names` are what the body gets. Reads of values
  /// around it go to `reads`.
  template <typename Finish>
  std::string body(Samples samples, ArrayRef<Tensor> names,
                   SmallVectorImpl<std::string> &reads, Finish finish) {
    size_t outside = program.lines.size();
    program.lines.push_back({"", SmallVector<Tensor>(names), {}});
    for (size_t n = 1 + below(3); n > 0; --n)
      addAny(samples);
    std::string yield = finish();
    std::string text;
    llvm::StringSet<> own;
    for (const auto &line : ArrayRef(program.lines).drop_front(outside)) {
      text += line.text.empty() ? "" : "  " + line.text + "\n";
      for (const std::string &read : line.reads)
        if (!own.contains(read))
          reads.push_back(read);
      for (const Tensor &t : line.results)
        own.insert(t.name);
    }
    for (const std::string &read : lastReads)
      if (!own.contains(read))
        reads.push_back(read);
    program.lines.resize(outside);
    return "{\n" + text + "  " + yield + "\n}";
  }
  /// A value that is there, or an argument, in a shape and within [-1, 1].
  Tensor anyValue(ArrayRef<int64_t> sizes) {
    std::string type =
        Tensor{"", "f32", SmallVector<int64_t>(sizes), {}}.type();
    return {operandFor({type, -1, 1}, false), "f32",
            SmallVector<int64_t>(sizes), std::pair(-1.0, 1.0)};
  }
  SmallVector<int64_t> anySizes() {
    SmallVector<int64_t> sizes;
    constexpr size_t emptyOneIn = 12;
    for (size_t rank = below(3); rank > 0; --rank)
      sizes.push_back(below(emptyOneIn) == 0 ? 0 : 1 + below(3));
    return sizes;
  }
  /// `yield` of values, some after `stack`.
  std::string yield(ArrayRef<Tensor> carried, ArrayRef<Tensor> stacked) {
    lastReads.clear();
    std::string text = "yield ";
    auto list = [&](ArrayRef<Tensor> values) {
      for (auto [i, t] : llvm::enumerate(values)) {
        text += (i ? ", " : "") + t.name;
        lastReads.push_back(t.name);
      }
    };
    list(carried);
    if (!stacked.empty()) {
      text += " stack ";
      list(stacked);
    }
    return text;
  }

  void addFor(Samples samples) {
    auto steps = int64_t(below(5));
    SmallVector<int64_t> sizes = anySizes(), carrySizes = anySizes(),
                         all{steps};
    all.append(sizes);
    Tensor source = anyValue(all), init = anyValue(carrySizes);
    Tensor slice{fresh(), "f32", sizes, std::pair(-1.0, 1.0)},
        carry{fresh(), "f32", carrySizes, std::pair(-1.0, 1.0)}, kept;
    std::string counter = fresh();
    SmallVector<std::string> reads{source.name, init.name};
    std::string text = body(samples, {slice, carry}, reads, [&] {
      Tensor next = anyValue(carrySizes);
      kept = anyValue(anySizes());
      return yield({next}, {kept});
    });
    std::string name = fresh();
    SmallVector<int64_t> keptSizes{steps};
    keptSizes.append(kept.sizes);
    program.lines.push_back(
        {name + ":2 = for " + counter + " in " + std::to_string(steps) + ", " +
             slice.name + " in " + source.name + (below(2) ? ", reverse" : "") +
             " carry (" + carry.name + " = " + init.name + ") " + text,
         {{name + "#0", "f32", carrySizes, std::pair(-1.0, 1.0)},
          {name + "#1", "f32", keptSizes, std::pair(-1.0, 1.0)}},
         reads});
  }

  /// As many steps as a counter says, which rounding does not change.
  void addWhile(Samples samples) {
    SmallVector<int64_t> sizes = anySizes();
    Tensor init = anyValue(sizes), zero = constant(0), one = constant(1),
           last = constant(double(below(4)));
    Tensor carry{fresh(), "f32", sizes, std::pair(-1.0, 1.0)};
    std::string count = fresh(), more = fresh(), next = fresh();
    SmallVector<std::string> reads{init.name, zero.name, one.name, last.name};
    std::string text = body(samples, {carry}, reads, [&] {
      Tensor value = anyValue(sizes);
      return next + " = add " + count + ", " + one.name + "\n  " +
             yield({value}, {}) + ", " + next;
    });
    std::string name = fresh();
    program.lines.push_back(
        {name + ":2 = while limit = 3 carry (" + carry.name + " = " +
             init.name + ", " + count + " = " + zero.name + ") {\n  " + more +
             " = compare lt, " + count + ", " + last.name + "\n  yield " +
             more + "\n} do " + text,
         {{name + "#0", "f32", sizes, std::pair(-1.0, 1.0)}},
         reads});
  }

  void addIf(Samples samples) {
    SmallVector<int64_t> sizes = anySizes();
    Tensor half = constant(0.5), truth{fresh(), "i1", {}, std::nullopt};
    std::string chosen = argument({"f32[]", 0, 1});
    program.lines.push_back(
        {truth.name + " = compare lt, " + chosen + ", " + half.name,
         {truth},
         {chosen, half.name}});
    SmallVector<std::string> reads{truth.name};
    auto branch = [&] {
      return body(samples, {}, reads,
                  [&] { return yield({anyValue(sizes)}, {}); });
    };
    std::string yes = branch(), no = branch(), name = fresh();
    program.lines.push_back(
        {name + " = if " + truth.name + " " + yes + " else " + no,
         {{name, "f32", sizes, std::pair(-1.0, 1.0)}},
         reads});
  }

  //===-- One op ----------------------------------------------------------===//

  /// The sample with one of its sizes another, of which some are none and one.
  std::optional<PooledSample> withAnySize(const PooledSample &sample) {
    constexpr size_t oneIn = 3;
    constexpr std::array<int64_t, 6> others{0, 1, 2, 5, 8, 17};
    // Among many numbers some lie so close that a difference steps across.
    size_t count = hasSteps(sample.op) ? 3 : others.size();
    SmallVector<int64_t> sizes;
    for (const ProgramOperand &o : sample.text.operands)
      llvm::append_range(sizes, parseShape(o.shape).second);
    if (sizes.empty() || below(oneIn) != 0)
      return std::nullopt;
    return resized(sample, sizes[below(sizes.size())], others[below(count)],
                   ctx);
  }

  void add(const PooledSample &sample) {
    SmallVector<std::string> names;
    for (const ProgramOperand &o : sample.text.operands)
      names.push_back(operandFor(o, hasSteps(sample.op)));
    // Every operand's name in its place, the last first: %a1 begins %a10.
    std::string body = sample.text.body;
    for (size_t i = names.size(); i-- > 0;) {
      std::string from = "%a" + std::to_string(i);
      size_t at = body.find(from);
      body.replace(at, from.size(), names[i]);
    }
    SmallVector<Tensor> results;
    std::string name = fresh();
    for (auto [i, type] : llvm::enumerate(sample.results)) {
      auto [element, sizes] = parseShape(Shape(type).str());
      std::string own =
          sample.results.size() == 1 ? name : name + "#" + std::to_string(i);
      results.push_back({own, element, sizes, rangeOf(sample.op)});
    }
    std::string defined = results.size() == 1
                              ? name
                              : name + ":" + std::to_string(results.size());
    program.lines.push_back({defined + " = " + body, results, names});
  }
  static std::optional<std::pair<double, double>> rangeOf(StringRef op) {
    if (llvm::is_contained({"tanh", "sin", "cos", "sigmoid", "erf", "softmax"},
                           op))
      return std::pair(-1.0, 1.0);
    return std::nullopt;
  }

  std::string argument(const ProgramOperand &o) {
    program.operands.push_back(o);
    return "%a" + std::to_string(program.operands.size() - 1);
  }
  std::string operandFor(const ProgramOperand &o, bool argumentOnly) {
    auto [element, sizes] = parseShape(o.shape);
    constexpr size_t oneIn = 4;
    SmallVector<Tensor> candidates;
    for (const RandomProgram::Line &line : program.lines)
      for (const Tensor &t : line.results)
        if (t.element == element && element == "f32")
          candidates.push_back(t);
    if (argumentOnly || candidates.empty() || below(oneIn) == 0)
      return argument(o);
    // The last results more often: programs get deep.
    size_t back = std::min(below(candidates.size()), below(candidates.size()));
    Tensor t = candidates[candidates.size() - 1 - back];
    // Padding adds zeros, which the range may not have.
    return inRange(inShape(t, sizes), o.low, o.high).name;
  }

  std::string fresh() { return "%v" + std::to_string(next++); }
  Tensor line(const Twine &op, const Tensor &like, ArrayRef<int64_t> sizes,
              ArrayRef<std::string> reads) {
    Tensor t{fresh(), like.element,
             SmallVector<int64_t>(sizes.begin(), sizes.end()), like.range};
    program.lines.push_back(
        {(t.name + " = " + op).str(),
         {t},
         SmallVector<std::string>(reads.begin(), reads.end())});
    return t;
  }
  Tensor constant(double x) {
    return line("constant f32[] = " + numberText(x),
                {"", "f32", {}, std::nullopt}, {}, {});
  }
  Tensor inRange(Tensor t, double low, double high) {
    if (t.range && t.range->first >= low && t.range->second <= high)
      return t;
    bool isDefault = low == -1 && high == 1;
    t.range = {isDefault ? -1.0 : 0.0, 1.0};
    t = line((isDefault ? "tanh " : "sigmoid ") + t.name, t, t.sizes, {t.name});
    if (isDefault)
      return t;
    t.range = std::nullopt;
    Tensor width = constant(high - low), start = constant(low);
    t = line("mul " + t.name + ", " + width.name, t, t.sizes,
             {t.name, width.name});
    t.range = {low, high};
    return line("add " + t.name + ", " + start.name, t, t.sizes,
                {t.name, start.name});
  }
  Tensor inShape(Tensor t, ArrayRef<int64_t> sizes) {
    if (ArrayRef(t.sizes) == sizes)
      return t;
    auto to = [&](ArrayRef<int64_t> s) {
      return ", to = " +
             Tensor{"", t.element, SmallVector<int64_t>(s), {}}.type();
    };
    if (broadcasts(t.sizes, sizes))
      return line("broadcast " + t.name + to(sizes), t, sizes, {t.name});
    int64_t have = Array::count(t.sizes), want = Array::count(sizes);
    if (have < want && t.range) // zeros join
      t.range = {std::min(t.range->first, 0.0), std::max(t.range->second, 0.0)};
    if (have != want) {
      if (t.sizes.size() != 1)
        t = line("reshape " + t.name + to({have}), t, {have}, {t.name});
      t = have > want
              ? line("slice " + t.name + ", axis = 0, start = " +
                         Twine(below(have - want + 1)) +
                         ", length = " + Twine(want),
                     t, {want}, {t.name})
              : line("pad " + t.name +
                         ", axis = 0, low = " + Twine((want - have) / 2) +
                         ", high = " + Twine(want - have - (want - have) / 2),
                     t, {want}, {t.name});
      if (sizes.size() == 1)
        return t;
    }
    return line("reshape " + t.name + to(sizes), t, sizes, {t.name});
  }
  static bool broadcasts(ArrayRef<int64_t> from, ArrayRef<int64_t> to) {
    if (from.size() > to.size())
      return false;
    for (size_t i = 1; i <= from.size(); ++i)
      if (from[from.size() - i] != 1 &&
          from[from.size() - i] != to[to.size() - i])
        return false;
    return true;
  }

  RandomProgram &program;
  std::mt19937_64 random;
  MLIRContext *ctx;
  unsigned next = 0, depth = 0;
  SmallVector<std::string> lastReads; ///< of the yield written last
};
} // namespace gradus

RandomProgram::RandomProgram(uint64_t seed, unsigned ops, MLIRContext *ctx) {
  ProgramWriter(*this, seed, ctx).addOps(ops, pooledSamples(ctx));
}
