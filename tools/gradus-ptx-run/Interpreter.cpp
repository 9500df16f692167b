//===- Interpreter.cpp - PTX run on the CPU -------------------------------===//

#include "Interpreter.h"
#include <cmath>
#include <cstring>
#include <sstream>

using namespace ptx;

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

static std::vector<std::string> split(const std::string &s,
                                      const std::string &separators) {
  std::vector<std::string> parts;
  std::string part;
  int depth = 0;
  for (char c : s) {
    depth +=
        (c == '[' || c == '{' || c == '(') - (c == ']' || c == '}' || c == ')');
    if (depth == 0 && separators.find(c) != std::string::npos) {
      if (!part.empty())
        parts.push_back(part);
      part.clear();
    } else {
      part += c;
    }
  }
  if (!part.empty())
    parts.push_back(part);
  return parts;
}
static std::string trimmed(const std::string &s) {
  size_t a = s.find_first_not_of(" \t\r"), b = s.find_last_not_of(" \t\r");
  return a == std::string::npos ? "" : s.substr(a, b - a + 1);
}
static std::string withoutComment(const std::string &s) {
  return s.substr(0, s.find("//"));
}

/// `.shared .align 4 .b8 name[4096]`
static void readShared(const std::string &line, Kernel &k) {
  size_t open = line.find('['), close = line.find(']');
  if (open == std::string::npos)
    throw Error("a shared variable without a size: " + line);
  auto words = split(line.substr(0, open), " \t");
  size_t width = words[words.size() - 2] == ".b8"    ? 1
                 : words[words.size() - 2] == ".b32" ? 4
                                                     : 8;
  k.shared[words.back()] =
      std::stoul(line.substr(open + 1, close - open - 1)) * width;
}

static Instruction readInstruction(std::string text, int line) {
  Instruction i;
  i.line = line;
  if (text[0] == '@') {
    size_t space = text.find_first_of(" \t");
    i.guard = text.substr(1, space - 1);
    i.negated = i.guard[0] == '!';
    if (i.negated)
      i.guard.erase(0, 1);
    text = trimmed(text.substr(space));
  }
  size_t space = text.find_first_of(" \t");
  i.opcode = split(text.substr(0, space), ".");
  if (space != std::string::npos)
    for (auto &o : split(text.substr(space), ","))
      i.operands.push_back(trimmed(o));
  return i;
}

std::map<std::string, Kernel> ptx::parse(const std::string &text) {
  std::map<std::string, Kernel> kernels;
  Kernel k;
  enum { Outside, Params, Body } at = Outside;
  std::istringstream in(text);
  std::string raw, pending;
  for (int line = 1; std::getline(in, raw); ++line) {
    std::string s = trimmed(withoutComment(raw));
    if (s.empty())
      continue;
    if (at == Outside) {
      size_t entry = s.find(".entry ");
      if (entry == std::string::npos) {
        if (s.find(".shared") == 0 && s.back() == ';')
          throw Error("line " + std::to_string(line) +
                      ": shared memory outside a kernel is not supported");
        continue;
      }
      k = Kernel();
      k.name = trimmed(s.substr(entry + 7));
      k.name = k.name.substr(0, k.name.find('('));
      at = s.find(')') == std::string::npos ? Params : Body;
      continue;
    }
    if (at == Params) {
      if (s.find(".param") == 0) {
        auto words = split(s, " \t,");
        k.params.push_back(words.back());
      } else if (s == "{") {
        at = Body;
      }
      continue;
    }
    if (s == "{")
      continue;
    if (s == "}") {
      kernels[k.name] = k;
      at = Outside;
      continue;
    }
    if (s.back() == ':') {
      k.labels[s.substr(0, s.size() - 1)] = k.code.size();
      continue;
    }
    pending += (pending.empty() ? "" : " ") + s;
    if (pending.back() != ';')
      continue;
    pending.pop_back();
    if (pending.find(".reg") == 0 || pending.find(".pragma") == 0 ||
        pending.find(".loc") == 0)
      ;
    else if (pending.find(".shared") == 0)
      readShared(pending, k);
    else
      k.code.push_back(readInstruction(pending, line));
    pending.clear();
  }
  if (at != Outside)
    throw Error("the file ends within a kernel");
  return kernels;
}

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

namespace {
/// Addresses are 64 bits: which buffer, and where in it.
constexpr int bufferShift = 40;

struct Memory {
  std::vector<std::vector<char> *> buffers; ///< [0]: shared
  std::vector<bool> written;                ///< of shared bytes
  std::map<std::string, uint64_t> sharedAt;

