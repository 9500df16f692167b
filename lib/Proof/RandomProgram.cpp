//===- RandomProgram.cpp - a program as lines, and smaller ones -----------===//

#include "SamplePool.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace gradus;

std::string RandomProgram::Tensor::type() const {
  return shapeText(element, sizes);
}

/// Puts a name in another's place wherever the text reads it.
static void replaceName(std::string &text, StringRef from, StringRef to) {
  for (size_t at = text.find('=');
       (at = text.find(from.str(), at)) != std::string::npos;) {
    size_t end = at + from.size();
    bool whole =
        end == text.size() || (!llvm::isAlnum(text[end]) && text[end] != '#');
    if (whole)
      text.replace(at, from.size(), to.str());
    at += whole ? to.size() : from.size();
  }
}

ProgramText RandomProgram::text() const {
  ProgramText text;
  for (const Line &line : lines)
    text.body += line.text + "\n";
  text.operands = operands;
  text.results = results;
  return text;
}

std::string RandomProgram::str() const {
  ProgramText program = text();
  std::string s = "func @op(" + declareOperands(program) + ") {\n";
  for (const Line &line : lines)
    s += "  " + line.text + "\n";
  return s + "  return " + llvm::join(results, ", ") + "\n}\n";
}

/// Arguments stay, so that their names do.
void RandomProgram::dropUnread() {
  llvm::StringSet<> read;
  for (const std::string &name : results)
    read.insert(name);
  std::vector<Line> kept;
  for (Line &line : llvm::reverse(lines)) {
    if (llvm::none_of(line.results,
                      [&](const Tensor &t) { return read.contains(t.name); }))
      continue;
    for (const std::string &name : line.reads)
      read.insert(name);
    kept.push_back(std::move(line));
  }
  lines.assign(std::make_move_iterator(kept.rbegin()),
               std::make_move_iterator(kept.rend()));
}

RandomProgram
RandomProgram::shrunk(function_ref<bool(const RandomProgram &)> fails) const {
  RandomProgram best = *this;
  auto accept = [&](RandomProgram candidate) {
    candidate.dropUnread();
    if (!fails(candidate))
      return false;
    best = std::move(candidate);
    return true;
  };
  for (const std::string &name : results) {
    RandomProgram one = *this;
    one.results = {name};
    if (accept(std::move(one)))
      break;
  }
  // From the last line up: what computes it becomes an argument.
  for (size_t i = best.lines.size(); i-- > 0;) {
    if (i >= best.lines.size() || best.lines[i].results.size() != 1)
      continue;
    const Tensor &t = best.lines[i].results[0];
    if (llvm::is_contained(best.results, t.name))
      continue;
    RandomProgram cut = best;
    std::string name = "%a" + std::to_string(cut.operands.size());
    auto [low, high] = t.range.value_or(std::pair(-1.0, 1.0));
    cut.operands.push_back({t.type(), low, high});
    cut.lines.erase(cut.lines.begin() + i);
    for (Line &line : cut.lines)
      for (std::string &read : line.reads)
        if (read == t.name) {
          replaceName(line.text, read, name);
          read = name;
        }
    accept(std::move(cut));
  }
  return best;
}
