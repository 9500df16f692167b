//===- Parse.cpp - the text of a PTX module -------------------------------===//

#include "Module.h"
#include <algorithm>
#include <cctype>
#include <cstring>
#include <optional>
#include <set>
#include <sstream>

using namespace ptx;

static std::string trimmed(const std::string &s) {
  size_t a = s.find_first_not_of(" \t\r"), b = s.find_last_not_of(" \t\r");
  return a == std::string::npos ? "" : s.substr(a, b - a + 1);
}
static bool startsWith(const std::string &s, const char *prefix) {
  return s.compare(0, std::strlen(prefix), prefix) == 0;
}
/// At separators outside brackets; without empty parts.
static std::vector<std::string> split(const std::string &s,
                                      const char *separators) {
  std::vector<std::string> parts;
  std::string part;
  int depth = 0;
  for (char c : s) {
    depth +=
        (c == '[' || c == '{' || c == '(') - (c == ']' || c == '}' || c == ')');
    if (depth != 0 || !std::strchr(separators, c)) {
      part += c;
      continue;
    }
    if (std::string t = trimmed(part); !t.empty())
      parts.push_back(t);
    part.clear();
  }
  if (std::string t = trimmed(part); !t.empty())
    parts.push_back(t);
  return parts;
}
static size_t wholeNumber(const std::string &s) {
  size_t used = 0;
  unsigned long value = 0;
  try {
    value = std::stoul(s, &used);
  } catch (const std::exception &) {
    used = 0;
  }
  if (used == 0 || used != s.size())
    throw Error("'" + s + "' is no number");
  return value;
}
static size_t bytesOf(const std::string &type) {
  std::string digits = type.substr(type.find_first_of("0123456789"));
  return wholeNumber(digits) / 8;
}

namespace {
class Parser {
public:
  explicit Parser(const std::string &text) : in(text) {}

  std::map<std::string, Kernel> parse() {
    try {
      for (std::string s; readLine(s);)
        line(s);
      if (at != Outside)
        throw Error("the file ends within a kernel");
    } catch (const Error &e) {
      throw Error("line " + std::to_string(number) + ": " + e.what());
    }
    return kernels;
  }

private:
  bool readLine(std::string &s) {
    std::string raw;
    if (!std::getline(in, raw))
      return false;
    ++number;
    s = trimmed(raw.substr(0, raw.find("//")));
    return true;
  }

  void line(const std::string &s) {
    if (s.empty())
      return;
    switch (at) {
    case Outside:
      return outside(s);
    case Params:
      return params(s);
    case Body:
      return body(s);
    }
  }

  void outside(const std::string &s) {
    size_t entry = s.find(".entry ");
    if (entry != std::string::npos) {
      k = Kernel();
      k.shared = moduleShared;
      registers.clear();
      labels.clear();
      branches.clear();
      k.name = trimmed(s.substr(entry + 7));
      k.name = k.name.substr(0, k.name.find('('));
      at = s.find(')') == std::string::npos ? Params : Body;
      depth = 0;
      scopes.clear();
      return;
    }
    if (s.find(".shared ") != std::string::npos)
      readShared(s, moduleShared);
    else if (startsWith(s, ".global") || startsWith(s, ".func") ||
             s.find(".func ") != std::string::npos)
      throw Error("only kernels and shared variables are known, not: " + s);
  }

  /// `.param .u64 .ptr .global .align 1 name,` or `.param .align 64 .b8
  /// name[128]`
  void params(const std::string &s) {
    if (s == "{") {
      at = Body;
      depth = 1;
      scopes = {++lastScope};
      return;
    }
    if (startsWith(s, ".reqnctapercluster"))
      return cluster(s);
    if (!startsWith(s, ".param"))
      return;
    auto words = split(s, " \t,");
    std::string name = words.back();
    size_t count = 1, align = 0, width = 0;
    if (size_t open = name.find('['); open != std::string::npos) {
      count = wholeNumber(name.substr(open + 1, name.find(']') - open - 1));
      name.resize(open);
    }
    for (size_t w = 1; w + 1 < words.size(); ++w) {
      if (words[w] == ".ptr")
        break;
      if (words[w] == ".align")
        align = wholeNumber(words[++w]);
      else
        width = bytesOf(words[w]);
    }
    align = std::max(align, width);
    size_t offset = (k.paramBytes + align - 1) / align * align;
    k.params.push_back({name, offset, count * width});
    k.paramBytes = offset + count * width;
  }

