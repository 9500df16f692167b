//===- Progress.h - a live line on the terminal -----------------*- C++ -*-===//

#ifndef GRADUS_TRAINING_PROGRESS_H
#define GRADUS_TRAINING_PROGRESS_H

#include <chrono>
#include <string>
#include <vector>

namespace gradus {

/// A mean as people read it: four digits, or what there is of a small one.
std::string figure(double value);

/// Running means of what a step reports, with a bar, the speed and the time
/// left; redrawn at most ten times a second, and only on a terminal.
class Progress {
public:
  /// `batch`: examples a step; 0 where there are none.
  Progress(std::vector<std::string> names, int64_t epoch, int64_t epochs,
           int64_t steps, int64_t batch, int64_t stepsAfterEpoch);
  void step(int64_t done, const std::vector<double> &values);
  /// The finished epoch as one line that stays.
  std::string summary() const;
  void clear();

private:
  void draw(int64_t done);
  double seconds() const;

  std::vector<std::string> names;
  std::vector<double> sums;
  int64_t epoch, epochs, steps, batch, after, counted = 0;
  std::chrono::steady_clock::time_point start, drawn;
  bool terminal;
};

} // namespace gradus

#endif // GRADUS_TRAINING_PROGRESS_H
