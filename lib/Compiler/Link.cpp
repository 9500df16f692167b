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

static StringRef textOf(const Object &object) {
  return {object.data(), object.size()};
}

llvm::Expected<std::string> gradus::archive(StringRef name,
                                            ArrayRef<Object> objects) {
  std::vector<std::string> names;
  for (size_t i = 0; i < objects.size(); ++i)
    names.push_back((name + (i ? "." + Twine(i) : "") + ".o").str());
  std::vector<llvm::NewArchiveMember> members;
  for (auto [n, object] : llvm::zip(names, objects))
    members.emplace_back(llvm::MemoryBufferRef(textOf(object), n));
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

static std::string findProgram(ArrayRef<StringRef> names) {
  for (StringRef name : names)
    if (auto found = llvm::sys::findProgramByName(name))
      return *found;
  return "";
}

/// Runs a program whose words are shown only if it fails.
static llvm::Error runQuietly(StringRef program, ArrayRef<StringRef> args,
                              StringRef purpose) {
  std::string message;
  Temporary log("log");
  std::optional<StringRef> redirects[] = {std::nullopt, StringRef(log.path),
                                          StringRef(log.path)};
  SmallVector<StringRef> all{program};
  llvm::append_range(all, args);
  if (llvm::sys::ExecuteAndWait(program, all, std::nullopt, redirects, 120, 0,
                                &message) == 0)
    return llvm::Error::success();
  auto text = readFile(log.path);
  std::string said = text ? std::string(text->begin(), text->end()) : "";
  if (!text)
    llvm::consumeError(text.takeError());
  return error(purpose + ": " + program + " failed: " + message + said);
}

namespace {
/// Objects as files, for as long as a linker needs them.
struct ObjectFiles {
  std::vector<std::unique_ptr<Temporary>> files;
  SmallVector<StringRef> paths;

  llvm::Error write(ArrayRef<Object> objects) {
    for (const Object &object : objects) {
      files.push_back(std::make_unique<Temporary>("o"));
      paths.push_back(files.back()->path);
      if (auto e = writeFile(paths.back(), object))
        return e;
    }
    return llvm::Error::success();
  }
};
} // namespace

static std::string linker() {
  return findProgram({"ld.lld-22", "ld.lld", "ld"});
}
bool gradus::canMergeObjects() { return !linker().empty(); }

llvm::Expected<Object> gradus::mergeObjects(ArrayRef<Object> objects) {
  if (objects.size() == 1)
    return objects.front();
  ObjectFiles files;
  if (auto e = files.write(objects))
    return std::move(e);
  Temporary merged("o");
  SmallVector<StringRef> args{"-r", "-o", merged.path};
  llvm::append_range(args, files.paths);
  if (auto e = runQuietly(linker(), args, "merging objects"))
    return std::move(e);
  auto bytes = readFile(merged.path);
  if (!bytes)
    return bytes.takeError();
  return Object(bytes->begin(), bytes->end());
}

/// Runs the system's C compiler; what it links appears under its name whole or
/// not at all.
static llvm::Error runCompiler(ArrayRef<StringRef> args, StringRef output) {
  std::string compiler = findProgram({"cc", "clang-22", "clang", "gcc"});
  if (compiler.empty())
    return error("linking needs a C compiler (cc, clang or gcc), and none is "
                 "installed: apt-get install gcc; or emit a .o or .a");
  std::string partial = (output + ".tmp").str();
  SmallVector<StringRef> all(args);
  llvm::append_range(all,
                     ArrayRef<StringRef>{"-o", partial, "-lm", "-pthread"});
  if (auto e = runQuietly(compiler, all, output)) {
    (void)llvm::sys::fs::remove(partial);
    return e;
  }
  if (auto code = llvm::sys::fs::rename(partial, output))
    return error(output + ": " + code.message());
  return llvm::Error::success();
}

llvm::Error gradus::linkSharedLibrary(ArrayRef<Object> objects,
                                      StringRef output) {
  ObjectFiles files;
  if (auto e = files.write(objects))
    return e;
  // Not unloaded: its threads may wait in it.
  SmallVector<StringRef> args{"-shared", "-Wl,-z,nodelete"};
  llvm::append_range(args, files.paths);
  return runCompiler(args, output);
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

llvm::Error gradus::linkProgram(ArrayRef<Object> objects,
                                const ModelInterface &model, StringRef output) {
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
  ObjectFiles files;
  if (auto e = files.write(objects))
    return e;
  Temporary program("c");
  if (auto e = writeFile(program.path, ArrayRef(source.data(), source.size())))
    return e;
  SmallVector<StringRef> args{"-O2", "-w", program.path};
  llvm::append_range(args, files.paths);
  return runCompiler(args, output);
}
