/* Checks that are compiled in every build. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobstore.h"

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);   \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

/* Checks that a call succeeds. `error` is its last argument. */
#define OK(call)                                                                \
  do {                                                                          \
    jobstore_error *error = NULL;                                               \
    int32_t code = (call);                                                      \
    if (code != JOBSTORE_OK) {                                                  \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__,                    \
              jobstore_error_name(error), jobstore_error_message(error));       \
      exit(1);                                                                  \
    }                                                                           \
    CHECK(error == NULL);                                                       \
  } while (0)

/* Checks that a call fails with this code, with and without an error. */
#define FAILS(expected, call)                                                   \
  do {                                                                          \
    jobstore_error *made = NULL, **error = &made;                               \
    int32_t code = (call);                                                      \
    if (code != (expected) || jobstore_error_code(made) != code ||              \
        jobstore_error_message(made)[0] == 0 ||                                 \
        strstr(jobstore_error_json(made), "\"result\":\"failed\"") == NULL ||    \
        jobstore_error_status(made) < 400) {                                    \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__,                    \
              jobstore_code_name(code), jobstore_error_message(made));          \
      exit(1);                                                                  \
    }                                                                           \
    jobstore_error_free(made);                                                  \
    error = NULL;                                                               \
    CHECK((call) == code);                                                      \
  } while (0)

static inline jobstore_text t(const char *string) { return jobstore_text_of(string); }

#endif
