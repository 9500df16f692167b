/* The main program of `gradus compile -o PROGRAM`: calls a function of the
 * model on numbers and NumPy files.
 *
 *   PROGRAM FUNCTION name=1.5 name=@x.npy ... [name=@y.npy for an output]
 * [--variables FILE] [--seed N]
 *
 * The block of variables is read from FILE if it is there, else initialised
 * from the seed, and written back after the call (to a temporary, then
 * renamed). Outputs without a file are printed. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct {
  const char *name, *descr; /* NumPy's */
  int rank;
  long long shape[16];
  size_t elements, size; /* of an element */
  bool output;
} port;
typedef struct {
  const char *name;
  void (*call)(void *variables, void **tensors, void *arena);
  size_t ports, arena;
  const port *port;
} entry;

static int fail(const char *about, const char *what) {
  fprintf(stderr, "error: %s: %s\n", about, what);
  return 1;
}
/* Zeros. A large block asks for large pages, as `gradus run` does. */
static void *block(size_t bytes) {
  const size_t line = 64, huge_page = 2 << 20;
  size_t unit = bytes >= huge_page ? huge_page : line;
  bytes = (bytes + unit) / unit * unit;
  void *p = aligned_alloc(unit, bytes);
  if (!p) {
    fail("memory", "there is not enough");
    exit(1);
  }
#ifdef MADV_HUGEPAGE
  if (unit == huge_page)
    (void)madvise(p, bytes, MADV_HUGEPAGE);
#endif
  memset(p, 0, bytes);
  return p;
}
static void header(const port *p, char *text, size_t size) {
  int n =
      snprintf(text, size, "{'descr': '%s', 'fortran_order': False, 'shape': (",
               p->descr);
  for (int i = 0; i < p->rank; ++i)
    n += snprintf(text + n, size - n, "%lld,", p->shape[i]);
  snprintf(text + n, size - n, "), }");
}
/* A shape as NumPy writes it, without blanks, for comparison. */
static void squeezed(char *s) {
  char *to = s;
  for (; *s; ++s)
    if (*s != ' ' && *s != '\n' && !(*s == ',' && s[1] == ')') &&
        !(*s == ',' && s[1] == '}'))
      *to++ = *s;
  *to = 0;
}
static int read_npy(const port *p, const char *path, void *data) {
  FILE *f = fopen(path, "rb");
  if (!f)
    return fail(path, strerror(errno));
  unsigned char mark[10];
  char have[512], want[512];
  size_t length = 0;
  int bad =
      fread(mark, 1, 10, f) != 10 || memcmp(mark, "\x93NUMPY\x01", 7) != 0;
  if (!bad)
    length = mark[8] | mark[9] << 8;
  bad = bad || length >= sizeof have || fread(have, 1, length, f) != length;
  if (!bad) {
    have[length] = 0;
    header(p, want, sizeof want);
    squeezed(have);
    squeezed(want);
    bad = strcmp(have, want) != 0;
  }
  size_t bytes = p->elements * p->size;
  bad = bad || fread(data, 1, bytes, f) != bytes || fgetc(f) != EOF;
  fclose(f);
  if (!bad)
    return 0;
  header(p, want, sizeof want);
  fprintf(stderr, "error: %s: is no .npy file that holds %s for '%s'\n", path,
          want, p->name);
  return 1;
}
static int write_whole(const char *path, const void *head, size_t head_bytes,
                       const void *data, size_t bytes) {
  char temporary[4096];
  if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >=
      (int)sizeof temporary)
    return fail(path, "the name is too long");
  FILE *f = fopen(temporary, "wb");
  if (!f)
    return fail(path, strerror(errno));
  int bad = fwrite(head, 1, head_bytes, f) != head_bytes ||
            fwrite(data, 1, bytes, f) != bytes;
  if (fclose(f) != 0 || bad || rename(temporary, path) != 0) {
    remove(temporary);
    return fail(path, "cannot be written");
  }
  return 0;
}
static int write_npy(const port *p, const char *path, const void *data) {
  char text[512], head[640];
  header(p, text, sizeof text);
  size_t length = (10 + strlen(text) + 1 + 63) / 64 * 64 - 10;
  memcpy(head, "\x93NUMPY\x01\x00", 8);
  head[8] = (char)(length & 255);
  head[9] = (char)(length >> 8);
  memset(head + 10, ' ', length);
  memcpy(head + 10, text, strlen(text));
  head[10 + length - 1] = '\n';
  return write_whole(path, head, 10 + length, data, p->elements * p->size);
}
static double element(const port *p, const void *data, size_t i) {
  if (strcmp(p->descr, "<f4") == 0)
    return ((const float *)data)[i];
  if (strcmp(p->descr, "<f8") == 0)
    return ((const double *)data)[i];
  if (strcmp(p->descr, "<i4") == 0)
    return ((const int32_t *)data)[i];
  if (strcmp(p->descr, "<i8") == 0)
    return (double)((const int64_t *)data)[i];
  return ((const uint8_t *)data)[i];
}
static int fill(const port *p, const char *text, void *data) {
  char *end;
  double v = strtod(text, &end);
  if (*text == 0 || *end != 0)
    return fail(p->name, "expected a number, or @ and the name of a .npy file");
  for (size_t i = 0; i < p->elements; ++i) {
    if (strcmp(p->descr, "<f4") == 0)
      ((float *)data)[i] = (float)v;
    else if (strcmp(p->descr, "<f8") == 0)
      ((double *)data)[i] = v;
    else if (strcmp(p->descr, "<i4") == 0)
      ((int32_t *)data)[i] = (int32_t)v;
    else if (strcmp(p->descr, "<i8") == 0)
      ((int64_t *)data)[i] = (int64_t)v;
    else
      ((uint8_t *)data)[i] = v != 0;
  }
  return 0;
}
static void print(const port *p, const void *data) {
  printf("%s =", p->name);
  for (size_t i = 0; i < p->elements && i < 16; ++i)
    printf(" %.9g", element(p, data, i));
  printf("%s\n", p->elements > 16 ? " ..." : "");
}

