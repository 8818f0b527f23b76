/* Calls that a correct engine does not make: they return errors and change nothing. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static jobstore_store *store;
static jobstore_graph *graph;

static int32_t ignore(void *user, const char *data, size_t len) {
  (void)user, (void)data, (void)len;
  return 0;
}

static int32_t refuse(void *user, const char *data, size_t len) {
  (void)user, (void)data, (void)len;
  return 7;
}

static ptrdiff_t too_much(void *user, char *buffer, size_t capacity) {
  (void)user, (void)buffer;
  return (ptrdiff_t)capacity + 1;
}

static void on_log(void *user, int32_t level, jobstore_text line) {
  (void)user, (void)level, (void)line;
}

static void on_completion(void *user, const jobstore_completion *completion) {
  (void)user, (void)completion;
}

/* Every pointer of every function, NULL in turn. */
static void null_arguments(void) {
  enum { BAD = JOBSTORE_ERROR_INVALID_PARAMETER };
  jobstore_request request = jobstore_request_of("c", "/ges", "");
  jobstore_bytes bytes;
  jobstore_job_id id;
  jobstore_run *run;
  jobstore_page *page;
  jobstore_queue *queue;
  jobstore_changes *changes;
  jobstore_completion *completion;
  uint64_t number;
  size_t len;
  bool flag;
  jobstore_text a = t("a");
  OK(jobstore_queue_new(&queue, &error));
  OK(jobstore_list(graph, t(""), &page, &error));
  OK(jobstore_submit_as(graph, a, &request, NULL, &error));
  OK(jobstore_claim_next(graph, 0, &run, &error));
  OK(jobstore_open_changes(graph, t(""), &changes, &error));

  FAILS(BAD, jobstore_options_new(NULL, error));
  FAILS(BAD, jobstore_options_set(NULL, t("create"), t("true"), error));
  FAILS(BAD, jobstore_open(t("/"), NULL, NULL, error));
  FAILS(BAD, jobstore_open_in_memory(NULL, NULL, error));
  FAILS(BAD, jobstore_follow(t("/"), NULL, NULL, error));
  FAILS(BAD, jobstore_recovered(NULL, &bytes, error));
  FAILS(BAD, jobstore_recovered(store, NULL, error));
  FAILS(BAD, jobstore_close(NULL, error));
  FAILS(BAD, jobstore_create_graph(NULL, a, a, &graph, error));
  FAILS(BAD, jobstore_create_graph(store, a, a, NULL, error));
  FAILS(BAD, jobstore_get_graph(NULL, a, a, &graph, error));
  FAILS(BAD, jobstore_get_graph(store, a, a, NULL, error));
  FAILS(BAD, jobstore_get_or_create_graph(NULL, a, a, &graph, error));
  FAILS(BAD, jobstore_get_or_create_graph(store, a, a, NULL, error));
  FAILS(BAD, jobstore_drop_graph(NULL, a, a, error));
  FAILS(BAD, jobstore_graphs(NULL, &bytes, error));
  FAILS(BAD, jobstore_graphs(store, NULL, error));
  FAILS(BAD, jobstore_submit(NULL, &request, &id, error));
  FAILS(BAD, jobstore_submit(graph, NULL, &id, error));
  FAILS(BAD, jobstore_submit(graph, &request, NULL, error));
  FAILS(BAD, jobstore_submit_as(NULL, a, &request, &flag, error));
  FAILS(BAD, jobstore_submit_as(graph, a, NULL, &flag, error));
  FAILS(BAD, jobstore_submit_once(NULL, a, &request, &id, &flag, error));
  FAILS(BAD, jobstore_submit_once(graph, a, NULL, &id, &flag, error));
  FAILS(BAD, jobstore_submit_once(graph, a, &request, NULL, &flag, error));
  FAILS(BAD, jobstore_submit_many(NULL, &request, 1, &id, error));
  FAILS(BAD, jobstore_submit_many(graph, NULL, 1, &id, error));
  FAILS(BAD, jobstore_submit_many(graph, &request, 1, NULL, error));
  FAILS(BAD, jobstore_submit_many(graph, &request, SIZE_MAX, &id, error));
  OK(jobstore_submit_many(graph, NULL, 0, NULL, &error));
  FAILS(BAD, jobstore_start(NULL, a, error));
  FAILS(BAD, jobstore_complete(NULL, a, a, NULL, error));
  FAILS(BAD, jobstore_cancel(NULL, a, NULL, error));
  FAILS(BAD, jobstore_cancel_all(NULL, t(""), false, &bytes, error));
  FAILS(BAD, jobstore_cancel_all(graph, t(""), false, NULL, error));
  FAILS(BAD, jobstore_claim_next(NULL, 0, &run, error));
  FAILS(BAD, jobstore_claim_next(graph, 0, NULL, error));
  FAILS(BAD, jobstore_claim(NULL, a, &run, error));
  FAILS(BAD, jobstore_claim(graph, a, NULL, error));
  FAILS(BAD, jobstore_attach(NULL, a, &run, error));
  FAILS(BAD, jobstore_attach(graph, a, NULL, error));
  FAILS(BAD, jobstore_run_request(NULL, &request, error));
  FAILS(BAD, jobstore_run_request(run, NULL, error));
  FAILS(BAD, jobstore_run_progress(NULL, 1, a, error));
  FAILS(BAD, jobstore_run_wait_cancelled(NULL, 0, &flag, error));
  FAILS(BAD, jobstore_run_wait_cancelled(run, 0, NULL, error));
  FAILS(BAD, jobstore_run_complete(NULL, t(""), NULL, error));
  FAILS(BAD, jobstore_run_requeue(NULL, NULL, error));
  FAILS(BAD, jobstore_job(NULL, a, &bytes, error));
  FAILS(BAD, jobstore_job(graph, a, NULL, error));
  FAILS(BAD, jobstore_job_request(NULL, a, &bytes, error));
  FAILS(BAD, jobstore_job_request(graph, a, NULL, error));
  FAILS(BAD, jobstore_tombstone(NULL, a, &bytes, error));
  FAILS(BAD, jobstore_tombstone(graph, a, NULL, error));
  FAILS(BAD, jobstore_count(NULL, t("pending"), &number, error));
  FAILS(BAD, jobstore_count(graph, t("pending"), NULL, error));
  FAILS(BAD, jobstore_wait(NULL, a, 0, &bytes, error));
  FAILS(BAD, jobstore_wait(graph, a, 0, NULL, error));
  FAILS(BAD, jobstore_find(NULL, &request, 0, ignore, NULL, error));
  FAILS(BAD, jobstore_find(graph, NULL, 0, ignore, NULL, error));
  FAILS(BAD, jobstore_find(graph, &request, 0, NULL, NULL, error));
  FAILS(BAD, jobstore_list(NULL, t(""), &page, error));
  FAILS(BAD, jobstore_list(graph, t(""), NULL, error));
  FAILS(BAD, jobstore_page_next(NULL, &bytes, error));
  FAILS(BAD, jobstore_page_next(page, NULL, error));
  FAILS(BAD, jobstore_page_write(NULL, ignore, NULL, error));
  FAILS(BAD, jobstore_page_write(page, NULL, NULL, error));
  FAILS(BAD, jobstore_page_read(NULL, NULL, 0, &len, error));
  FAILS(BAD, jobstore_page_read(page, NULL, 1, &len, error));
  FAILS(BAD, jobstore_page_read(page, NULL, 0, NULL, error));
  FAILS(JOBSTORE_ERROR_BUFFER_TOO_SMALL, jobstore_page_read(page, NULL, 0, &len, error));
  FAILS(BAD, jobstore_page_size(NULL, &len, error));
  FAILS(BAD, jobstore_page_size(page, NULL, error));
  FAILS(BAD, jobstore_tally(NULL, t("by=state"), &bytes, error));
  FAILS(BAD, jobstore_tally(graph, t("by=state"), NULL, error));
  FAILS(BAD, jobstore_tally_all(NULL, t("by=state"), &bytes, error));
  FAILS(BAD, jobstore_tally_all(store, t("by=state"), NULL, error));
  FAILS(BAD, jobstore_history(NULL, t(""), &bytes, error));
  FAILS(BAD, jobstore_history(graph, t(""), NULL, error));
  FAILS(BAD, jobstore_open_changes(NULL, t(""), &changes, error));
  FAILS(BAD, jobstore_open_changes(graph, t(""), NULL, error));
  FAILS(BAD, jobstore_position(NULL, &bytes, error));
  FAILS(BAD, jobstore_position(graph, NULL, error));
  FAILS(BAD, jobstore_changes_next(NULL, 0, &bytes, error));
  FAILS(BAD, jobstore_changes_next(changes, 0, NULL, error));
  FAILS(BAD, jobstore_set_retention(NULL, t(""), error));
  FAILS(BAD, jobstore_retention(NULL, &bytes, error));
  FAILS(BAD, jobstore_retention(graph, NULL, error));
  FAILS(BAD, jobstore_purge(NULL, t(""), true, NULL, error));
  FAILS(BAD, jobstore_export(NULL, t(""), false, ignore, NULL, error));
  FAILS(BAD, jobstore_export(graph, t(""), false, NULL, NULL, error));
  FAILS(BAD, jobstore_import(NULL, false, too_much, NULL, &bytes, error));
  FAILS(BAD, jobstore_import(graph, false, NULL, NULL, &bytes, error));
  FAILS(BAD, jobstore_import(graph, false, too_much, NULL, NULL, error));
  FAILS(BAD, jobstore_stats(NULL, &bytes, error));
  FAILS(BAD, jobstore_stats(store, NULL, error));
  FAILS(BAD, jobstore_health(NULL, &bytes, error));
  FAILS(BAD, jobstore_health(store, NULL, error));
  FAILS(BAD, jobstore_backup(NULL, a, &bytes, error));
  FAILS(BAD, jobstore_backup(store, a, NULL, error));
  FAILS(BAD, jobstore_verify(a, NULL, NULL, error));
  FAILS(BAD, jobstore_open_control(NULL, NULL, error));
  FAILS(BAD, jobstore_control_path(NULL, &bytes, error));
  FAILS(BAD, jobstore_set_log(t("info"), NULL, NULL, error));
  FAILS(BAD, jobstore_set_log(t("loud"), on_log, NULL, error));
  FAILS(BAD, jobstore_queue_new(NULL, error));
  FAILS(BAD, jobstore_queue_new_with_callback(NULL, NULL, &queue, error));
  FAILS(BAD, jobstore_queue_new_with_callback(on_completion, NULL, NULL, error));
  FAILS(BAD, jobstore_queue_next(NULL, 0, &completion, error));
  FAILS(BAD, jobstore_queue_next(queue, 0, NULL, error));
  FAILS(BAD, jobstore_queue_cancel(NULL, 0, error));
  FAILS(BAD, jobstore_submit_async(NULL, &request, queue, 0, error));
  FAILS(BAD, jobstore_submit_async(graph, NULL, queue, 0, error));
  FAILS(BAD, jobstore_submit_async(graph, &request, NULL, 0, error));
  FAILS(BAD, jobstore_start_async(NULL, a, queue, 0, error));
  FAILS(BAD, jobstore_start_async(graph, a, NULL, 0, error));
  FAILS(BAD, jobstore_complete_async(NULL, a, a, queue, 0, error));
  FAILS(BAD, jobstore_complete_async(graph, a, t(""), NULL, 0, error));
  FAILS(BAD, jobstore_cancel_async(NULL, a, queue, 0, error));
  FAILS(BAD, jobstore_cancel_async(graph, a, NULL, 0, error));
  FAILS(BAD, jobstore_claim_next_async(NULL, queue, 0, error));
  FAILS(BAD, jobstore_claim_next_async(graph, NULL, 0, error));
  FAILS(BAD, jobstore_run_complete_async(NULL, t(""), queue, 0, error));
  FAILS(BAD, jobstore_run_complete_async(run, t(""), NULL, 0, error));
  FAILS(BAD, jobstore_wait_async(NULL, a, queue, 0, error));
  FAILS(BAD, jobstore_wait_async(graph, a, NULL, 0, error));
  FAILS(BAD, jobstore_completion_take_run(NULL, &run, error));

  CHECK(jobstore_error_code(NULL) == JOBSTORE_OK && jobstore_error_status(NULL) == 200);
  CHECK(strcmp(jobstore_error_name(NULL), "Ok") == 0);
  CHECK(jobstore_error_message(NULL)[0] == 0 && jobstore_error_json(NULL)[0] == 0);
  CHECK(jobstore_graph_name(NULL).len == 0 && jobstore_graph_project_id(NULL).len == 0);
  CHECK(jobstore_run_id(NULL).len == 0 && jobstore_run_cancel_requested(NULL));
  CHECK(jobstore_page_len(NULL) == 0 && jobstore_page_total(NULL) == -1);
  CHECK(jobstore_queue_fd(NULL) == -1);
  CHECK(jobstore_completion_tag(NULL) == 0 && jobstore_completion_error(NULL) == NULL);
  CHECK(jobstore_completion_code(NULL) == 0 && jobstore_completion_text(NULL).len == 0);
  CHECK(jobstore_completion_done(NULL) == 0);

  /* Nothing was changed: the job is still running, and there is no other. */
  OK(jobstore_count(graph, t("running"), &number, &error));
  CHECK(number == 1);
  OK(jobstore_count(graph, t("pending"), &number, &error));
  CHECK(number == 0);
  jobstore_queue_free(queue);
  jobstore_changes_free(changes);
  jobstore_run_free(run);
  jobstore_page_free(page);
}

