/* Runs the calls of cases.txt through the C library, and compares their results. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <time.h>

#include "jobstore.h"
#include "text.h"

static jobstore_options *options;
static jobstore_store *store;
static jobstore_graph *graph;
static jobstore_run *run;
static char id[JOBSTORE_JOB_ID_SIZE];
static text cursor, position;

static jobstore_text t(const char *string) { return jobstore_text_of(string); }

static void end_case(void) {
  /* In an order that an engine might use by mistake. */
  jobstore_free(store);
  jobstore_options_free(options);
  jobstore_graph_free(graph);
  jobstore_run_free(run);
  options = NULL, store = NULL, graph = NULL, run = NULL;
  id[0] = 0;
  text_set(&cursor, "", 0);
  text_set(&position, "", 0);
}

static int32_t append(void *user, const char *data, size_t len) {
  text_add(user, data, len);
  return 0;
}

typedef struct {
  const char *at;
  size_t left;
} input;

static ptrdiff_t provide(void *user, char *buffer, size_t capacity) {
  input *in = user;
  size_t len = in->left < capacity ? in->left : capacity;
  if (len > 7) len = 7; /* in small pieces */
  memcpy(buffer, in->at, len);
  in->at += len, in->left -= len;
  return (ptrdiff_t)len;
}

/* Moves a result of the library into a text. */
static void take(text *out, jobstore_bytes *bytes) {
  if (bytes->ptr == NULL) text_puts(out, "none");
  else text_add(out, bytes->ptr, bytes->len);
  jobstore_bytes_free(bytes);
}

static void put_number(text *out, uint64_t number) {
  char digits[32];
  snprintf(digits, sizeof digits, "%" PRIu64, number);
  text_puts(out, digits);
}

static const char *done_word(int32_t done) {
  switch (done) {
    case JOBSTORE_DONE: return "done";
    case JOBSTORE_CANCELLED_BEFORE_START: return "cancelled_before_start";
    case JOBSTORE_CANCEL_REQUESTED: return "cancel_requested";
    case JOBSTORE_ALREADY_COMPLETE: return "already_complete";
    default: return "?";
  }
}

static int32_t open_store(jobstore_error **error) {
  return store ? JOBSTORE_OK : jobstore_open_in_memory(options, &store, error);
}

typedef int32_t open_fn(const jobstore_store *, jobstore_text, jobstore_text, jobstore_graph **,
                        jobstore_error **);

static int32_t open_graph(open_fn *open, char **args, text *out, jobstore_error **error) {
  jobstore_graph *opened;
  int32_t code = open_store(error);
  if (code == JOBSTORE_OK) code = open(store, t(args[0]), t(args[1]), &opened, error);
  if (code == JOBSTORE_OK) {
    jobstore_graph_free(graph);
    graph = opened;
    text_puts(out, "ok");
  }
  return code;
}

static int32_t fill(size_t jobs, jobstore_error **error) {
  enum { BATCH = 1000 };
  static char bodies[BATCH][32];
  static jobstore_request requests[BATCH];
  static jobstore_job_id ids[BATCH];
  for (size_t from = 0; from < jobs; from += BATCH) {
    size_t count = jobs - from < BATCH ? jobs - from : BATCH;
    for (size_t n = 0; n < count; n++) {
      snprintf(bodies[n], sizeof bodies[n], "{\"n\":%zu}", from + n);
      requests[n] = jobstore_request_of("fill", "/ges", bodies[n]);
    }
    int32_t code = jobstore_submit_many(graph, requests, count, ids, error);
    if (code != JOBSTORE_OK) return code;
    if (strlen(ids[count - 1].text) != 55) abort();
  }
  return JOBSTORE_OK;
}

/* Lists a page in all ways, which must agree. */
static int32_t list(const char *query, text *out, size_t *jobs, jobstore_error **error) {
  jobstore_page *page;
  int32_t code = jobstore_list(graph, t(query), &page, error);
  if (code != JOBSTORE_OK) return code;
  jobstore_bytes next;
  code = jobstore_page_next(page, &next, error);
  if (code == JOBSTORE_OK) {
    text_set(&cursor, next.ptr ? next.ptr : "", next.len);
    jobstore_bytes_free(&next);
    *jobs = jobstore_page_len(page);
    code = jobstore_page_write(page, append, out, error);
  }
  size_t size = 0, len = 0;
  if (code == JOBSTORE_OK) code = jobstore_page_size(page, &size, error);
  if (code == JOBSTORE_OK) {
    char *buffer = malloc(size);
    if (jobstore_page_read(page, buffer, size - 1, &len, NULL) !=
            JOBSTORE_ERROR_BUFFER_TOO_SMALL || len != size)
      abort();
    code = jobstore_page_read(page, buffer, size, &len, error);
    if (code == JOBSTORE_OK && (len != out->len || memcmp(buffer, out->ptr, len) != 0)) abort();
    free(buffer);
  }
  jobstore_page_free(page);
  return code;
}