static const entry entries[];
static const size_t entry_count, variable_bytes;

int main(int argc, char **argv) {
  const entry *e = 0;
  for (size_t i = 0; argc > 1 && i < entry_count; ++i)
    if (strcmp(entries[i].name, argv[1]) == 0)
      e = &entries[i];
  if (!e) {
    fprintf(stderr,
            "usage: %s FUNCTION name=1.5 name=@x.npy ... [--variables FILE] "
            "[--seed N]\nfunctions:",
            argv[0]);
    for (size_t i = 0; i < entry_count; ++i)
      fprintf(stderr, " %s", entries[i].name);
    fprintf(stderr, "\n");
    return 2;
  }
  const char *variable_file = 0, *files[64] = {0};
  long long seed = 0;
  void *tensors[64];
  bool given[64] = {0};
  for (size_t i = 0; i < e->ports; ++i)
    tensors[i] = block(e->port[i].elements * e->port[i].size);
  for (int a = 2; a < argc; ++a) {
    if (strcmp(argv[a], "--variables") == 0 && a + 1 < argc) {
      variable_file = argv[++a];
      continue;
    }
    if (strcmp(argv[a], "--seed") == 0 && a + 1 < argc) {
      seed = atoll(argv[++a]);
      continue;
    }
    const char *equals = strchr(argv[a], '=');
    size_t i = 0, length = equals ? (size_t)(equals - argv[a]) : 0;
    while (i < e->ports && !(strlen(e->port[i].name) == length &&
                             strncmp(e->port[i].name, argv[a], length) == 0))
      ++i;
    if (!equals || i == e->ports)
      return fail(argv[a], "the function has no such input or output");
    const port *p = &e->port[i];
    given[i] = true;
    if (p->output && equals[1] == '@')
      files[i] = equals + 2;
    else if (p->output)
      return fail(p->name, "an output goes to a file: name=@y.npy");
    else if (equals[1] == '@' ? read_npy(p, equals + 2, tensors[i])
                              : fill(p, equals + 1, tensors[i]))
      return 1;
  }
  for (size_t i = 0; i < e->ports; ++i)
    if (!e->port[i].output && !given[i])
      return fail(e->port[i].name, "this input is missing");
  char *variables = block(variable_bytes);
  FILE *f = variable_file ? fopen(variable_file, "rb") : 0;
  if (f) {
    bool whole = fread(variables, 1, variable_bytes, f) == variable_bytes &&
                 fgetc(f) == EOF;
    fclose(f);
    if (!whole)
      return fail(variable_file, "is no block of variables of this model");
  } else {
    for (size_t i = 0; i < entry_count; ++i)
      if (variable_bytes && strcmp(entries[i].name, "init") == 0) {
        void *in[1] = {&seed};
        entries[i].call(variables, in, block(entries[i].arena));
      }
  }
  e->call(variables, tensors, block(e->arena));
  for (size_t i = 0; i < e->ports; ++i)
    if (e->port[i].output &&
        (files[i] ? write_npy(&e->port[i], files[i], tensors[i])
                  : (print(&e->port[i], tensors[i]), 0)))
      return 1;
  return variable_file ? write_whole(variable_file, variables, 0, variables,
                                     variable_bytes)
                       : 0;
}