static void free_null(void) {
  jobstore_bytes bytes = {NULL, 0};
  jobstore_bytes_free(NULL);
  jobstore_bytes_free(&bytes);
  jobstore_error_free(NULL);
  jobstore_options_free(NULL);
  jobstore_free(NULL);
  jobstore_graph_free(NULL);
  jobstore_run_free(NULL);
  jobstore_run_detach(NULL);
  jobstore_page_free(NULL);
  jobstore_changes_free(NULL);
  jobstore_control_free(NULL);
  jobstore_queue_free(NULL);
  jobstore_completion_free(NULL);
}

static void bad_texts(void) {
  jobstore_request request = jobstore_request_of("c", "/ges", "{}");
  jobstore_text missing = {NULL, 3}, huge = {"a", SIZE_MAX}, invalid = {"a\xff", 2};
  jobstore_text texts[] = {missing, huge, invalid};
  for (size_t n = 0; n < 3; n++) {
    FAILS(JOBSTORE_ERROR_INVALID_PARAMETER, jobstore_start(graph, texts[n], error));
    request.body = texts[n];
    FAILS(JOBSTORE_ERROR_INVALID_PARAMETER, jobstore_submit_as(graph, t("x"), &request, NULL, error));
  }
  /* A NUL byte is a character like any other. */
  jobstore_text zero = {"a\0b", 3};
  FAILS(JOBSTORE_ERROR_INVALID_JOB_ID, jobstore_start(graph, zero, error));
  jobstore_graph *none;
  FAILS(JOBSTORE_ERROR_UNKNOWN_GRAPH, jobstore_get_graph(store, t("1"), zero, &none, error));
}