/* The kinds of all changes after a position, and the position after them. */
static int32_t changes(const char *from, text *out, jobstore_error **error) {
  jobstore_changes *feed;
  int32_t code = jobstore_open_changes(graph, t(from), &feed, error);
  if (code != JOBSTORE_OK) return code;
  for (;;) {
    jobstore_bytes json;
    code = jobstore_changes_next(feed, 0, &json, error);
    if (code != JOBSTORE_OK || json.ptr == NULL) break;
    const char *kind = json.ptr + strlen("{\"kind\":\"");
    const char *at = strstr(json.ptr, "\"position\":\"") + strlen("\"position\":\"");
    if (out->len > 0) text_puts(out, " ");
    text_add(out, kind, (size_t)(strchr(kind, '"') - kind));
    text_set(&position, at, (size_t)(strchr(at, '"') - at));
    jobstore_bytes_free(&json);
  }
  jobstore_changes_free(feed);
  return code;
}

static int32_t wait_state(const char *job, const char *state, jobstore_error **error) {
  text wanted = {0};
  text_puts(&wanted, "\"status\":\"");
  text_puts(&wanted, state);
  int32_t code;
  for (int found = 0; !found;) {
    jobstore_bytes json;
    code = jobstore_job(graph, t(job), &json, error);
    if (code != JOBSTORE_OK) break;
    found = strstr(json.ptr, wanted.ptr) != NULL;
    jobstore_bytes_free(&json);
    struct timespec pause = {0, 1000000};
    if (!found) nanosleep(&pause, NULL);
  }
  text_free(&wanted);
  return code;
}