  char *at(uint64_t address, size_t bytes, bool shared) {
    uint64_t buffer = shared ? 0 : (address >> bufferShift),
             offset = address & ((uint64_t(1) << bufferShift) - 1);
    if ((!shared && buffer == 0) || buffer >= buffers.size() ||
        offset + bytes > buffers[buffer]->size())
      throw Error("an access outside its buffer");
    if (offset % bytes != 0)
      throw Error("an access that is not aligned");
    return buffers[buffer]->data() + offset;
  }
};

struct Thread {
  std::map<std::string, uint64_t> registers;
  std::array<uint32_t, 3> id;
  size_t next = 0;
  bool done = false;
};

class Executor {
public:
  Executor(const Kernel &k, const Launch &launch, Memory &memory,
           std::array<uint32_t, 3> block)
      : k(k), launch(launch), memory(memory), block(block) {}

  /// Runs until a barrier (true) or the end (false).
  bool runThread(Thread &t) {
    for (; t.next < k.code.size(); ++t.next) {
      const Instruction &i = k.code[t.next];
      if (!i.guard.empty() && (value(t, i.guard) != 0) == i.negated)
        continue;
      const std::string &op = i.opcode[0];
      try {
        if (op == "ret") {
          t.done = true;
          return false;
        }
        if (op == "bar") {
          ++t.next;
          return true;
        }
        if (op == "bra") {
          auto label = k.labels.find(i.operands.back());
          if (label == k.labels.end())
            throw Error("a branch to nowhere");
          t.next = label->second - 1;
          continue;
        }
        step(t, i);
      } catch (const Error &e) {
        throw Error(k.name + ", line " + std::to_string(i.line) + ": " +
                    e.what());
      }
    }
    t.done = true;
    return false;
  }

private:
  uint64_t value(Thread &t, const std::string &s) {
    if (s[0] == '%') {
      static const char axes[] = "xyz";
      for (int a = 0; a < 3; ++a) {
        std::string axis(1, axes[a]);
        if (s == "%tid." + axis)
          return t.id[a];
        if (s == "%ctaid." + axis)
          return block[a];
        if (s == "%ntid." + axis)
          return launch.block[a];
        if (s == "%nctaid." + axis)
          return launch.grid[a];
      }
      auto r = t.registers.find(s);
      if (r == t.registers.end())
        throw Error("register " + s + " is read before it is written");
      return r->second;
    }
    if (auto shared = memory.sharedAt.find(s); shared != memory.sharedAt.end())
      return shared->second;
    if (s.compare(0, 2, "0f") == 0 || s.compare(0, 2, "0d") == 0)
      return std::stoull(s.substr(2), nullptr, 16);
    size_t used = 0;
    auto v = uint64_t(std::stoll(s, &used, 0));
    if (used != s.size())
      throw Error("operand " + s + " is not understood");
    return v;
  }
  static float f32(uint64_t v) {
    auto w = uint32_t(v);
    float f;
    std::memcpy(&f, &w, 4);
    return f;
  }
  static double f64(uint64_t v) {
    double d;
    std::memcpy(&d, &v, 8);
    return d;
  }
  static uint64_t bits(float f) {
    uint32_t w;
    std::memcpy(&w, &f, 4);
    return w;
  }
  static uint64_t bits(double d) {
    uint64_t w;
    std::memcpy(&w, &d, 8);
    return w;
  }
  static int width(const std::string &type) {
    return std::stoi(type.substr(1));
  }
  static uint64_t cut(uint64_t v, int width) {
    return width >= 64 ? v : v & ((uint64_t(1) << width) - 1);
  }
  static int64_t extended(uint64_t v, int width) {
    return width >= 64 ? int64_t(v)
                       : int64_t(v << (64 - width)) >> (64 - width);
  }

  /// `[%rd1+16]`, `[name+4]`
  uint64_t address(Thread &t, std::string s) {
    if (s.front() != '[' || s.back() != ']')
      throw Error("operand " + s + " is no address");
    s = s.substr(1, s.size() - 2);
    size_t plus = s.find('+');
    int64_t offset =
        plus == std::string::npos ? 0 : std::stoll(s.substr(plus + 1));
    return value(t, s.substr(0, plus)) + uint64_t(offset);
  }

