/* An engine with an event loop: calls that do not wait, and a store on disk. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

enum { THREADS = 8, JOBS = 200 };

static jobstore_graph *graph;
static jobstore_queue *queue;
static const jobstore_request request = {{"c", 1}, {"/ges", 4}, {"{}", 2}, {NULL, 0}};

static void *submit(void *user) {
  uint64_t first = (uint64_t)(size_t)user;
  for (uint64_t n = 0; n < JOBS; n++)
    OK(jobstore_submit_async(graph, &request, queue, first + n, &error));
  return NULL;
}

/* Waits for the next result as an event loop does. */
static jobstore_completion *next(void) {
  for (;;) {
    jobstore_completion *completion;
    OK(jobstore_queue_next(queue, 0, &completion, &error));
    if (completion != NULL) return completion;
    struct pollfd fd = {jobstore_queue_fd(queue), POLLIN, 0};
    CHECK(poll(&fd, 1, 60000) == 1);
  }
}

static void submits_from_many_threads(void) {
  pthread_t threads[THREADS];
  static unsigned char seen[THREADS * JOBS];
  for (size_t n = 0; n < THREADS; n++)
    CHECK(pthread_create(&threads[n], NULL, submit, (void *)(n * JOBS)) == 0);
  for (size_t n = 0; n < THREADS * JOBS; n++) {
    jobstore_completion *completion = next();
    uint64_t tag = jobstore_completion_tag(completion);
    CHECK(tag < THREADS * JOBS && !seen[tag]);
    seen[tag] = 1;
    CHECK(jobstore_completion_code(completion) == JOBSTORE_OK);
    CHECK(jobstore_completion_error(completion) == NULL);
    CHECK(jobstore_completion_text(completion).len == 55);
    jobstore_completion_free(completion);
  }
  for (size_t n = 0; n < THREADS; n++) CHECK(pthread_join(threads[n], NULL) == 0);
  uint64_t pending;
  OK(jobstore_count(graph, t("pending"), &pending, &error));
  CHECK(pending == THREADS * JOBS);
  struct pollfd fd = {jobstore_queue_fd(queue), POLLIN, 0};
  CHECK(poll(&fd, 1, 0) == 0);
}

static void a_job_without_waiting(void) {
  jobstore_run *run, *none;
  int32_t done;
  OK(jobstore_claim_next_async(graph, queue, 1, &error));
  jobstore_completion *completion = next();
  CHECK(jobstore_completion_tag(completion) == 1);
  OK(jobstore_completion_take_run(completion, &run, &error));
  OK(jobstore_completion_take_run(completion, &none, &error));
  CHECK(run != NULL && none == NULL);
  jobstore_completion_free(completion);
  char id[JOBSTORE_JOB_ID_SIZE];
  jobstore_text text = jobstore_run_id(run);
  memcpy(id, text.ptr, text.len), id[text.len] = 0;

  OK(jobstore_wait_async(graph, t(id), queue, 2, &error));
  OK(jobstore_run_complete_async(run, t("{\"kind\":\"failed\",\"message\":\"m\"}"), queue, 3, &error));
  jobstore_run_free(run);
  for (int n = 0; n < 2; n++) {
    completion = next();
    text = jobstore_completion_text(completion);
    if (jobstore_completion_tag(completion) == 2)
      CHECK(memmem(text.ptr, text.len, "\"message\":\"m\"", 13) != NULL);
    else
      CHECK(jobstore_completion_done(completion) == JOBSTORE_DONE);
    jobstore_completion_free(completion);
  }
  OK(jobstore_complete_async(graph, t(id), t("failed"), queue, 4, &error));
  completion = next();
  done = jobstore_completion_done(completion);
  CHECK(done == JOBSTORE_ALREADY_COMPLETE);
  jobstore_completion_free(completion);

  OK(jobstore_start_async(graph, t(id), queue, 5, &error));
  completion = next();
  CHECK(jobstore_completion_code(completion) == JOBSTORE_ERROR_ILLEGAL_TRANSITION);
  CHECK(jobstore_error_status(jobstore_completion_error(completion)) == 400);
  jobstore_completion_free(completion);
  OK(jobstore_cancel_async(graph, t(id), queue, 6, &error));
  completion = next();
  CHECK(jobstore_completion_done(completion) == JOBSTORE_ALREADY_COMPLETE);
  jobstore_completion_free(completion);
}

/* A claim that waits when its queue is freed takes no job. */
static void an_abandoned_claim(void) {
  jobstore_graph *empty;
  jobstore_store *store;
  jobstore_queue *other;
  jobstore_run *run;
  jobstore_job_id id;
  OK(jobstore_open_in_memory(NULL, &store, &error));
  OK(jobstore_create_graph(store, t("1"), t("empty"), &empty, &error));
  OK(jobstore_queue_new(&other, &error));
  OK(jobstore_claim_next_async(empty, other, 1, &error));
  OK(jobstore_claim_next_async(empty, other, 2, &error));
  OK(jobstore_queue_cancel(other, 1, &error));
  jobstore_queue_free(other);
  OK(jobstore_submit(empty, &request, &id, &error));
  /* A run that was not taken is pending again. */
  OK(jobstore_queue_new(&other, &error));
  OK(jobstore_claim_next_async(empty, other, 3, &error));
  jobstore_completion *completion;
  OK(jobstore_queue_next(other, -1, &completion, &error));
  CHECK(completion != NULL);
  jobstore_completion_free(completion);
  jobstore_queue_free(other);
  OK(jobstore_claim_next(empty, 10000, &run, &error));
  CHECK(run != NULL);
  jobstore_run_detach(run);
  jobstore_graph_free(empty);
  jobstore_free(store);
}