static int is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static int32_t call(const char *name, char **args, text *out, jobstore_error **error) {
  jobstore_bytes bytes = {0};
  jobstore_request request;
  jobstore_job_id new_id;
  int32_t code, done = JOBSTORE_DONE;
  uint64_t number = 0;
  bool flag = false;
  size_t jobs = 0;

  if (is(name, "option")) {
    if (options == NULL) jobstore_options_new(&options, NULL);
    code = jobstore_options_set(options, t(args[0]), t(args[1]), error);
  } else if (is(name, "graph")) {
    return open_graph(jobstore_get_or_create_graph, args, out, error);
  } else if (is(name, "create")) {
    return open_graph(jobstore_create_graph, args, out, error);
  } else if (is(name, "get")) {
    return open_graph(jobstore_get_graph, args, out, error);
  } else if (is(name, "drop")) {
    code = open_store(error);
    if (code == JOBSTORE_OK) code = jobstore_drop_graph(store, t(args[0]), t(args[1]), error);
  } else if (is(name, "graphs")) {
    code = jobstore_graphs(store, &bytes, error);
    if (code == JOBSTORE_OK) take(out, &bytes);
    return code;
  } else if (is(name, "health")) {
    code = jobstore_health(store, &bytes, error);
    if (code == JOBSTORE_OK) take(out, &bytes);
    return code;
  } else if (is(name, "tally_all")) {
    code = jobstore_tally_all(store, t(args[0]), &bytes, error);
    if (code == JOBSTORE_OK) take(out, &bytes);
    return code;
  } else if (is(name, "close")) {
    code = jobstore_close(store, error);
  } else if (is(name, "submit")) {
    request = jobstore_request_of(args[0], args[1], args[2]);
    code = jobstore_submit(graph, &request, &new_id, error);
    if (code == JOBSTORE_OK) text_puts(out, strcpy(id, new_id.text));
    return code;
  } else if (is(name, "submit_from")) {
    request = jobstore_request_of(args[1], args[2], args[3]);
    request.origin = t(args[0]);
    code = jobstore_submit(graph, &request, &new_id, error);
    if (code == JOBSTORE_OK) text_puts(out, strcpy(id, new_id.text));
    return code;
  } else if (is(name, "submit_as")) {
    request = jobstore_request_of(args[1], args[2], args[3]);
    code = jobstore_submit_as(graph, t(args[0]), &request, &flag, error);
    if (code == JOBSTORE_OK) text_puts(out, flag ? "created" : "exists");
    return code;
  } else if (is(name, "submit_once")) {
    request = jobstore_request_of(args[1], args[2], args[3]);
    code = jobstore_submit_once(graph, t(args[0]), &request, &new_id, &flag, error);
    if (code == JOBSTORE_OK) {
      strcpy(id, new_id.text);
      text_puts(out, flag ? "created" : "exists");
    }
    return code;
  } else if (is(name, "fill")) {
    code = fill(strtoul(args[0], NULL, 10), error);
    if (code == JOBSTORE_OK) text_puts(out, args[0]);
    return code;
  } else if (is(name, "start")) {
    code = jobstore_start(graph, t(args[0]), error);
  } else if (is(name, "complete") || is(name, "run_complete") || is(name, "cancel") ||
             is(name, "requeue")) {
    if (is(name, "complete"))
      code = jobstore_complete(graph, t(args[0]), t(args[1]), &done, error);
    else if (is(name, "cancel"))
      code = jobstore_cancel(graph, t(args[0]), &done, error);
    else if (is(name, "requeue"))
      code = jobstore_run_requeue(run, &done, error);
    else
      code = jobstore_run_complete(run, t(args[0]), &done, error);
    if (code == JOBSTORE_OK) text_puts(out, done_word(done));
    return code;
  } else if (is(name, "claim") || is(name, "claim_next")) {
    jobstore_run *claimed;
    code = is(name, "claim") ? jobstore_claim(graph, t(args[0]), &claimed, error)
                             : jobstore_claim_next(graph, 0, &claimed, error);
    if (code != JOBSTORE_OK) return code;
    jobstore_run_free(run);
    run = claimed;
    jobstore_text claimed_id = jobstore_run_id(run);
    if (run == NULL) text_puts(out, "none");
    else text_add(out, claimed_id.ptr, claimed_id.len);
    return code;
  } else if (is(name, "run_origin")) {
    code = jobstore_run_request(run, &request, error);
    if (code == JOBSTORE_OK) text_add(out, request.origin.ptr, request.origin.len);
    return code;
  } else if (is(name, "run_request")) {
    code = jobstore_run_request(run, &request, error);
    if (code != JOBSTORE_OK) return code;
    text_add(out, request.command.ptr, request.command.len);
    text_puts(out, " ");
    text_add(out, request.url.ptr, request.url.len);
    text_puts(out, " ");
    text_add(out, request.body.ptr, request.body.len);
    return code;
  } else if (is(name, "progress")) {
    code = jobstore_run_progress(run, (uint8_t)atoi(args[0]), t(args[1]), error);
  } else if (is(name, "cancel_requested")) {
    text_puts(out, jobstore_run_cancel_requested(run) ? "true" : "false");
    return JOBSTORE_OK;
  } else if (is(name, "run_free")) {
    jobstore_run_free(run);
    run = NULL, code = JOBSTORE_OK;
  } else if (is(name, "detach")) {
    jobstore_run_detach(run);
    run = NULL, code = JOBSTORE_OK;
  } else if (is(name, "job") || is(name, "job_request") || is(name, "wait") ||
             is(name, "tombstone") || is(name, "get_retention") || is(name, "cancel_all") ||
             is(name, "tally") || is(name, "history")) {
    if (is(name, "job")) code = jobstore_job(graph, t(args[0]), &bytes, error);
    else if (is(name, "job_request"))
      code = jobstore_job_request(graph, t(args[0]), &bytes, error);
    else if (is(name, "wait"))
      code = jobstore_wait(graph, t(args[0]), atoi(args[1]), &bytes, error);
    else if (is(name, "tombstone")) code = jobstore_tombstone(graph, t(args[0]), &bytes, error);
    else if (is(name, "cancel_all"))
      code = jobstore_cancel_all(graph, t(args[0]), is(args[1], "true"), &bytes, error);
    else if (is(name, "tally")) code = jobstore_tally(graph, t(args[0]), &bytes, error);
    else if (is(name, "history")) code = jobstore_history(graph, t(args[0]), &bytes, error);
    else code = jobstore_retention(graph, &bytes, error);
    if (code == JOBSTORE_OK) take(out, &bytes);
    return code;
  } else if (is(name, "wait_state")) {
    code = wait_state(args[0], args[1], error);
  } else if (is(name, "count")) {
    code = jobstore_count(graph, t(args[0]), &number, error);
    if (code == JOBSTORE_OK) put_number(out, number);
    return code;
  } else if (is(name, "list")) {
    return list(args[0], out, &jobs, error);
  } else if (is(name, "size")) {
    text json = {0};
    code = list(args[0], &json, &jobs, error);
    if (code == JOBSTORE_OK) {
      put_number(out, jobs);
      text_puts(out, " ");
      put_number(out, json.len);
    }
    text_free(&json);
    return code;
  } else if (is(name, "find")) {
    text lines = {0};
    request = jobstore_request_of(args[0], args[1], args[2]);
    code = jobstore_find(graph, &request, 0, append, &lines, error);
    for (size_t n = 0; n < lines.len; n++) number += lines.ptr[n] == '\n';
    if (code == JOBSTORE_OK) put_number(out, number);
    text_free(&lines);
    return code;
  } else if (is(name, "changes")) {
    return changes(args[0], out, error);
  } else if (is(name, "retention")) {
    code = jobstore_set_retention(graph, t(args[0]), error);
  } else if (is(name, "purge")) {
    code = jobstore_purge(graph, t(args[0]), is(args[1], "true"), &number, error);
    if (code == JOBSTORE_OK) put_number(out, number);
    return code;
  } else if (is(name, "export")) {
    return jobstore_export(graph, t(args[0]), is(args[1], "true"), append, out, error);
  } else if (is(name, "import")) {
    text lines = {0};
    text_puts(&lines, args[0]);
    text_replace(&lines, "␤", "\n");
    input in = {lines.ptr, lines.len};
    code = jobstore_import(graph, is(args[1], "true"), provide, &in, &bytes, error);
    if (code == JOBSTORE_OK) take(out, &bytes);
    text_free(&lines);
    return code;
  } else {
    fprintf(stderr, "unknown call %s\n", name);
    exit(2);
  }
  if (code == JOBSTORE_OK) text_puts(out, "ok");
  return code;
}