/* A query that is refused cancels and counts nothing. */
static void bad_queries(void) {
  jobstore_bytes bytes;
  jobstore_text invalid = {"\xff", 1};
  jobstore_job_id id;
  jobstore_request request = jobstore_request_of("c", "/ges", "{}");
  OK(jobstore_submit(graph, &request, &id, &error));
  const char *queries[] = {"by=state", "stat=pending", "command=", "state=pending&dry_run=true"};
  for (size_t n = 0; n < sizeof queries / sizeof *queries; n++)
    FAILS(JOBSTORE_ERROR_INVALID_PARAMETER,
          jobstore_cancel_all(graph, t(queries[n]), false, &bytes, error));
  FAILS(JOBSTORE_ERROR_INVALID_PARAMETER, jobstore_cancel_all(graph, invalid, false, &bytes, error));
  FAILS(JOBSTORE_ERROR_INVALID_USE, jobstore_cancel_all(graph, t("limit=1"), false, &bytes, error));
  FAILS(JOBSTORE_ERROR_INVALID_PARAMETER, jobstore_tally(graph, invalid, &bytes, error));
  FAILS(JOBSTORE_ERROR_INVALID_PARAMETER, jobstore_tally_all(store, invalid, &bytes, error));
  FAILS(JOBSTORE_ERROR_INVALID_PARAMETER, jobstore_history(graph, invalid, &bytes, error));
  int32_t done;
  OK(jobstore_cancel(graph, t(id.text), &done, &error));
  CHECK(done == JOBSTORE_CANCELLED_BEFORE_START);
}

