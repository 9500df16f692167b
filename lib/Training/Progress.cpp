//===- Progress.cpp - a live line on the terminal -------------------------===//

#include "Progress.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace gradus;
using Clock = std::chrono::steady_clock;
using llvm::formatv;

std::string gradus::figure(double value) {
  constexpr double small = 1e-2;
  bool isSmall = value != 0 && std::abs(value) < small;
  return isSmall ? formatv("{0:e3}", value) : formatv("{0:f4}", value);
}

Progress::Progress(std::vector<std::string> names, int64_t epoch,
                   int64_t epochs, int64_t steps, int64_t batch,
                   int64_t stepsAfterEpoch)
    : names(std::move(names)), sums(this->names.size()), epoch(epoch),
      epochs(epochs), steps(steps), batch(batch), after(stepsAfterEpoch),
      start(Clock::now()), drawn(start),
      terminal(llvm::sys::Process::StandardErrIsDisplayed()) {}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void Progress::step(int64_t done, const std::vector<double> &values) {
  ++counted;
  for (size_t i = 0; i < values.size(); ++i)
    sums[i] += values[i];
  if (terminal && Clock::now() - drawn > std::chrono::milliseconds(100)) {
    drawn = Clock::now();
    draw(done);
  }
}

std::string Progress::summary() const {
  std::string s = formatv("epoch {0}/{1}", epoch, epochs);
  for (size_t i = 0; i < names.size(); ++i)
    s += formatv("  {0} {1}", names[i],
                 figure(sums[i] / double(std::max<int64_t>(counted, 1))));
  double rate = double(counted * std::max<int64_t>(batch, 1)) / seconds();
  s += formatv("  {0:f0} {1}/s", rate, batch ? "examples" : "steps");
  return s;
}

void Progress::draw(int64_t done) {
  constexpr int64_t width = 24;
  int64_t full = width * done / steps;
  double perStep = seconds() / double(counted);
  double left = perStep * double(steps - done + after);
  llvm::errs() << "\r\x1b[K" << summary() << "  [" << std::string(full, '=')
               << std::string(width - full, ' ') << "]  "
               << formatv("{0}:{1,0+2} left", int64_t(left) / 60,
                          int64_t(left) % 60);
}

void Progress::clear() {
  if (terminal)
    llvm::errs() << "\r\x1b[K";
}
