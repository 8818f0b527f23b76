/* The counterpart of examples/bench.rs in C. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jobstore.h>

enum { ROUNDS = 25, THREADS = 64, BATCHES = 40, BATCH = 16, CALLS = 100000000 };

static jobstore_graph *graph;

static void ok(int32_t code) {
  if (code != JOBSTORE_OK) {
    fprintf(stderr, "%s\n", jobstore_code_name(code));
    exit(1);
  }
}

static double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* The time of this thread, so that other processes do not matter. */
static double cpu_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int32_t count(void *user, const char *data, size_t len) {
  (void)data;
  *(volatile uint64_t *)user += len;
  return 0;
}

static void page(void) {
  jobstore_page *page;
  size_t size, len;
  uint64_t counter = 0;
  double written = 1e12, copied = 1e12;
  ok(jobstore_list(graph, jobstore_text_of(""), &page, NULL));
  for (int n = 0; n < ROUNDS; n++) {
    double start = now_us();
    ok(jobstore_page_write(page, count, &counter, NULL));
    double took = now_us() - start;
    if (took < written) written = took;
  }
  ok(jobstore_page_size(page, &size, NULL));
  char *memory = malloc(size);
  memset(memory, 1, size);
  for (int n = 0; n < ROUNDS; n++) {
    double start = now_us();
    ok(jobstore_page_read(page, memory, size, &len, NULL));
    double took = now_us() - start;
    if (took < copied) copied = took;
  }
  printf("write %.0f\nread %.0f\n", written, copied);

  const char *version = NULL;
  double start = cpu_us();
  for (int n = 0; n < CALLS; n++) version = jobstore_version();
  double took = cpu_us() - start;
  printf("empty_ps %.0f\n", took * 1e6 / CALLS);
  size_t jobs = 0;
  start = cpu_us();
  for (int n = 0; n < CALLS; n++) jobs += jobstore_page_len(page);
  took = cpu_us() - start;
  printf("len_ps %.0f\n", took * 1e6 / CALLS);
  fprintf(stderr, "%s %zu\n", version, jobs);
  free(memory);
  jobstore_page_free(page);
}

static void *submits(void *unused) {
  (void)unused;
  jobstore_queue *queue;
  char bodies[BATCH][512];
  ok(jobstore_queue_new(&queue, NULL));
  for (int batch = 0; batch < BATCHES; batch++) {
    for (int n = 0; n < BATCH; n++) {
      snprintf(bodies[n], sizeof bodies[n],
               "{\"edgesetPath\":\"file:///root/ges-install/auDatas/ranking_edge-sp-%d.csv\","
               "\"vertexsetPath\":\"file:///root/ges-install/auDatas/movies_vertex_new.csv\","
               "\"schemaPath\":\"file:///root/ges-install/auDatas/schema_aikv.xml.bak\"}", n);
      jobstore_request request = jobstore_request_of(
          "import_graph", "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph", bodies[n]);
      ok(jobstore_submit_async(graph, &request, queue, (uint64_t)n, NULL));
    }
    for (int n = 0; n < BATCH; n++) {
      jobstore_completion *completion;
      ok(jobstore_queue_next(queue, -1, &completion, NULL));
      ok(jobstore_completion_code(completion));
      jobstore_completion_free(completion);
    }
  }
  jobstore_queue_free(queue);
  return NULL;
}

static void submit(void) {
  pthread_t threads[THREADS];
  double start = now_us();
  for (int n = 0; n < THREADS; n++) pthread_create(&threads[n], NULL, submits, NULL);
  for (int n = 0; n < THREADS; n++) pthread_join(threads[n], NULL);
  printf("submit %.0f\n", (now_us() - start) * 1e3 / (THREADS * BATCHES * BATCH));
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: bench page|submit DIR\n");
    return 2;
  }
  int is_page = strcmp(argv[1], "page") == 0;
  jobstore_store *store;
  ok(jobstore_open(jobstore_text_of(argv[2]), NULL, &store, NULL));
  ok(jobstore_get_or_create_graph(store, jobstore_text_of("10001"),
                                  jobstore_text_of(is_page ? "movie" : "submit"), &graph, NULL));
  if (is_page) page();
  else submit();
  jobstore_graph_free(graph);
  ok(jobstore_close(store, NULL));
  jobstore_free(store);
  return 0;
}
