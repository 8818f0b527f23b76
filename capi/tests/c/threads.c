/* Handles that several threads use at the same time, and memory that one thread hands to another by
   a call. ThreadSanitizer reports every access that the library does not order. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

enum { THREADS = 4, JOBS = 50, ALL = THREADS * JOBS };

static jobstore_graph *graph;
static jobstore_queue *queue;
static jobstore_page *page;
static jobstore_run *run;
static jobstore_changes *feed;
static atomic_int left;

/* Not atomic: written before a call, and read by the thread that gets its result. */
static int handed[ALL];

static void run_threads(void *(*body)(void *), size_t count) {
  pthread_t threads[THREADS];
  for (size_t n = 0; n < count; n++)
    CHECK(pthread_create(&threads[n], NULL, body, (void *)n) == 0);
  for (size_t n = 0; n < count; n++) CHECK(pthread_join(threads[n], NULL) == 0);
}

static jobstore_request numbered(char *body, size_t size, size_t number) {
  snprintf(body, size, "{\"n\":%zu}", number);
  return jobstore_request_of("c", "/ges", body);
}

static void read_handed(size_t number) {
  CHECK(number < ALL && handed[number] == (int)number + 1);
  handed[number] = 0;
}

/* Half of the threads submit, and the others work. */
static void *submit_or_work(void *user) {
  size_t thread = (size_t)user;
  char body[32];
  if (thread % 2 == 0) {
    for (size_t n = thread / 2 * JOBS; n < (thread / 2 + 1) * JOBS; n++) {
      jobstore_job_id id;
      handed[n] = (int)n + 1;
      jobstore_request request = numbered(body, sizeof body, n);
      OK(jobstore_submit(graph, &request, &id, &error));
    }
    return NULL;
  }
  while (atomic_load(&left) > 0) {
    jobstore_run *claimed;
    jobstore_request request;
    OK(jobstore_claim_next(graph, 10, &claimed, &error));
    if (claimed == NULL) continue;
    OK(jobstore_run_request(claimed, &request, &error));
    read_handed(strtoul(request.body.ptr + strlen("{\"n\":"), NULL, 10));
    OK(jobstore_run_progress(claimed, 50, t("half"), &error));
    OK(jobstore_run_complete(claimed, t("succeeded"), NULL, &error));
    jobstore_run_free(claimed);
    atomic_fetch_sub(&left, 1);
  }
  return NULL;
}

static int32_t count_bytes(void *user, const char *data, size_t len) {
  (void)data;
  *(size_t *)user += len;
  return 0;
}

/* All threads read one page, while they change the jobs on it, and purge them. */
static void *read_page(void *user) {
  size_t written = 0, size = 0;
  uint64_t purged;
  if ((size_t)user == 0) OK(jobstore_purge(graph, t(""), false, &purged, &error));
  OK(jobstore_page_write(page, count_bytes, &written, &error));
  OK(jobstore_page_size(page, &size, &error));
  CHECK(written == size && jobstore_page_len(page) == 2 * JOBS);
  return NULL;
}

/* One feed belongs to one thread at a time: a second one is refused. */
static void *read_feed(void *user) {
  (void)user;
  for (int n = 0; n < JOBS; n++) {
    jobstore_bytes json;
    int32_t code = jobstore_changes_next(feed, 0, &json, NULL);
    CHECK(code == JOBSTORE_OK || code == JOBSTORE_ERROR_HANDLE_IN_USE);
    if (code == JOBSTORE_OK) jobstore_bytes_free(&json);
  }
  return NULL;
}

/* One run: a thread works, a second one waits for a cancellation, and a third one cancels. */
static void *share_run(void *user) {
  bool requested = false;
  jobstore_bytes json;
  jobstore_text id = jobstore_run_id(run);
  char text[JOBSTORE_JOB_ID_SIZE] = {0};
  memcpy(text, id.ptr, id.len);
  switch ((size_t)user) {
    case 0:
      while (!jobstore_run_cancel_requested(run))
        OK(jobstore_run_progress(run, 10, t("working"), &error));
      OK(jobstore_run_complete(run, t("cancelled"), NULL, &error));
      break;
    case 1:
      OK(jobstore_run_wait_cancelled(run, -1, &requested, &error));
      CHECK(requested);
      break;
    case 2:
      OK(jobstore_cancel(graph, t(text), NULL, &error));
      break;
    default:
      OK(jobstore_wait(graph, t(text), -1, &json, &error));
      CHECK(strstr(json.ptr, "\"kind\":\"cancelled\"") != NULL);
      jobstore_bytes_free(&json);
  }
  return NULL;
}