  void load(Thread &t, const Instruction &i) {
    const std::string &type = i.opcode.back();
    if (i.opcode[1] == "param") {
      std::string name = i.operands[1].substr(1, i.operands[1].size() - 2);
      for (size_t p = 0; p < k.params.size(); ++p)
        if (k.params[p] == name) {
          t.registers[i.operands[0]] = uint64_t(p + 1) << bufferShift;
          return;
        }
      throw Error("there is no parameter " + name);
    }
    bool shared = i.opcode[1] == "shared";
    size_t vector = vectorWidth(i), bytes = width(type) / 8;
    uint64_t from = address(t, i.operands[1]);
    auto names = registerNames(i.operands[0]);
    for (size_t v = 0; v < vector; ++v) {
      uint64_t word = 0, a = from + v * bytes;
      char *p = memory.at(a, bytes, shared);
      if (shared)
        for (size_t b = 0; b < bytes; ++b)
          if (!memory.written[a + b])
            throw Error("shared memory is read before it is written");
      std::memcpy(&word, p, bytes);
      t.registers[names[v]] = word;
    }
  }
  void store(Thread &t, const Instruction &i) {
    bool shared = i.opcode[1] == "shared";
    size_t vector = vectorWidth(i), bytes = width(i.opcode.back()) / 8;
    uint64_t to = address(t, i.operands[0]);
    auto names = registerNames(i.operands[1]);
    for (size_t v = 0; v < vector; ++v) {
      uint64_t word = value(t, names[v]), a = to + v * bytes;
      std::memcpy(memory.at(a, bytes, shared), &word, bytes);
      if (shared)
        std::fill_n(memory.written.begin() + long(a), bytes, true);
    }
  }
  static size_t vectorWidth(const Instruction &i) {
    for (auto &part : i.opcode)
      if (part == "v2" || part == "v4")
        return size_t(part[1] - '0');
    return 1;
  }
  static std::vector<std::string> registerNames(std::string s) {
    if (s.front() != '{')
      return {s};
    std::vector<std::string> names;
    for (auto &n : split(s.substr(1, s.size() - 2), ","))
      names.push_back(trimmed(n));
    return names;
  }

  void step(Thread &t, const Instruction &i) {
    const std::string &op = i.opcode[0];
    if (op == "ld")
      return load(t, i);
    if (op == "st")
      return store(t, i);
    if (op == "mov" && i.operands[0].front() != '{' &&
        i.operands[1].front() != '{') {
      t.registers[i.operands[0]] = value(t, i.operands[1]);
      return;
    }
    std::vector<uint64_t> x;
    for (size_t n = 1; n < i.operands.size(); ++n)
      x.push_back(value(t, i.operands[n]));
    t.registers[i.operands[0]] = compute(i, x);
  }

