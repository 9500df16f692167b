//===- gradus-ptx-run.cpp - every kernel of a PTX file, judged ------------===//
//
// usage: gradus-ptx-run FILE.ptx
//
// Runs each kernel in the interpreter, launched as its comments say, on random
// matrices, and compares the result with sums in f64. Exit code 3 if one is
// off.
//
//===----------------------------------------------------------------------===//

#include "Interpreter.h"
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>

namespace {
using List = std::vector<int64_t>;

List numbers(const std::string &s) {
  List list;
  std::istringstream in(s);
  for (std::string part; std::getline(in, part, ',');)
    list.push_back(std::stoll(part));
  return list;
}

/// What the comments before the kernels say of one.
struct Product {
  ptx::Launch launch;
  List sizes, elements;      ///< m, n, k, batch..; of lhs, rhs, out
  std::array<List, 3> steps; ///< row, column, batch..
};

std::map<std::string, Product> readComments(const std::string &text) {
  std::map<std::string, Product> products;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    char name[512], sizes[256], lhs[256], rhs[256], out[256];
    unsigned gx, gy, gz, block;
    long long a, b, c;
    // NOLINTBEGIN(bugprone-unchecked-string-to-number-conversion): the numbers
    // are the compiler's own, and the count of them is checked.
    if (std::sscanf(line.c_str(),
                    "// %511[^:]: grid %u %u %u, block %u; (lhs, rhs, out) of "
                    "%lld, %lld, %lld elements",
                    name, &gx, &gy, &gz, &block, &a, &b, &c) == 8) {
      products[name].launch = {{gx, gy, gz}, {block, 1, 1}};
      products[name].elements = {a, b, c};
    } else if (std::sscanf(line.c_str(),
                           "// %511[^:]: m,n,k,batch %255s steps lhs %255s rhs "
                           "%255s out %255s",
                           name, sizes, lhs, rhs, out) == 5) {
      products[name].sizes = numbers(sizes);
      products[name].steps = {numbers(lhs), numbers(rhs), numbers(out)};
    }
    // NOLINTEND(bugprone-unchecked-string-to-number-conversion)
  }
  return products;
}

template <typename T> struct Buffer {
  std::vector<char> bytes;
  explicit Buffer(size_t n) : bytes(n * sizeof(T)) {}
  T get(int64_t i) const {
    T v;
    std::memcpy(&v, bytes.data() + i * sizeof(T), sizeof(T));
    return v;
  }
  void set(int64_t i, T v) {
    std::memcpy(bytes.data() + i * sizeof(T), &v, sizeof(T));
  }
};

/// The largest error of a kernel, relative to sums in f64.
template <typename T>
double check(const ptx::Kernel &kernel, const Product &p) {
  std::mt19937 random(1);
  std::uniform_real_distribution<> unit(-1, 1);
  Buffer<T> lhs(p.elements[0]), rhs(p.elements[1]), out(p.elements[2]);
  for (int64_t i = 0; i < p.elements[0]; ++i)
    lhs.set(i, T(unit(random)));
  for (int64_t i = 0; i < p.elements[1]; ++i)
    rhs.set(i, T(unit(random)));
  for (int64_t i = 0; i < p.elements[2]; ++i)
    out.set(i, T(NAN)); // what is not stored shows
  ptx::run(kernel, p.launch, {&lhs.bytes, &rhs.bytes, &out.bytes});
  int64_t m = p.sizes[0], n = p.sizes[1], k = p.sizes[2], batches = 1;
  for (size_t i = 3; i < p.sizes.size(); ++i)
    batches *= p.sizes[i];
  double worst = 0;
  for (int64_t b = 0; b < batches; ++b) {
    int64_t start[3] = {0, 0, 0}, rest = b;
    for (size_t i = p.sizes.size(); i-- > 3;) {
      for (int o = 0; o < 3; ++o)
        start[o] += rest % p.sizes[i] * p.steps[o][i - 1];
      rest /= p.sizes[i];
    }
    for (int64_t r = 0; r < m; ++r)
      for (int64_t c = 0; c < n; ++c) {
        double sum = 0;
        for (int64_t s = 0; s < k; ++s)
          sum +=
              double(
                  lhs.get(start[0] + r * p.steps[0][0] + s * p.steps[0][1])) *
              double(rhs.get(start[1] + s * p.steps[1][0] + c * p.steps[1][1]));
        double error =
            std::abs(sum - double(out.get(start[2] + r * p.steps[2][0] +
                                          c * p.steps[2][1]))) /
            (1 + std::abs(sum));
        worst = std::isnan(error) ? INFINITY : std::max(worst, error);
      }
  }
  return worst;
}
} // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::cerr << "usage: gradus-ptx-run FILE.ptx\n";
    return 2;
  }
  std::ifstream file(argv[1]);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) {
    std::cerr << "error: " << argv[1] << " cannot be read\n";
    return 1;
  }
  try {
    auto kernels = ptx::parse(text.str());
    auto products = readComments(text.str());
    if (kernels.empty())
      throw ptx::Error("the file holds no kernel");
    bool good = true;
    for (auto &[name, kernel] : kernels) {
      auto p = products.find(name);
      if (p == products.end() || p->second.sizes.size() < 3)
        throw ptx::Error(name + " has no comment that says how to launch it");
      bool f64 = name.find("_f64_") != std::string::npos;
      double worst = f64 ? check<double>(kernel, p->second)
                         : check<float>(kernel, p->second);
      bool ok = worst < (f64 ? 1e-12 : 1e-4);
      good &= ok;
      std::printf("%s %s: worst error %.1e\n", ok ? "ok   " : "WRONG",
                  name.c_str(), worst);
    }
    return good ? 0 : 3;
  } catch (const std::exception &e) {
    std::cerr << "error: " << e.what() << "\n";
    return 1;
  }
}