  /// `.reqnctapercluster 2, 1, 1`
  void cluster(const std::string &s) {
    auto words = split(s, " \t,");
    for (size_t w = 2; w < words.size(); ++w)
      if (wholeNumber(words[w]) != 1)
        throw Error("only clusters along x are known");
    constexpr size_t most = 16;
    size_t blocks = words.size() < 2 ? 0 : wholeNumber(words[1]);
    if (blocks == 0 || blocks > most)
      throw Error("no cluster has so many blocks");
    k.clusterBlocks = uint32_t(blocks);
  }

  void body(const std::string &s) {
    if (s == "{") {
      ++depth;
      scopes.push_back(++lastScope);
      return;
    }
    if (s == "}") {
      scopes.pop_back();
      if (--depth == 0)
        finish();
      return;
    }
    // `{ .reg .b32 tmp; mov.b64 {tmp, %r24}, %rd26; }`
    if (s[0] == '{' && s.back() == '}') {
      for (const std::string &statement : split(s.substr(1, s.size() - 2), ";"))
        body(statement + ";");
      return;
    }
    if (s.back() == ':') {
      labels[{scopes.back(), s.substr(0, s.size() - 1)}] = k.code.size();
      return;
    }
    pending += (pending.empty() ? "" : " ") + s;
    if (pending.back() != ';')
      return;
    pending.pop_back();
    if (startsWith(pending, ".shared"))
      readShared(pending, k.shared);
    else if (startsWith(pending, ".reg"))
      locals.insert(split(pending, " \t").back());
    else if (startsWith(pending, ".local"))
      throw Error("local memory is not known: " + pending);
    else if (pending[0] != '.') // .pragma, .loc, .maxntid
      k.code.push_back(instruction(pending));
    pending.clear();
  }

  /// `.shared .align 4 .b8 name[4096]`, `.shared .align 4 .f32 name`
  static void readShared(std::string s,
                         std::map<std::string, SharedVariable> &to) {
    if (s.back() == ';')
      s.pop_back();
    size_t open = s.find('['), close = s.find(']'), align = 1, elements = 1;
    auto words = split(s.substr(0, open), " \t");
    for (size_t w = 0; w + 1 < words.size(); ++w)
      if (words[w] == ".align")
        align = wholeNumber(words[w + 1]);
    if (open != std::string::npos) {
      std::string count = s.substr(open + 1, close - open - 1);
      elements = count.empty() ? 0 : wholeNumber(count);
    }
    to[words.back()] = {elements * bytesOf(words[words.size() - 2]), align};
  }

  Instruction instruction(std::string text) {
    Instruction i;
    i.line = number;
    if (text[0] == '@') {
      size_t space = text.find_first_of(" \t");
      std::string guard = text.substr(1, space - 1);
      i.negated = guard[0] == '!';
      i.guard = reg(guard.substr(i.negated));
      text = trimmed(text.substr(space));
    }
    size_t space = text.find_first_of(" \t");
    i.opcode = split(text.substr(0, space), ".");
    std::vector<std::string> operands;
    if (space != std::string::npos)
      operands = split(text.substr(space), ",");
    if (i.opcode[0] == "bra") {
      i.control = Control::Branch;
      branches.push_back({k.code.size(), scopes, operands.back()});
      return i;
    }
    if (i.opcode[0] == "ret" || i.opcode[0] == "exit") {
      i.control = Control::Return;
      return i;
    }
    i.isLater = i.has("mma_async");
    k.usesAsyncProxy |= i.isLater || i.has("bulk");
    const std::string &op = i.opcode[0];
    bool writes = op != "st" && op != "bar" && op != "barrier" && op != "cp" &&
                  op != "setmaxnreg" && i.opcode.back() != "tensormap" &&
                  (op != "wgmma" || i.isLater) &&
                  (op != "mbarrier" || i.opcode[1] != "init");
    for (size_t o = 0; o < operands.size(); ++o)
      operand(i, operands[o], writes && o == 0);
    decode(i);
    return i;
  }