  uint64_t compute(const Instruction &i, const std::vector<uint64_t> &x) {
    const std::string &op = i.opcode[0], &type = i.opcode.back();
    if (op == "setp")
      return compare(i.opcode[1], type, x[0], x[1]);
    if (type == "pred")
      return op == "and"   ? (x[0] && x[1])
             : op == "or"  ? (x[0] || x[1])
             : op == "not" ? !x[0]
                           : unknown(i);
    if (op == "selp")
      return x[2] ? x[0] : x[1];
    if (op == "cvt" || op == "cvta")
      return op == "cvta" ? x[0] : converted(i, x[0]);
    if (type == "f32")
      return bits(arithmetic(i, f32(x[0]), x.size() > 1 ? f32(x[1]) : 0,
                             x.size() > 2 ? f32(x[2]) : 0));
    if (type == "f64")
      return bits(arithmetic(i, f64(x[0]), x.size() > 1 ? f64(x[1]) : 0,
                             x.size() > 2 ? f64(x[2]) : 0));
    return integer(i, x);
  }
  [[noreturn]] static uint64_t unknown(const Instruction &i) {
    std::string name;
    for (auto &part : i.opcode)
      name += (name.empty() ? "" : ".") + part;
    throw Error("instruction " + name + " is not known");
  }
  template <typename F>
  static F arithmetic(const Instruction &i, F a, F b, F c) {
    const std::string &op = i.opcode[0];
    if (op == "fma")
      return std::fma(a, b, c);
    if (op == "add")
      return a + b;
    if (op == "sub")
      return a - b;
    if (op == "mul")
      return a * b;
    if (op == "neg")
      return -a;
    unknown(i);
  }
  uint64_t integer(const Instruction &i, const std::vector<uint64_t> &x) {
    const std::string &op = i.opcode[0], &type = i.opcode.back();
    int w = width(type);
    bool isSigned = type[0] == 's';
    auto wide = [&](uint64_t v) {
      return isSigned ? uint64_t(extended(v, w)) : cut(v, w);
    };
    if (op == "add")
      return cut(x[0] + x[1], w);
    if (op == "sub")
      return cut(x[0] - x[1], w);
    if (op == "mul" || op == "mad") {
      uint64_t product = wide(x[0]) * wide(x[1]);
      if (i.opcode[1] == "hi" && w == 32)
        product = uint64_t((__int128)(int64_t)product >> 32);
      else if (i.opcode[1] == "hi")
        product =
            isSigned ? uint64_t(((__int128)(int64_t)x[0] * (int64_t)x[1]) >> 64)
                     : uint64_t(((unsigned __int128)x[0] * x[1]) >> 64);
      int out = i.opcode[1] == "wide" ? 2 * w : w;
      return cut(product + (op == "mad" ? x[2] : 0), out);
    }
    if (op == "and")
      return x[0] & x[1];
    if (op == "or")
      return x[0] | x[1];
    if (op == "xor")
      return x[0] ^ x[1];
    if (op == "not")
      return cut(~x[0], w);
    if (op == "shl")
      return x[1] >= uint64_t(w) ? 0 : cut(x[0] << x[1], w);
    if (op == "shr") {
      uint64_t n = std::min<uint64_t>(x[1], isSigned ? w - 1 : w);
      return isSigned  ? cut(uint64_t(extended(x[0], w) >> n), w)
             : n >= 64 ? 0
                       : cut(x[0], w) >> n;
    }
    if (op == "div" || op == "rem") {
      if (cut(x[1], w) == 0)
        throw Error("a division by zero");
      if (isSigned)
        return cut(uint64_t(op == "div"
                                ? extended(x[0], w) / extended(x[1], w)
                                : extended(x[0], w) % extended(x[1], w)),
                   w);
      return op == "div" ? cut(x[0], w) / cut(x[1], w)
                         : cut(x[0], w) % cut(x[1], w);
    }
    if (op == "min" || op == "max") {
      bool less = isSigned ? extended(x[0], w) < extended(x[1], w)
                           : cut(x[0], w) < cut(x[1], w);
      return less == (op == "min") ? x[0] : x[1];
    }
    unknown(i);
  }
  static bool compare(const std::string &how, const std::string &type,
                      uint64_t a, uint64_t b) {
    auto by = [&](auto p, auto q) {
      if (how == "eq")
        return p == q;
      if (how == "ne")
        return p != q;
      if (how == "lt")
        return p < q;
      if (how == "le")
        return p <= q;
      if (how == "gt")
        return p > q;
      if (how == "ge")
        return p >= q;
      throw Error("comparison " + how + " is not known");
    };
    int w = width(type);
    if (type == "f32")
      return by(f32(a), f32(b));
    if (type == "f64")
      return by(f64(a), f64(b));
    return type[0] == 's' ? by(extended(a, w), extended(b, w))
                          : by(cut(a, w), cut(b, w));
  }
  static uint64_t converted(const Instruction &i, uint64_t v) {
    const std::string &from = i.opcode.back(),
                      &to = i.opcode[i.opcode.size() - 2];
    if (from[0] == 'f' || to[0] == 'f')
      unknown(i);
    return cut(from[0] == 's' ? uint64_t(extended(v, width(from)))
                              : cut(v, width(from)),
               width(to));
  }

  const Kernel &k;
  const Launch &launch;
  Memory &memory;
  std::array<uint32_t, 3> block;
};
} // namespace

static void runBlock(const Kernel &k, const Launch &launch,
                     const std::vector<std::vector<char> *> &buffers,
                     std::array<uint32_t, 3> block) {
  Memory memory;
  uint64_t bytes = 0;
  for (auto &[name, size] : k.shared) {
    memory.sharedAt[name] = bytes;
    bytes += (size + 127) / 128 * 128;
  }
  std::vector<char> shared(bytes);
  memory.written.assign(bytes, false);
  memory.buffers.push_back(&shared);
  memory.buffers.insert(memory.buffers.end(), buffers.begin(), buffers.end());
  std::vector<Thread> threads;
  for (uint32_t z = 0; z < launch.block[2]; ++z)
    for (uint32_t y = 0; y < launch.block[1]; ++y)
      for (uint32_t x = 0; x < launch.block[0]; ++x) {
        threads.emplace_back();
        threads.back().id = {x, y, z};
      }
  Executor executor(k, launch, memory, block);
  for (;;) {
    size_t waiting = 0;
    for (Thread &t : threads)
      waiting += !t.done && executor.runThread(t);
    if (waiting == 0)
      return;
    if (waiting != threads.size())
      throw Error(k.name + ": a barrier that " + std::to_string(waiting) +
                  " of " + std::to_string(threads.size()) + " threads reach");
  }
}

void ptx::run(const Kernel &k, const Launch &launch,
              std::vector<std::vector<char> *> buffers) {
  if (buffers.size() != k.params.size())
    throw Error(k.name + " takes " + std::to_string(k.params.size()) +
                " buffers, not " + std::to_string(buffers.size()));
  for (uint32_t z = 0; z < launch.grid[2]; ++z)
    for (uint32_t y = 0; y < launch.grid[1]; ++y)
      for (uint32_t x = 0; x < launch.grid[0]; ++x)
        runBlock(k, launch, buffers, {x, y, z});
}
