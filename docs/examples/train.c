/* Trains docs/examples/mlp.mlir with nothing but libc and libm:
 *
 *   gradus compile docs/examples/mlp.mlir --dims batch=64 -o mlp.o --header
 * mlp.h cc -I. docs/examples/train.c mlp.o -lm -o train && ./train
 *
 * The data are made up: ten blurred bars, one a class. */
#include "mlp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { batch = 64, pixels = 784, classes = 10, steps = 200 };

static float noise(void) { return (float)rand() / (float)RAND_MAX; }

static void make_batch(float *x, int32_t *label) {
  for (int i = 0; i < batch; ++i) {
    label[i] = rand() % classes;
    for (int p = 0; p < pixels; ++p)
      x[i * pixels + p] =
          0.5f * noise() + (p / 28 / 3 == label[i] ? 0.5f : 0.0f);
  }
}

int main(void) {
  void *variables = aligned_alloc(64, MLP_VARIABLES_BYTES),
       *arena = aligned_alloc(64, (MLP_ARENA_BYTES + 63) / 64 * 64);
  float *x = aligned_alloc(64, sizeof(float) * batch * pixels), loss = 0,
        accuracy = 0;
  int32_t label[batch];
  int64_t seed = 1;
  if (!variables || !arena || !x)
    return 1;
  memset(variables, 0, MLP_VARIABLES_BYTES);
  mlp_init(variables, &seed, arena);
  for (int step = 1; step <= steps; ++step) {
    make_batch(x, label);
    mlp_fit_step(variables, x, label, &loss, &accuracy, arena);
    if (step % 50 == 0)
      printf("step %d: loss %.4f, accuracy %.2f\n", step, loss, accuracy);
  }
  return accuracy > 0.95f ? 0 : 1;
}