  void operand(Instruction &i, const std::string &s, bool written) {
    if (s[0] == '{') {
      for (auto &part : split(s.substr(1, s.size() - 2), ","))
        operand(i, part, written);
      return;
    }
    if (s[0] == '[') {
      // `[map, {x, y}]`: a place in what the address stands for.
      auto parts = split(s.substr(1, s.size() - 2), ",");
      address(i, parts.at(0));
      for (size_t part = 1; part < parts.size(); ++part)
        operand(i, parts[part], false);
      return;
    }
    if (written) {
      // `d|p`: a second result, a predicate.
      for (auto &part : split(s, "|"))
        i.outs.push_back(part == "_" ? reg("_") : reg(part));
      return;
    }
    i.ins.push_back(reg(s));
  }
  /// `%rd1+16`, `name+4`
  void address(Instruction &i, const std::string &s) {
    size_t plus = s.find_first_of("+-", 1);
    int64_t offset = 0;
    if (plus != std::string::npos)
      offset = std::stoll(s.substr(s[plus] == '+' ? plus + 1 : plus));
    std::string base = trimmed(s.substr(0, plus));
    if (auto param = offsetOfParam(base)) {
      i.variant = 1;
      i.offsets.push_back(int64_t(*param) + offset);
      return;
    }
    i.ins.push_back(reg(base));
    i.offsets.push_back(offset);
  }

  std::optional<size_t> offsetOfParam(const std::string &name) const {
    for (const Param &p : k.params)
      if (p.name == name)
        return p.offset;
    return std::nullopt;
  }

  /// The register of a register's name, a constant or a symbol.
  int reg(const std::string &s) {
    auto [it, fresh] = registers.try_emplace(s, k.registers);
    if (!fresh)
      return it->second;
    int r = k.registers++;
    if (s == "_" || locals.count(s) || (s[0] == '%' && !isSpecial(s)))
      return r;
    if (s[0] == '%')
      k.presets.push_back({Preset::Special, r, 0, s});
    else if (auto value = constant(s))
      k.presets.push_back({Preset::Constant, r, *value, ""});
    else if (auto offset = offsetOfParam(s))
      k.presets.push_back({Preset::Constant, r, paramWindow + *offset, ""});
    else if (k.shared.count(s))
      k.presets.push_back({Preset::SharedAddress, r, 0, s});
    else
      throw Error("operand " + s + " is not understood");
    return r;
  }
  static bool isSpecial(const std::string &s) {
    for (const char *known : {"%tid.", "%ntid.", "%ctaid.", "%nctaid."})
      if (startsWith(s, known))
        return true;
    return s == "%laneid" || s == "%warpid" || s == "%cluster_ctarank";
  }
  static std::optional<uint64_t> constant(const std::string &s) {
    if (startsWith(s, "0f") || startsWith(s, "0F") || startsWith(s, "0d") ||
        startsWith(s, "0D"))
      return std::stoull(s.substr(2), nullptr, 16);
    if (s == "true" || s == "false")
      return s == "true";
    if (!std::isdigit(static_cast<unsigned char>(s[0])) && s[0] != '-')
      return std::nullopt;
    if (startsWith(s, "0x"))
      return std::stoull(s.substr(2), nullptr, 16);
    return s[0] == '-' ? uint64_t(std::stoll(s)) : std::stoull(s);
  }

  void finish() {
    for (auto &b : branches) {
      auto target = labels.end();
      for (; target == labels.end() && !b.scopes.empty(); b.scopes.pop_back())
        target = labels.find({b.scopes.back(), b.label});
      if (target == labels.end())
        throw Error("a branch to nowhere: " + b.label);
      k.code[b.at].target = target->second;
    }
    kernels[k.name] = k;
    at = Outside;
  }

  std::istringstream in;
  int number = 0, depth = 0;
  enum { Outside, Params, Body } at = Outside;
  std::string pending;
  Kernel k;
  std::map<std::string, int> registers;
  std::set<std::string> locals; ///< registers whose names say not that they are
  /// Labels belong to the braces that they stand in.
  std::vector<int> scopes;
  int lastScope = 0;
  std::map<std::pair<int, std::string>, size_t> labels;
  struct Branch {
    size_t at;
    std::vector<int> scopes;
    std::string label;
  };
  std::vector<Branch> branches;
  std::map<std::string, SharedVariable> moduleShared;
  std::map<std::string, Kernel> kernels;
};
} // namespace

std::map<std::string, Kernel> ptx::parse(const std::string &text) {
  return Parser(text).parse();
}

bool Instruction::has(const char *part) const {
  return std::find(opcode.begin(), opcode.end(), part) != opcode.end();
}
std::string Instruction::name() const {
  std::string s;
  for (auto &part : opcode)
    s += (s.empty() ? "" : ".") + part;
  return s;
}
