/*===- OpenDriver.h - the driver, looked for when it is needed --*- C -*-===*/

#ifndef GRADUS_RUNTIME_OPENDRIVER_H
#define GRADUS_RUNTIME_OPENDRIVER_H

#include "CudaDriver.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/*===-- The driver
 * ---------------------------------------------------------===*/

static struct {
  void *library;
#define X(name, symbol, params) CUresult(*name) params;
  DRIVER_FUNCTIONS(X)
  OPTIONAL_DRIVER_FUNCTIONS(X) /* or NULL */
#undef X
  tensor_map_function tensor_map; /* or NULL */
} driver;

/* CUDA 11.4, the first whose driver has all that is asked of it here. */
static const int least_version = 11040;

/* Until a model has a state of its own. */
static char early_message[1024];

static const char *driver_says(CUresult result) {
  const char *text = NULL;
  if (!driver.error_text || driver.error_text(result, &text) != 0 || !text)
    return "an error without a text";
  return text;
}

static const char *open_driver(void) {
  if (driver.library)
    return NULL;
  const char *name = getenv("GRADUS_CUDA_DRIVER");
  if (!name || !*name)
    name = "libcuda.so.1";
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(early_message, sizeof early_message,
             "no GPU: the NVIDIA driver's library %s is not there (%s)", name,
             dlerror());
    return early_message;
  }
#define X(name, symbol, params)                                                \
  *(void **)&driver.name = dlsym(library, symbol);                             \
  if (!driver.name) {                                                          \
    snprintf(early_message, sizeof early_message,                              \
             "no GPU: the NVIDIA driver is too old, it has no %s", symbol);    \
    dlclose(library);                                                          \
    return early_message;                                                      \
  }
  DRIVER_FUNCTIONS(X)
#undef X
#define X(name, symbol, params) *(void **)&driver.name = dlsym(library, symbol);
  OPTIONAL_DRIVER_FUNCTIONS(X)
#undef X
  *(void **)&driver.tensor_map = dlsym(library, "cuTensorMapEncodeTiled");
  CUresult result = driver.init(0);
  if (result != 0) {
    snprintf(early_message, sizeof early_message, "no GPU: the driver says: %s",
             driver_says(result));
    return early_message;
  }
  int version = 0;
  driver.version(&version);
  if (version < least_version) {
    snprintf(early_message, sizeof early_message,
             "the NVIDIA driver is too old: for CUDA %d.%d, but at least %d.%d "
             "is needed",
             version / 1000, version % 1000 / 10, least_version / 1000,
             least_version % 1000 / 10);
    return early_message;
  }
  driver.library = library;
  return NULL;
}

#endif /* GRADUS_RUNTIME_OPENDRIVER_H */