/* Half of the threads start calls, and the others take results from the same queue. */
static void *start_or_take(void *user) {
  size_t thread = (size_t)user;
  char body[32];
  if (thread % 2 == 0) {
    for (size_t n = thread / 2 * JOBS; n < (thread / 2 + 1) * JOBS; n++) {
      handed[n] = (int)n + 1;
      jobstore_request request = numbered(body, sizeof body, n);
      OK(jobstore_submit_async(graph, &request, queue, n, &error));
    }
    return NULL;
  }
  while (atomic_load(&left) > 0) {
    jobstore_completion *completion;
    OK(jobstore_queue_next(queue, 10, &completion, &error));
    if (completion == NULL) continue;
    CHECK(jobstore_completion_code(completion) == JOBSTORE_OK);
    read_handed(jobstore_completion_tag(completion));
    jobstore_completion_free(completion);
    atomic_fetch_sub(&left, 1);
  }
  return NULL;
}

typedef struct {
  size_t calls; /* written by the callback, and read after the queue was freed */
} results;

static void on_result(void *user, const jobstore_completion *completion) {
  results *seen = user;
  CHECK(jobstore_completion_code(completion) == JOBSTORE_OK);
  read_handed(jobstore_completion_tag(completion));
  seen->calls++;
  atomic_fetch_sub(&left, 1);
}

static void *start(void *user) {
  char body[32];
  for (size_t n = (size_t)user * JOBS; n < ((size_t)user + 1) * JOBS; n++) {
    handed[n] = (int)n + 1;
    jobstore_request request = numbered(body, sizeof body, n);
    OK(jobstore_submit_async(graph, &request, queue, n, &error));
  }
  return NULL;
}

static void callbacks(void) {
  results seen = {0};
  atomic_store(&left, ALL);
  OK(jobstore_queue_new_with_callback(on_result, &seen, &queue, &error));
  run_threads(start, THREADS);
  while (atomic_load(&left) > 0) poll(NULL, 0, 1);
  jobstore_queue_free(queue);
  CHECK(seen.calls == ALL);
}

/* Threads that use a store which one of them closes. */
static void *use_or_close(void *user) {
  jobstore_store *store = user;
  jobstore_graph *own;
  jobstore_bytes json;
  char body[32];
  for (size_t n = 0;; n++) {
    jobstore_job_id id;
    jobstore_request request = numbered(body, sizeof body, n);
    int32_t code = jobstore_get_or_create_graph(store, t("1"), t("closing"), &own, NULL);
    if (code == JOBSTORE_OK) {
      code = jobstore_submit(own, &request, &id, NULL);
      jobstore_graph_free(own);
    }
    if (code == JOBSTORE_OK) code = jobstore_stats(store, &json, NULL);
    if (code != JOBSTORE_OK) {
      CHECK(code == JOBSTORE_ERROR_CLOSED);
      return NULL;
    }
    jobstore_bytes_free(&json);
    if (n == JOBS) OK(jobstore_close(store, &error));
  }
}

static void a_store_that_is_closed(void) {
  jobstore_store *store;
  pthread_t threads[THREADS];
  OK(jobstore_open_in_memory(NULL, &store, &error));
  for (size_t n = 0; n < THREADS; n++)
    CHECK(pthread_create(&threads[n], NULL, use_or_close, store) == 0);
  for (size_t n = 0; n < THREADS; n++) CHECK(pthread_join(threads[n], NULL) == 0);
  jobstore_free(store);
}

int main(void) {
  jobstore_store *store;
  OK(jobstore_open_in_memory(NULL, &store, &error));
  OK(jobstore_create_graph(store, t("1"), t("movie"), &graph, &error));
  atomic_store(&left, 2 * JOBS);
  run_threads(submit_or_work, THREADS);

  OK(jobstore_list(graph, t(""), &page, &error));
  run_threads(read_page, THREADS);
  jobstore_page_free(page);

  OK(jobstore_open_changes(graph, t(""), &feed, &error));
  run_threads(read_feed, THREADS);
  jobstore_changes_free(feed);

  jobstore_request request = jobstore_request_of("c", "/ges", "{}");
  OK(jobstore_submit_as(graph, t("a"), &request, NULL, &error));
  OK(jobstore_claim(graph, t("a"), &run, &error));
  run_threads(share_run, 4);
  jobstore_run_free(run);

  OK(jobstore_queue_new(&queue, &error));
  atomic_store(&left, 2 * JOBS);
  run_threads(start_or_take, THREADS);
  jobstore_queue_free(queue);
  callbacks();
  jobstore_graph_free(graph);
  jobstore_free(store);
  a_store_that_is_closed();
  puts("threads: passed");
  return 0;
}
