//===- Link.cpp - objects made into libraries and programs ----------------===//

#include "gradus/Link.h"
#include "gradus/Files.h"
#include "llvm/Object/ArchiveWriter.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Program.h"

using namespace gradus;
using llvm::formatv;

static const char driverText[] =
#include "lib/Compiler/driver.c.inc"
    ;

static llvm::Error error(const Twine &message) {
  return llvm::createStringError(message);
}

llvm::Expected<std::string> gradus::archive(StringRef member,
                                            ArrayRef<char> object) {
  llvm::NewArchiveMember one(
      llvm::MemoryBufferRef(StringRef(object.data(), object.size()), member));
  std::vector<llvm::NewArchiveMember> members;
  members.push_back(std::move(one));
  auto buffer = llvm::writeArchiveToBuffer(
      members, llvm::SymtabWritingMode::NormalSymtab,
      llvm::object::Archive::K_GNU, /*Deterministic=*/true, /*Thin=*/false);
  if (!buffer)
    return buffer.takeError();
  return (*buffer)->getBuffer().str();
}

namespace {
/// A file that is gone when its owner is.
struct Temporary {
  llvm::SmallString<128> path;
  explicit Temporary(StringRef suffix) {
    (void)llvm::sys::fs::createTemporaryFile("gradus", suffix, path);
  }
  ~Temporary() { (void)llvm::sys::fs::remove(path); }
  Temporary(const Temporary &) = delete;
  Temporary &operator=(const Temporary &) = delete;
};
} // namespace

/// Runs the system's C compiler; what it links appears under its name whole or
/// not at all.
static llvm::Error runCompiler(ArrayRef<StringRef> args, StringRef output) {
  std::string compiler;
  for (StringRef name : {"cc", "clang-22", "clang", "gcc"})
    if (auto found = llvm::sys::findProgramByName(name);
        found && compiler.empty())
      compiler = *found;
  if (compiler.empty())
    return error("linking needs a C compiler (cc, clang or gcc), and none is "
                 "installed: apt-get install gcc; or emit a .o or .a");
  std::string partial = (output + ".tmp").str();
  SmallVector<StringRef> all{compiler};
  llvm::append_range(all, args);
  llvm::append_range(all,
                     ArrayRef<StringRef>{"-o", partial, "-lm", "-pthread"});
  std::string message;
  Temporary log("log");
  std::optional<StringRef> redirects[] = {std::nullopt, StringRef(log.path),
                                          StringRef(log.path)};
  int rc = llvm::sys::ExecuteAndWait(compiler, all, std::nullopt, redirects,
                                     120, 0, &message);
  if (rc != 0) {
    (void)llvm::sys::fs::remove(partial);
    auto text = readFile(log.path);
    std::string said = text ? std::string(text->begin(), text->end()) : "";
    if (!text)
      llvm::consumeError(text.takeError());
    return error(output + ": " + compiler + " failed: " + message + said);
  }
  if (auto code = llvm::sys::fs::rename(partial, output))
    return error(output + ": " + code.message());
  return llvm::Error::success();
}

llvm::Error gradus::linkSharedLibrary(StringRef object, StringRef output) {
  Temporary file("o");
  if (auto e = writeFile(file.path, ArrayRef(object.data(), object.size())))
    return e;
  // Not unloaded: its threads may wait in it.
  return runCompiler({"-shared", "-Wl,-z,nodelete", file.path}, output);
}

static StringRef numpyType(DType t) {
  static constexpr llvm::StringLiteral names[] = {"<f4", "<f8", "<i4",
                                                  "<i8", "|b1", "|u1"};
  return names[static_cast<int>(t)];
}

/// The tables that driver.c walks.
static std::string tables(const ModelInterface &model) {
  std::string out;
  llvm::raw_string_ostream os(out);
  for (const FunctionInterface &f : model.functions) {
    std::string name = cFunctionName(model.name, f.name);
    std::vector<Port> all(f.inputs);
    llvm::append_range(all, f.outputs);
    os << formatv("static const port {0}_ports[] = {{\n", name);
    for (auto [i, p] : llvm::enumerate(all)) {
      std::string shape = "0";
      for (auto [k, d] : llvm::enumerate(p.type.shape))
        shape = k ? shape + ", " + std::to_string(d) : std::to_string(d);
      os << formatv("  {{\"{0}\", \"{1}\", {2}, {{{3}}, {4}, {5}, {6}},\n",
                    p.name, numpyType(p.type.type), p.type.shape.size(), shape,
                    p.type.elements(), dtypeBytes(p.type.type),
                    i >= f.inputs.size());
    }
    os << "  {0}};\n";
    os << formatv("static void {0}_call(void *variables, void **t, void "
                  "*arena) {{\n  (void)variables;\n  (void)t;\n  {0}(",
                  name);
    if (!model.variables.empty())
      os << "variables, ";
    for (size_t i = 0; i < all.size(); ++i)
      os << formatv("t[{0}], ", i);
    os << "arena);\n}\n";
  }
  os << "static const entry entries[] = {\n";
  for (const FunctionInterface &f : model.functions)
    os << formatv("  {{\"{0}\", {1}_call, {2}, {3}, {1}_ports},\n", f.name,
                  cFunctionName(model.name, f.name),
                  f.inputs.size() + f.outputs.size(), f.arenaBytes);
  os << formatv(
      "};\nstatic const size_t entry_count = {0}, variable_bytes = {1};\n",
      model.functions.size(), model.variableBytes);
  return out;
}

llvm::Error gradus::linkProgram(StringRef object, const ModelInterface &model,
                                StringRef output) {
  for (const FunctionInterface &f : model.functions)
    if (f.inputs.size() + f.outputs.size() > 64)
      return error("@" + f.name +
                   " has more than 64 inputs and outputs; link its object with "
                   "a program of your own");
  // Tables before the driver, so that nothing in it is declared twice.
  StringRef driver(driverText);
  auto [types, main] =
      driver.split("static const entry entries[];\nstatic const size_t "
                   "entry_count, variable_bytes;\n");
  std::string source =
      cHeader(model) + types.str() + tables(model) + main.str();
  Temporary file("o"), program("c");
  if (auto e = writeFile(file.path, ArrayRef(object.data(), object.size())))
    return e;
  if (auto e = writeFile(program.path, ArrayRef(source.data(), source.size())))
    return e;
  return runCompiler({"-O2", "-w", program.path, file.path}, output);
}
