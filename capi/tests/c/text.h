/* Growing texts, and what the case runner does with them. */
#ifndef TEXT_H
#define TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  char *ptr;
  size_t len, capacity;
} text;

static inline void text_add(text *to, const char *from, size_t len) {
  if (to->len + len + 1 > to->capacity) {
    to->capacity = (to->len + len + 1) * 2;
    to->ptr = realloc(to->ptr, to->capacity);
    if (to->ptr == NULL) abort();
  }
  if (len > 0) memcpy(to->ptr + to->len, from, len);
  to->len += len;
  to->ptr[to->len] = 0;
}

static inline void text_puts(text *to, const char *from) { text_add(to, from, strlen(from)); }

static inline void text_set(text *to, const char *from, size_t len) {
  to->len = 0;
  text_add(to, from, len);
}

static inline void text_free(text *t) {
  free(t->ptr);
  memset(t, 0, sizeof *t);
}

static inline const char *find(const char *in, size_t len, const char *what, size_t what_len) {
  if (what_len == 0) return in;
  return len < what_len ? NULL : memmem(in, len, what, what_len);
}

/* Replaces every `what` by `with`. */
static inline void text_replace(text *t, const char *what, const char *with) {
  text out = {0};
  const char *at = t->ptr, *end = t->ptr + t->len, *next;
  text_add(&out, "", 0);
  while ((next = find(at, (size_t)(end - at), what, strlen(what))) != NULL) {
    text_add(&out, at, (size_t)(next - at));
    text_puts(&out, with);
    at = next + strlen(what);
  }
  text_add(&out, at, (size_t)(end - at));
  text_free(t);
  *t = out;
}

/* Whether a text matches a pattern, in which "…" stands for any text. */
static inline int matches(const char *pattern, const char *text, size_t len) {
  const char *gap = strstr(pattern, "…");
  size_t first = gap ? (size_t)(gap - pattern) : strlen(pattern);
  if (len < first || memcmp(pattern, text, first) != 0) return 0;
  if (gap == NULL) return len == first;
  text += first, len -= first;
  for (;;) {
    const char *part = gap + strlen("…"), *at;
    gap = strstr(part, "…");
    if (gap == NULL) {
      size_t last = strlen(part);
      return len >= last && memcmp(text + len - last, part, last) == 0;
    }
    at = find(text, len, part, (size_t)(gap - part));
    if (at == NULL) return 0;
    at += gap - part;
    len -= (size_t)(at - text);
    text = at;
  }
}

#endif
