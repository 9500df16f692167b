//===- Scalar.h - the two other readings of a `formula` ---------*- C++ -*-===//
//
// A formula is read as arith and math ops on one element (`S`), and on doubles
// (namespace `real`) by the reference interpreter.
//
//===----------------------------------------------------------------------===//

#ifndef GRADUS_GRAPH_SCALAR_H
#define GRADUS_GRAPH_SCALAR_H

#include "gradus/Graph.h"
#include <cmath>

namespace gradus::graph {

/// One element in the IR, or a plain number.
class S {
public:
  S(double number) : number(number) {}
  S(ImplicitLocOpBuilder *builder, Value value)
      : builder(builder), element(value) {}
  Value value() const { return element; }
  Type type() const { return element.getType(); }
  bool isFloat() const { return isa<FloatType>(type()); }
  /// This value, or this number as a constant of the type of `like`.
  S as(const S &like) const;

  ImplicitLocOpBuilder *builder = nullptr;

private:
  Value element;
  double number = 0;
};

S operator-(const S &a);
S operator+(const S &a, const S &b);
S operator-(const S &a, const S &b);
S operator*(const S &a, const S &b);
S operator/(const S &a, const S &b);
S max(const S &a, const S &b);
S min(const S &a, const S &b);
S pow(const S &a, const S &b);
S exp(const S &x);
S log(const S &x);
S sqrt(const S &x);
S tanh(const S &x);
S erf(const S &x);
S sin(const S &x);
S cos(const S &x);
S abs(const S &x);
S sign(const S &x);
S floor(const S &x);
S sigmoid(const S &x);
S compare(Comparison predicate, const S &a, const S &b);
S select(const S &condition, const S &a, const S &b);
S logicalAnd(const S &a, const S &b);
S logicalOr(const S &a, const S &b);
S logicalNot(const S &x);
S convert(const S &x, Type to);

namespace real {
// NOLINTBEGIN(misc-unused-using-decls): the formulas use them.
using std::abs;
using std::cos;
using std::erf;
using std::exp;
using std::floor;
using std::log;
using std::pow;
using std::sin;
using std::sqrt;
using std::tanh;
// NOLINTEND(misc-unused-using-decls)
inline double max(double a, double b) { return std::isnan(a) || a > b ? a : b; }
inline double min(double a, double b) { return std::isnan(a) || a < b ? a : b; }
inline double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }
inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double select(double condition, double a, double b) {
  return condition != 0 ? a : b;
}
inline double logicalAnd(double a, double b) { return a != 0 && b != 0; }
inline double logicalOr(double a, double b) { return a != 0 || b != 0; }
inline double logicalNot(double x) { return x == 0; }
double compare(Comparison predicate, double a, double b);
double convert(double x, Type to);
} // namespace real

} // namespace gradus::graph

#endif // GRADUS_GRAPH_SCALAR_H
