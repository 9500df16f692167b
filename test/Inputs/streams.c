/* A result that starts where vectors do, and one that does not, are the same.
 */
#include "m.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { rows = 3000, depth = 3, columns = 2816 };

int main(void) {
  size_t bytes = sizeof(float) * rows * columns;
  float *a = malloc(sizeof(float) * rows * depth),
        *b = malloc(sizeof(float) * depth * columns);
  char *whole = aligned_alloc(64, bytes),
       *shifted = aligned_alloc(64, bytes + 64);
  void *arena = aligned_alloc(64, PRODUCT_ARENA_BYTES);
  if (!a || !b || !whole || !shifted || !arena)
    return 2;
  for (int i = 0; i < rows * depth; ++i)
    a[i] = (float)(i % 17) - 8;
  for (int i = 0; i < depth * columns; ++i)
    b[i] = (float)(i % 13) - 6;
  product_product(a, b, (float *)whole, arena);
  product_product(a, b, (float *)(shifted + 4), arena);
  float last = 0;
  for (int k = 0; k < depth; ++k)
    last += a[(rows - 1) * depth + k] * b[k * columns + columns - 1];
  float found;
  memcpy(&found, whole + bytes - sizeof found, sizeof found);
  puts(memcmp(whole, shifted + 4, bytes) == 0 && found == last ? "equal"
                                                               : "different");
  return 0;
}