static void bad_callbacks(void) {
  jobstore_page *page;
  jobstore_bytes bytes;
  OK(jobstore_list(graph, t(""), &page, &error));
  FAILS(JOBSTORE_ERROR_OUTPUT, jobstore_page_write(page, refuse, NULL, error));
  FAILS(JOBSTORE_ERROR_OUTPUT, jobstore_export(graph, t(""), false, refuse, NULL, error));
  FAILS(JOBSTORE_ERROR_INPUT, jobstore_import(graph, false, too_much, NULL, &bytes, error));
  jobstore_page_free(page);
}

static void frees_in_any_order(void) {
  jobstore_store *other;
  jobstore_graph *movie;
  jobstore_page *page;
  jobstore_run *run;
  jobstore_changes *changes;
  jobstore_queue *queue;
  jobstore_job_id id;
  jobstore_request request = jobstore_request_of("c", "/ges", "{}");
  OK(jobstore_open_in_memory(NULL, &other, &error));
  OK(jobstore_create_graph(other, t("1"), t("movie"), &movie, &error));
  jobstore_free(other);
  OK(jobstore_submit(movie, &request, &id, &error));
  OK(jobstore_claim_next(movie, 0, &run, &error));
  OK(jobstore_queue_new(&queue, &error));
  OK(jobstore_claim_next_async(movie, queue, 1, &error));
  OK(jobstore_wait_async(movie, t(id.text), queue, 2, &error));
  OK(jobstore_list(movie, t(""), &page, &error));
  OK(jobstore_open_changes(movie, t(""), &changes, &error));
  jobstore_graph_free(movie);
  OK(jobstore_run_complete(run, t("succeeded"), NULL, &error));
  OK(jobstore_page_write(page, ignore, NULL, &error));
  jobstore_run_free(run);
  jobstore_bytes json;
  OK(jobstore_changes_next(changes, 0, &json, &error));
  jobstore_bytes_free(&json);
  jobstore_bytes_free(&json);
  jobstore_queue_free(queue);
  jobstore_changes_free(changes);
  jobstore_page_free(page);
}

