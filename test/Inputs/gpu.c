/* Five training steps of the MLP on a GPU, its memory the GPU's: the loss of
 * each. */
#include "mlp.h"
#include <stdio.h>

static int failed(const char *problem) {
  if (problem)
    printf("%s\n", problem);
  return problem != NULL;
}

int main(void) {
  static float x[8 * 784];
  int32_t label[8], classes = 10;
  int64_t seed = 1;
  float loss, accuracy;
  for (int i = 0; i < 8 * 784; ++i)
    x[i] = (float)(i * 37 % 101) / 101;
  for (int i = 0; i < 8; ++i)
    label[i] = i % classes;
  if (failed(mlp_device(0)))
    return 0;
  void *variables = mlp_allocate(MLP_VARIABLES_BYTES),
       *arena = mlp_allocate(MLP_ARENA_BYTES);
  if (!variables || !arena || failed(mlp_init(variables, &seed, arena)))
    return 1;
  for (int step = 0; step < 5; ++step) {
    if (failed(mlp_fit_step(variables, x, label, &loss, &accuracy, arena)))
      return 1;
    printf("loss %.4f\n", loss);
  }
  float bias[256];
  if (failed(mlp_copy(bias, (char *)variables + MLP_FC1_B_OFFSET, sizeof bias)))
    return 1;
  printf("bias moved: %d\n", bias[0] != 0);
  mlp_release(variables);
  mlp_release(arena);
  return 0;
}
