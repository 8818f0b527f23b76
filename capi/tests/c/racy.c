/* Deliberate mistakes, which ThreadSanitizer must report: it would not find others, either.
   `racy callback` reads what a callback writes, without waiting for it. `racy options` sets options
   from two threads, so that the race is in the library. `racy tag` changes memory that was handed to
   another thread. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>

#include "check.h"

static jobstore_options *options;
static int plain;

static void *set(void *user) {
  (void)user;
  for (int n = 0; n < 100; n++)
    OK(jobstore_options_set(options, t("secret_keys"), t("password,accessKey"), &error));
  return NULL;
}

static void on_result(void *user, const jobstore_completion *completion) {
  (void)user, (void)completion;
  plain++;
}

int main(int argc, char **argv) {
  pthread_t thread;
  jobstore_store *store;
  jobstore_graph *graph;
  jobstore_queue *queue;
  CHECK(argc == 2);
  if (strcmp(argv[1], "options") == 0) {
    OK(jobstore_options_new(&options, &error));
    CHECK(pthread_create(&thread, NULL, set, NULL) == 0);
    set(NULL);
    CHECK(pthread_join(thread, NULL) == 0);
    jobstore_options_free(options);
    return 0;
  }
  OK(jobstore_open_in_memory(NULL, &store, &error));
  OK(jobstore_create_graph(store, t("1"), t("movie"), &graph, &error));
  OK(jobstore_queue_new_with_callback(on_result, NULL, &queue, &error));
  jobstore_request request = jobstore_request_of("c", "/ges", "{}");
  OK(jobstore_submit_async(graph, &request, queue, 1, &error));
  if (strcmp(argv[1], "callback") == 0)
    for (int n = 0; n < 1000 && *(volatile int *)&plain == 0; n++) poll(NULL, 0, 1);
  else
    plain++;
  poll(NULL, 0, 200);
  jobstore_queue_free(queue);
  jobstore_graph_free(graph);
  jobstore_free(store);
  return 0;
}