/* Expands an argument or an expected result. */
static text expand(const char *from) {
  text out = {0};
  const char *open, *close;
  while ((open = strstr(from, "⟦")) != NULL) {
    close = strstr(open, "⟧");
    text_add(&out, from, (size_t)(open - from));
    const char *what = open + strlen("⟦");
    const char *star = memrchr(what, '*', (size_t)(close - what));
    for (long n = strtol(star + 1, NULL, 10); n > 0; n--)
      text_add(&out, what, (size_t)(star - what));
    from = close + strlen("⟧");
  }
  text_puts(&out, from);
  text_replace(&out, "$id", id);
  text_replace(&out, "$cursor", cursor.ptr);
  text_replace(&out, "$position", position.ptr);
  return out;
}

int main(int argc, char **argv) {
  FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;
  if (file == NULL) {
    fprintf(stderr, "usage: cases CASES\n");
    return 2;
  }
  char *line = NULL, *expected = NULL;
  size_t line_size = 0, expected_size = 0;
  int calls = 0, failed = 0, number = 0;
  end_case();
  while (getline(&line, &line_size, file) >= 0) {
    number++;
    line[strcspn(line, "\n")] = 0;
    if (line[0] == 0 || line[0] == '#') continue;
    char *args[8] = {"", "", "", "", "", "", "", ""};
    text expanded[8] = {{0}};
    int count = 0;
    char *rest = line, *name = strsep(&rest, "\t");
    if (is(name, "case")) {
      end_case();
      continue;
    }
    while (rest != NULL && count < 8) {
      expanded[count] = expand(strsep(&rest, "\t"));
      args[count] = expanded[count].ptr;
      count++;
    }
    text result = {0}, got = {0};
    text_add(&result, "", 0);
    jobstore_error *error;
    int32_t code = call(name, args, &result, &error);
    if (code == JOBSTORE_OK) {
      text_replace(&result, "\n", "␤");
      text_puts(&got, "= ");
      text_add(&got, result.ptr, result.len);
    } else {
      text_puts(&got, "! ");
      text_puts(&got, jobstore_error_name(error));
      text_puts(&got, "\t");
      text_puts(&got, jobstore_error_json(error));
      if (jobstore_error_code(error) != code ||
          strcmp(jobstore_code_name(code), jobstore_error_name(error)) != 0)
        abort();
      jobstore_error_free(error);
    }
    if (getline(&expected, &expected_size, file) < 0) return 2;
    number++;
    expected[strcspn(expected, "\n")] = 0;
    text wanted = expand(expected);
    if (wanted.ptr[0] == '!' && strchr(wanted.ptr, '\t') == NULL) text_puts(&wanted, "\t…");
    if (!matches(wanted.ptr, got.ptr, got.len)) {
      failed++;
      printf("line %d: %s\nexpected %.1000s\ngot      %.1000s\n", number - 1, name, wanted.ptr,
             got.ptr);
    }
    calls++;
    text_free(&wanted), text_free(&got), text_free(&result);
    for (int n = 0; n < count; n++) text_free(&expanded[n]);
  }
  end_case();
  text_free(&cursor), text_free(&position);
  free(line), free(expected);
  fclose(file);
  printf("C: %d calls, %d failed\n", calls, failed);
  return failed > 0 || calls == 0;
}