static void *follow(void *user) {
  jobstore_bytes json;
  int32_t code;
  do { /* until the main thread does not use it */
    code = jobstore_changes_next(user, -1, &json, NULL);
  } while (code == JOBSTORE_ERROR_HANDLE_IN_USE);
  CHECK(code == JOBSTORE_OK && json.ptr != NULL);
  jobstore_bytes_free(&json);
  return NULL;
}

static void two_threads_on_one_feed(void) {
  jobstore_bytes json, position;
  jobstore_changes *changes;
  pthread_t thread;
  OK(jobstore_position(graph, &position, &error));
  OK(jobstore_open_changes(graph, t(position.ptr), &changes, &error));
  jobstore_bytes_free(&position);
  CHECK(pthread_create(&thread, NULL, follow, changes) == 0);
  int32_t code;
  do { /* until the other thread waits */
    code = jobstore_changes_next(changes, 0, &json, NULL);
  } while (code == JOBSTORE_OK);
  CHECK(code == JOBSTORE_ERROR_HANDLE_IN_USE);
  jobstore_request request = jobstore_request_of("c", "/ges", "{}");
  jobstore_job_id id;
  OK(jobstore_submit(graph, &request, &id, &error));
  CHECK(pthread_join(thread, NULL) == 0);
  jobstore_changes_free(changes);
}

static void forked_child(void) {
  jobstore_queue *queue;
  jobstore_completion *completion;
  jobstore_page *page;
  jobstore_bytes bytes;
  OK(jobstore_queue_new_with_callback(on_completion, NULL, &queue, &error));
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    jobstore_request request = jobstore_request_of("c", "/ges", "{}");
    jobstore_job_id id;
    FAILS(JOBSTORE_ERROR_FORKED, jobstore_submit(graph, &request, &id, error));
    FAILS(JOBSTORE_ERROR_FORKED, jobstore_list(graph, t(""), &page, error));
    FAILS(JOBSTORE_ERROR_FORKED, jobstore_cancel_all(graph, t(""), false, &bytes, error));
    FAILS(JOBSTORE_ERROR_FORKED, jobstore_tally(graph, t("by=state"), &bytes, error));
    FAILS(JOBSTORE_ERROR_FORKED, jobstore_history(graph, t(""), &bytes, error));
    FAILS(JOBSTORE_ERROR_FORKED, jobstore_tally_all(store, t("by=state"), &bytes, error));
    FAILS(JOBSTORE_ERROR_FORKED, jobstore_queue_next(queue, 0, &completion, error));
    FAILS(JOBSTORE_ERROR_FORKED, jobstore_submit_async(graph, &request, queue, 1, error));
    jobstore_queue_free(queue);
    jobstore_graph_free(graph);
    jobstore_free(store);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  OK(jobstore_list(graph, t(""), &page, &error));
  jobstore_page_free(page);
  jobstore_queue_free(queue);
}

int main(void) {
  OK(jobstore_open_in_memory(NULL, &store, &error));
  OK(jobstore_create_graph(store, t("1"), t("movie"), &graph, &error));
  null_arguments();
  free_null();
  bad_texts();
  bad_queries();
  bad_callbacks();
  frees_in_any_order();
  two_threads_on_one_feed();
  /* The child leaves what it inherited unfreed, so a memory checker should skip this. */
  if (getenv("JOBSTORE_NO_FORK") == NULL) forked_child();
  jobstore_graph_free(graph);
  jobstore_free(store);
  puts("misuse: passed");
  return 0;
}