static atomic_int passed;
static pthread_t callback_thread;

static void on_completion(void *user, const jobstore_completion *completion) {
  CHECK(user == &passed && jobstore_completion_code(completion) == JOBSTORE_OK);
  callback_thread = pthread_self();
  atomic_fetch_add(&passed, 1);
}

static void callbacks(void) {
  jobstore_queue *other;
  OK(jobstore_queue_new_with_callback(on_completion, &passed, &other, &error));
  for (uint64_t n = 0; n < JOBS; n++)
    OK(jobstore_submit_async(graph, &request, other, n, &error));
  while (atomic_load(&passed) < JOBS) poll(NULL, 0, 1);
  jobstore_queue_free(other);
  CHECK(atomic_load(&passed) == JOBS && !pthread_equal(callback_thread, pthread_self()));
}

static atomic_int logged;

static void on_log(void *user, int32_t level, jobstore_text line) {
  CHECK(user == NULL && level >= 1 && level <= 4 && line.len > 0);
  CHECK(line.ptr[line.len - 1] != '\n');
  atomic_fetch_add(&logged, 1);
}

static void a_store_on_disk(const char *directory) {
  char backup[4096], path[4096];
  jobstore_options *options;
  jobstore_store *store, *none;
  jobstore_graph *movie;
  jobstore_run *run;
  jobstore_bytes json;
  jobstore_control *control;
  bool sound = false;
  snprintf(path, sizeof path, "%s/store", directory);
  snprintf(backup, sizeof backup, "%s/backup", directory);
  OK(jobstore_set_log(t("debug"), on_log, NULL, &error));
  FAILS(JOBSTORE_ERROR_INVALID_USE, jobstore_set_log(t("info"), on_log, NULL, error));
  OK(jobstore_options_new(&options, &error));
  OK(jobstore_options_set(options, t("create"), t("false"), &error));
  FAILS(JOBSTORE_ERROR_STORE_MISSING, jobstore_open(t(path), options, &none, error));
  OK(jobstore_options_set(options, t("create"), t("true"), &error));
  OK(jobstore_open(t(path), options, &store, &error));
  FAILS(JOBSTORE_ERROR_STORE_IN_USE, jobstore_open(t(path), NULL, &none, error));
  OK(jobstore_create_graph(store, t("1"), t("movie"), &movie, &error));
  OK(jobstore_submit_as(movie, t("a"), &request, NULL, &error));
  OK(jobstore_claim_next(movie, 0, &run, &error));
  OK(jobstore_open_control(store, &control, &error));
  OK(jobstore_control_path(control, &json, &error));
  CHECK(strstr(json.ptr, "/store/control.sock") != NULL);
  jobstore_bytes_free(&json);
  OK(jobstore_stats(store, &json, &error));
  CHECK(strstr(json.ptr, "\"graphs\":") != NULL);
  jobstore_bytes_free(&json);
  OK(jobstore_backup(store, t(backup), &json, &error));
  jobstore_bytes_free(&json);
  jobstore_run_detach(run);
  jobstore_control_free(control);
  OK(jobstore_close(store, &error));
  jobstore_graph_free(movie);
  jobstore_free(store);

  OK(jobstore_verify(t(backup), &sound, &json, &error));
  CHECK(sound);
  jobstore_bytes_free(&json);
  OK(jobstore_options_set(options, t("recovery"), t("requeue"), &error));
  OK(jobstore_open(t(path), options, &store, &error));
  OK(jobstore_recovered(store, &json, &error));
  CHECK(strstr(json.ptr, "\"action\":\"requeued\"") != NULL && strstr(json.ptr, "\"opens\":2"));
  jobstore_bytes_free(&json);
  OK(jobstore_get_graph(store, t("1"), t("movie"), &movie, &error));
  CHECK(jobstore_graph_name(movie).len == 5 && jobstore_graph_project_id(movie).len == 1);
  jobstore_graph_free(movie);
  OK(jobstore_close(store, &error));
  jobstore_free(store);
  jobstore_options_free(options);
  CHECK(atomic_load(&logged) > 0);
}

int main(int argc, char **argv) {
  jobstore_store *store;
  CHECK(argc == 2);
  CHECK(strcmp(jobstore_version(), "0.1.0") == 0);
  OK(jobstore_open_in_memory(NULL, &store, &error));
  OK(jobstore_create_graph(store, t("1"), t("movie"), &graph, &error));
  OK(jobstore_queue_new(&queue, &error));
  submits_from_many_threads();
  a_job_without_waiting();
  an_abandoned_claim();
  callbacks();
  jobstore_queue_free(queue);
  jobstore_graph_free(graph);
  jobstore_free(store);
  a_store_on_disk(argv[1]);
  puts("engine: passed");
  return 0;
}
