/*
 * jobstore: an embedded, durable store for the asynchronous jobs of a graph engine.
 *
 * Generated from capi/src; do not edit. docs/bindings.md describes how to use it.
 *
 * Results. A function that can fail returns JOBSTORE_OK (0) or one of the codes JOBSTORE_ERROR_...
 * Its last parameter receives the error, or NULL if the call succeeded; pass NULL if you need only
 * the code. After a failure, the other results are unchanged, except where it is stated.
 *
 * Ownership. A handle that a function returns belongs to the caller, who frees it with the function
 * whose name ends in _free. Handles can be freed in any order: a graph keeps its store open. Freeing
 * NULL has no effect. A text or array that is passed to a function is borrowed until the function
 * returns. A text that a function returns belongs to the handle it came from.
 *
 * Arguments. A pointer must be NULL, or point to memory that is valid during the call. NULL is an
 * error (JOBSTORE_ERROR_INVALID_PARAMETER) unless it is stated that a pointer may be NULL. A handle
 * must have come from this library, and must not have been freed. Texts are UTF-8.
 *
 * Threads. Stores, graphs, pages, runs, and queues can be used by any number of threads at the same
 * time. Only one thread at a time may use options or a change feed, or free a handle; no other
 * thread may use the handle by then.
 *
 * Forks. A forked child can neither use nor close the stores of its parent: calls return
 * JOBSTORE_ERROR_FORKED, and freeing a handle has no effect on the parent.
 *
 * Callbacks must not throw exceptions or jump out of the call. Panics of the library are caught and
 * returned as JOBSTORE_ERROR_PANIC.
 */
#ifndef JOBSTORE_H
#define JOBSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * The call succeeded.
 */
#define JOBSTORE_OK 0

/**
 * The project has no graph with this name.
 */
#define JOBSTORE_ERROR_UNKNOWN_GRAPH 1

/**
 * The project already has a graph with this name.
 */
#define JOBSTORE_ERROR_GRAPH_EXISTS 2

/**
 * The graph of this handle was dropped.
 */
#define JOBSTORE_ERROR_GRAPH_DROPPED 3

/**
 * The project id or graph name is invalid.
 */
#define JOBSTORE_ERROR_INVALID_NAME 4

/**
 * The graph has no job with this id.
 */
#define JOBSTORE_ERROR_UNKNOWN_JOB 5

/**
 * The string is not a valid job id.
 */
#define JOBSTORE_ERROR_INVALID_JOB_ID 6

/**
 * The id belongs to a job with a different request.
 */
#define JOBSTORE_ERROR_JOB_ID_TAKEN 7

/**
 * The idempotency key belongs to a job with a different request.
 */
#define JOBSTORE_ERROR_KEY_TAKEN 8

/**
 * The idempotency key belonged to a job that has been purged.
 */
#define JOBSTORE_ERROR_KEY_PURGED 9

/**
 * The string is not a valid idempotency key.
 */
#define JOBSTORE_ERROR_INVALID_KEY 10

/**
 * The job's state does not allow this step.
 */
#define JOBSTORE_ERROR_ILLEGAL_TRANSITION 11

/**
 * The request has no command.
 */
#define JOBSTORE_ERROR_EMPTY_COMMAND 12

/**
 * The command or URL is too long.
 */
#define JOBSTORE_ERROR_TEXT_TOO_LONG 13

/**
 * The text is not JSON, or the JSON is not a request.
 */
#define JOBSTORE_ERROR_INVALID_JSON 14

/**
 * The string is not a JSON pointer.
 */
#define JOBSTORE_ERROR_INVALID_POINTER 15

/**
 * The JSON is nested too deeply.
 */
#define JOBSTORE_ERROR_TOO_DEEP 16

/**
 * The request exceeds the store's size limit.
 */
#define JOBSTORE_ERROR_REQUEST_TOO_LARGE 17

/**
 * The batch is too large.
 */
#define JOBSTORE_ERROR_BATCH_TOO_LARGE 18

/**
 * A part of the outcome is too large.
 */
#define JOBSTORE_ERROR_OUTCOME_TOO_LARGE 19

/**
 * The page limit is not between 1 and max.
 */
#define JOBSTORE_ERROR_PAGE_LIMIT 20

/**
 * The job with this id was purged.
 */
#define JOBSTORE_ERROR_JOB_PURGED 21

/**
 * The id belonged to a job that has been purged.
 */
#define JOBSTORE_ERROR_JOB_ID_PURGED 22

/**
 * The page has expired: the files that it needs were replaced or deleted too long ago.
 */
#define JOBSTORE_ERROR_PAGE_EXPIRED 23

/**
 * The cursor was altered, belongs to another graph or filter, or was issued by another copy of the store.
 */
#define JOBSTORE_ERROR_INVALID_CURSOR 24

/**
 * The position was altered, belongs to another graph, or was issued by another copy of the store.
 */
#define JOBSTORE_ERROR_INVALID_POSITION 25

/**
 * The value of an option is out of range.
 */
#define JOBSTORE_ERROR_INVALID_OPTION 26

/**
 * The store is open in another process, or has been opened separately in this process.
 */
#define JOBSTORE_ERROR_STORE_IN_USE 27

/**
 * The directory for a backup is not empty.
 */
#define JOBSTORE_ERROR_NOT_EMPTY 28

/**
 * The directory contains something other than a store.
 */
#define JOBSTORE_ERROR_NOT_A_STORE 29

/**
 * The path of the control socket in the store's directory is too long for a socket.
 */
#define JOBSTORE_ERROR_PATH_TOO_LONG 30

/**
 * There is no store, and Options::create is false.
 */
#define JOBSTORE_ERROR_STORE_MISSING 31

/**
 * The store was written by a newer release.
 */
#define JOBSTORE_ERROR_NEWER_FORMAT 32

/**
 * The store was written by a build older than the first release.
 */
#define JOBSTORE_ERROR_OLDER_FORMAT 33

/**
 * The store uses features that only a newer release supports.
 */
#define JOBSTORE_ERROR_UNKNOWN_FEATURES 34

/**
 * The operating system denied access.
 */
#define JOBSTORE_ERROR_PERMISSION_DENIED 35

/**
 * The disk is full.
 */
#define JOBSTORE_ERROR_DISK_FULL 36

/**
 * The commit queue is full.
 */
#define JOBSTORE_ERROR_BUSY 37

/**
 * The write or sync of a commit failed.
 */
#define JOBSTORE_ERROR_COMMIT_UNKNOWN 38

/**
 * The store accepts no writes until it is reopened.
 */
#define JOBSTORE_ERROR_READ_ONLY 39

/**
 * The store's directory, or a file in it, was deleted, moved, or replaced while the store was open.
 */
#define JOBSTORE_ERROR_REMOVED 40

/**
 * Another open of the store has taken over its replica, so this one can no longer write.
 */
#define JOBSTORE_ERROR_DEPOSED 41

/**
 * The replica is in use, and TakeOver::IfQuiet was set.
 */
#define JOBSTORE_ERROR_REPLICA_IN_USE 42

/**
 * The store has a replica, but was opened without it.
 */
#define JOBSTORE_ERROR_REPLICA_NEEDED 43

/**
 * The replica could not be reached in time, or it changes too fast.
 */
#define JOBSTORE_ERROR_REPLICA_UNREACHABLE 44

/**
 * The replica's backend refused a call: the location or the credentials are wrong, or a permission is missing.
 */
#define JOBSTORE_ERROR_REPLICA_REFUSED 45

/**
 * The replica's backend lacks a property that a replica requires, so writes could be lost.
 */
#define JOBSTORE_ERROR_REPLICA_UNFIT 46

/**
 * The replica belongs to another store.
 */
#define JOBSTORE_ERROR_REPLICA_OF_OTHER_STORE 47

/**
 * The replica lacks writes that were acknowledged: its URL is not that of the store's replica, or it was deleted or restored to an earlier state.
 */
#define JOBSTORE_ERROR_REPLICA_BEHIND 48

/**
 * The directory and the replica contain different writes: the store was written to without its replica, or the directory is a copy that was written to.
 */
#define JOBSTORE_ERROR_REPLICA_DIVERGED 49

/**
 * A chunk or blob of the replica is missing or corrupt.
 */
#define JOBSTORE_ERROR_REPLICA_DAMAGED 50

/**
 * The process was forked from a process that had opened this store, or that had opened any store for writing.
 */
#define JOBSTORE_ERROR_FORKED 51

/**
 * The store was opened with Options::read_only.
 */
#define JOBSTORE_ERROR_OPENED_READ_ONLY 52

/**
 * The store was opened with JobStore::follow: it shows what another store writes.
 */
#define JOBSTORE_ERROR_FOLLOWER 53

/**
 * The process or the system has too many open files.
 */
#define JOBSTORE_ERROR_TOO_MANY_OPEN_FILES 54

/**
 * A file is corrupt: its contents are not what was written to it.
 */
#define JOBSTORE_ERROR_DAMAGED 55

/**
 * The index cannot be used.
 */
#define JOBSTORE_ERROR_INDEX_UNAVAILABLE 56

/**
 * The index's thread did not stop when the store was closed, and was abandoned.
 */
#define JOBSTORE_ERROR_INDEX_STUCK 57

/**
 * The store did not close in time.
 */
#define JOBSTORE_ERROR_CLOSE_STUCK 58

/**
 * An operation of the operating system failed.
 */
#define JOBSTORE_ERROR_IO 59

/**
 * Writing a page or an export to the caller's writer failed.
 */
#define JOBSTORE_ERROR_OUTPUT 60

/**
 * A line of an import is not a valid job.
 */
#define JOBSTORE_ERROR_BAD_LINE 61

/**
 * Reading an import from the caller's reader failed.
 */
#define JOBSTORE_ERROR_INPUT 62

/**
 * The call is not valid in this situation.
 */
#define JOBSTORE_ERROR_INVALID_USE 63

/**
 * The store was closed.
 */
#define JOBSTORE_ERROR_CLOSED 64

/**
 * A parameter of a query string, an option given as text, or a member of a JSON document is invalid.
 */
#define JOBSTORE_ERROR_INVALID_PARAMETER 65

/**
 * An error without a code of its own. Its name and message describe it.
 */
#define JOBSTORE_ERROR_OTHER 1000

/**
 * A bug in jobstore was caught at the boundary. Free all handles that the call used.
 */
#define JOBSTORE_ERROR_PANIC 1001

/**
 * The buffer is too small. The call returned the required size.
 */
#define JOBSTORE_ERROR_BUFFER_TOO_SMALL 1002

/**
 * Another thread is using this handle, which only one thread may use at a time.
 */
#define JOBSTORE_ERROR_HANDLE_IN_USE 1003

/**
 * The size of `jobstore_job_id`: an id has at most 128 characters, and a NUL byte follows it.
 */
#define JOBSTORE_JOB_ID_SIZE 129

/**
 * The call had its effect.
 */
#define JOBSTORE_DONE 0

/**
 * The job was pending, and is complete now.
 */
#define JOBSTORE_CANCELLED_BEFORE_START 1

/**
 * The job is running, and was asked to stop.
 */
#define JOBSTORE_CANCEL_REQUESTED 2

/**
 * The job had already completed. Nothing was changed.
 */
#define JOBSTORE_ALREADY_COMPLETE 3

/**
 * The change feed of a graph. Only one thread at a time may use it; a second one gets
 * `JOBSTORE_ERROR_HANDLE_IN_USE`.
 */
typedef struct jobstore_changes jobstore_changes;

/**
 * The result of a call that did not wait.
 */
typedef struct jobstore_completion jobstore_completion;

/**
 * An open control socket.
 */
typedef struct jobstore_control jobstore_control;

/**
 * An error: a code, a message for operators, and the response for a client. It is returned through
 * the last parameter of a call that failed, and released with `jobstore_error_free`.
 */
typedef struct jobstore_error jobstore_error;

/**
 * A graph of a store. Any number of threads may use it at the same time.
 */
typedef struct jobstore_graph jobstore_graph;

/**
 * Options for opening a store. Only one thread at a time may use them.
 */
typedef struct jobstore_options jobstore_options;

/**
 * A page of the list: a snapshot of one instant. Any number of threads may use it at the same
 * time. It keeps files of the store, so free it soon.
 */
typedef struct jobstore_page jobstore_page;

/**
 * A completion queue: it receives the results of the calls `jobstore_..._async`. Any number of
 * threads may use it at the same time.
 */
typedef struct jobstore_queue jobstore_queue;

/**
 * A running job, returned to the worker that claimed it. Several threads may use it at the same
 * time, for example one that works and one that waits for a cancellation, as long as none of them
 * frees or detaches it.
 */
typedef struct jobstore_run jobstore_run;

/**
 * An open store. Any number of threads may use it at the same time.
 */
typedef struct jobstore_store jobstore_store;

/**
 * A result in memory that belongs to the caller, who releases it with `jobstore_bytes_free`. A NUL
 * byte follows the result; it is not counted. If there is no result, the pointer is NULL and the
 * length is 0.
 */
typedef struct {
  /**
   * The first byte.
   */
  char *ptr;
  /**
   * The length in bytes.
   */
  size_t len;
} jobstore_bytes;

/**
 * A UTF-8 text: a pointer and a length in bytes. No NUL byte is needed at the end. A text that is
 * passed to a function is borrowed until the function returns. A NULL pointer with the length 0 is
 * the empty text.
 */
typedef struct {
  /**
   * The first byte.
   */
  const char *ptr;
  /**
   * The length in bytes.
   */
  size_t len;
} jobstore_text;

/**
 * A request: the name of the operation, the URL, the JSON body, and, optionally, the origin. An
 * empty body stands for `{}`.
 */
typedef struct {
  /**
   * The name of the operation, such as `import_graph`.
   */
  jobstore_text command;
  /**
   * The URL that the client requested.
   */
  jobstore_text url;
  /**
   * The body, as JSON.
   */
  jobstore_text body;
  /**
   * Who or what submitted the request, such as a user or a trace id, in at most 256 bytes; or
   * empty.
   */
  jobstore_text origin;
} jobstore_request;

/**
 * A job id, terminated by a NUL byte.
 */
typedef struct {
  /**
   * The characters of the id, and NUL bytes up to the end.
   */
  char text[JOBSTORE_JOB_ID_SIZE];
} jobstore_job_id;

/**
 * Receives a part of an output. Returns 0 to continue; any other value ends the call with
 * `JOBSTORE_ERROR_OUTPUT`. It is called on the thread that made the call.
 */
typedef int32_t (*jobstore_write_fn)(void *user, const char *data, size_t len);

/**
 * Provides the next part of an input. Stores at most `capacity` bytes, and returns their number, 0
 * at the end of the input, or a negative value to end the call with `JOBSTORE_ERROR_INPUT`. It is
 * called on the thread that made the call.
 */
typedef ptrdiff_t (*jobstore_read_fn)(void *user, char *buffer, size_t capacity);

/**
 * Receives a log line. The levels are 1 (error), 2 (warning), 3 (info), 4 (debug), and 5 (trace).
 * It is called on a thread of its own, one line after another. The line is valid during the call.
 */
typedef void (*jobstore_log_fn)(void *user, int32_t level, jobstore_text line);

/**
 * Receives the result of a call. It is called once for each call, on a thread that the queue
 * started, one result after another. The completion is freed after the callback returns.
 */
typedef void (*jobstore_completion_fn)(void *user, const jobstore_completion *completion);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Releases a result, and sets it to NULL and 0. Calling this again has no effect.
 */
void jobstore_bytes_free(jobstore_bytes *bytes);

/**
 * Returns the error's code: one of the constants `JOBSTORE_ERROR_...`. For NULL, returns
 * `JOBSTORE_OK`.
 */
int32_t jobstore_error_code(const jobstore_error *error);

/**
 * Returns the error's name, such as `UnknownGraph`. The documentation of operations describes each
 * error by its name. The string is valid until the error is freed.
 */
const char *jobstore_error_name(const jobstore_error *error);

/**
 * Returns the error's message, which states the problem and its remedy. It never contains the body
 * of a request. The string is valid until the error is freed.
 */
const char *jobstore_error_message(const jobstore_error *error);

/**
 * Returns the response to the client in the GES job-list API:
 * `{"errorMessage":"..","errorCode":"GES.8000","result":"failed"}`. The string is valid until the
 * error is freed.
 */
const char *jobstore_error_json(const jobstore_error *error);

/**
 * Returns the HTTP status of that response: 400, 500, or 503. For NULL, returns 200.
 */
int32_t jobstore_error_status(const jobstore_error *error);

/**
 * Returns the name of a code, such as `UnknownGraph`. The string is static.
 */
const char *jobstore_code_name(int32_t code);

/**
 * Frees an error.
 */
void jobstore_error_free(jobstore_error *error);

/**
 * Creates the default options.
 */
int32_t jobstore_options_new(jobstore_options **options, jobstore_error **error);

/**
 * Sets an option as text. All options and their values are listed in `docs/bindings.md`. A new
 * release may add options, but not functions to set them. `replica` is the URL of a replica, such
 * as `s3://bucket/prefix`, if the library was built with the feature for its backend.
 */
int32_t jobstore_options_set(jobstore_options *options,
                             jobstore_text name,
                             jobstore_text value,
                             jobstore_error **error);

/**
 * Frees options. A store that was opened with them is not affected.
 */
void jobstore_options_free(jobstore_options *options);

/**
 * Returns the version of the library, such as `0.1.0`. The string is static.
 */
const char *jobstore_version(void);

/**
 * Opens the store in a directory, and creates both if they do not exist. `options` may be NULL.
 * The directory must be on a local file system. Only one process can open a store for writing.
 */
int32_t jobstore_open(jobstore_text directory,
                      const jobstore_options *options,
                      jobstore_store **store,
                      jobstore_error **error);

/**
 * Opens a new store in memory, for tests. `options` may be NULL.
 */
int32_t jobstore_open_in_memory(const jobstore_options *options,
                                jobstore_store **store,
                                jobstore_error **error);

/**
 * Opens a follower: a copy of the store of another process, which shows what that process writes
 * to its replica. The option `replica` is required.
 */
int32_t jobstore_follow(jobstore_text directory,
                        const jobstore_options *options,
                        jobstore_store **store,
                        jobstore_error **error);

/**
 * Returns the jobs that this open found running, and what it did with each of them, as JSON:
 * `{"opens":2,"jobs":[{"projectId":"..","graphName":"..","jobId":"..","action":"interrupted"}]}`.
 * The actions are `interrupted`, `cancelled`, `requeued`, and `left`.
 */
int32_t jobstore_recovered(const jobstore_store *store,
                           jobstore_bytes *json,
                           jobstore_error **error);

/**
 * Closes a store, after its queued writes. Afterward, calls with this store, its graphs, pages,
 * and runs return `JOBSTORE_ERROR_CLOSED`. The handles still have to be freed. Closing a closed
 * store has no effect.
 */
int32_t jobstore_close(const jobstore_store *store,
                       jobstore_error **error);

/**
 * Frees a store. The store is closed when its last handle is freed: the store itself and its
 * graphs, pages, runs, feeds, and pending calls. Close it explicitly to learn about errors.
 */
void jobstore_free(jobstore_store *store);

/**
 * Creates a graph.
 */
int32_t jobstore_create_graph(const jobstore_store *store,
                              jobstore_text project_id,
                              jobstore_text name,
                              jobstore_graph **graph,
                              jobstore_error **error);

/**
 * Returns a graph that exists.
 */
int32_t jobstore_get_graph(const jobstore_store *store,
                           jobstore_text project_id,
                           jobstore_text name,
                           jobstore_graph **graph,
                           jobstore_error **error);

/**
 * Returns a graph, and creates it if it does not exist.
 */
int32_t jobstore_get_or_create_graph(const jobstore_store *store,
                                     jobstore_text project_id,
                                     jobstore_text name,
                                     jobstore_graph **graph,
                                     jobstore_error **error);

/**
 * Drops a graph and all its jobs. Handles of the graph then return
 * `JOBSTORE_ERROR_GRAPH_DROPPED`, and still have to be freed.
 */
int32_t jobstore_drop_graph(const jobstore_store *store,
                            jobstore_text project_id,
                            jobstore_text name,
                            jobstore_error **error);

/**
 * Returns all graphs as JSON: `{"graphs":[{"projectId":"10001","graphName":"movie"}]}`.
 */
int32_t jobstore_graphs(const jobstore_store *store,
                        jobstore_bytes *json,
                        jobstore_error **error);

/**
 * Returns the graph's name. It is valid until the graph is freed.
 */
jobstore_text jobstore_graph_name(const jobstore_graph *graph);

/**
 * Returns the id of the graph's project. It is valid until the graph is freed.
 */
jobstore_text jobstore_graph_project_id(const jobstore_graph *graph);

/**
 * Frees the handle of a graph. The graph itself is not affected.
 */
void jobstore_graph_free(jobstore_graph *graph);

/**
 * Submits a request, and returns the id of the new job. When the call returns, the job is durable.
 */
int32_t jobstore_submit(const jobstore_graph *graph,
                        const jobstore_request *request,
                        jobstore_job_id *id,
                        jobstore_error **error);

/**
 * Submits a request under an id that the caller chose: 1 to 128 characters from 0-9, A-Z, a-z,
 * `_`, and `-`. If the id belongs to a job with the same request, nothing is submitted and
 * `created` is false, so the call can be repeated. `created` may be NULL.
 */
int32_t jobstore_submit_as(const jobstore_graph *graph,
                           jobstore_text id,
                           const jobstore_request *request,
                           bool *created,
                           jobstore_error **error);

/**
 * Submits a request once per idempotency key, however often the call is repeated. Returns the id
 * of the job that belongs to the key. `created` may be NULL.
 */
int32_t jobstore_submit_once(const jobstore_graph *graph,
                             jobstore_text key,
                             const jobstore_request *request,
                             jobstore_job_id *id,
                             bool *created,
                             jobstore_error **error);

/**
 * Submits several requests in one commit: either all of them or none. `ids` is an array of `count`
 * ids, into which the ids of the new jobs are stored in the same order.
 */
int32_t jobstore_submit_many(const jobstore_graph *graph,
                             const jobstore_request *requests,
                             size_t count,
                             jobstore_job_id *ids,
                             jobstore_error **error);

/**
 * Starts a pending job: it becomes running.
 */
int32_t jobstore_start(const jobstore_graph *graph,
                       jobstore_text id,
                       jobstore_error **error);

/**
 * Completes a running job. `outcome` is JSON, such as
 * `{"kind":"failed","code":"..","message":"..","resultRef":"..","detail":..}`, or only the kind:
 * `succeeded`, `partially_failed`, `failed`, `cancelled`, or `interrupted`. The empty text stands
 * for `succeeded`. `done` receives `JOBSTORE_DONE` or `JOBSTORE_ALREADY_COMPLETE`; it may be NULL.
 */
int32_t jobstore_complete(const jobstore_graph *graph,
                          jobstore_text id,
                          jobstore_text outcome,
                          int32_t *done,
                          jobstore_error **error);

/**
 * Cancels a job. `done` receives `JOBSTORE_CANCELLED_BEFORE_START`, `JOBSTORE_CANCEL_REQUESTED`,
 * or `JOBSTORE_ALREADY_COMPLETE`; it may be NULL.
 */
int32_t jobstore_cancel(const jobstore_graph *graph,
                        jobstore_text id,
                        int32_t *done,
                        jobstore_error **error);

/**
 * Cancels all pending and running jobs that match a query string with the filters of the list; if
 * `dry_run` is true, only counts them. Returns the numbers of jobs as JSON:
 * `{"alreadyComplete":0,"cancelled":3,"jobs":4,"requested":1}`. Running jobs are asked to stop. Jobs
 * that are submitted during the call are not canceled. After an error, some of the jobs may have
 * been canceled; the call can be repeated.
 */
int32_t jobstore_cancel_all(const jobstore_graph *graph,
                            jobstore_text query,
                            bool dry_run,
                            jobstore_bytes *json,
                            jobstore_error **error);

/**
 * Claims the oldest pending job, and starts it. If no job is pending, waits for one for at most
 * `timeout_ms`; 0 does not wait, and a negative timeout waits without limit. If there is no job,
 * `run` receives NULL, and the call succeeds.
 */
int32_t jobstore_claim_next(const jobstore_graph *graph,
                            int64_t timeout_ms,
                            jobstore_run **run,
                            jobstore_error **error);

/**
 * Claims a pending job by its id, and starts it.
 */
int32_t jobstore_claim(const jobstore_graph *graph,
                       jobstore_text id,
                       jobstore_run **run,
                       jobstore_error **error);

/**
 * Returns a run for a job that is already running, for example after a restart with the option
 * `recovery` set to `leave`.
 */
int32_t jobstore_attach(const jobstore_graph *graph,
                        jobstore_text id,
                        jobstore_run **run,
                        jobstore_error **error);

/**
 * Returns the id of the job. It is valid until the run is freed.
 */
jobstore_text jobstore_run_id(const jobstore_run *run);

/**
 * Returns the request of the job, with its real secrets. It is valid until the run is freed.
 */
int32_t jobstore_run_request(const jobstore_run *run,
                             jobstore_request *request,
                             jobstore_error **error);

/**
 * Reports the progress of the job: 0 to 100 percent, and a short text.
 */
int32_t jobstore_run_progress(const jobstore_run *run,
                              uint8_t percent,
                              jobstore_text text,
                              jobstore_error **error);

/**
 * Returns true if the worker should stop, because the job was canceled or is over. For NULL,
 * returns true.
 */
bool jobstore_run_cancel_requested(const jobstore_run *run);

/**
 * Waits until the worker should stop, for at most `timeout_ms`; a negative timeout waits without
 * limit. `requested` receives whether the worker should stop.
 */
int32_t jobstore_run_wait_cancelled(const jobstore_run *run,
                                    int64_t timeout_ms,
                                    bool *requested,
                                    jobstore_error **error);

/**
 * Completes the job. `outcome` and `done` are as in `jobstore_complete`. The run still has to be
 * freed.
 */
int32_t jobstore_run_complete(const jobstore_run *run,
                              jobstore_text outcome,
                              int32_t *done,
                              jobstore_error **error);

/**
 * Makes the job pending again. `done` receives `JOBSTORE_DONE`; or, if the job was canceled and
 * has therefore completed, `JOBSTORE_CANCELLED_BEFORE_START`; or `JOBSTORE_ALREADY_COMPLETE`. It
 * may be NULL. The run still has to be freed.
 */
int32_t jobstore_run_requeue(const jobstore_run *run,
                             int32_t *done,
                             jobstore_error **error);

/**
 * Frees a run and leaves its job running. The engine completes the job by its id, or gets another
 * run with `jobstore_attach`.
 */
void jobstore_run_detach(jobstore_run *run);

/**
 * Frees a run. If its job has not been completed or requeued, the job is treated as it would be
 * after a crash: the option `recovery` decides.
 */
void jobstore_run_free(jobstore_run *run);

/**
 * Returns a job as JSON, with its secrets masked:
 * `{"jobId":"..","status":"complete","request":{..},"outcome":{..},"submittedAt":..}`. Times are
 * in milliseconds since 1970.
 */
int32_t jobstore_job(const jobstore_graph *graph,
                     jobstore_text id,
                     jobstore_bytes *json,
                     jobstore_error **error);

/**
 * Returns the request of a job as JSON, with its real secrets: protect it like the credentials in
 * it.
 */
int32_t jobstore_job_request(const jobstore_graph *graph,
                             jobstore_text id,
                             jobstore_bytes *json,
                             jobstore_error **error);

/**
 * Returns what remains of a purged job as JSON: `{"purgedAt":..,"reason":"age"}`. If there is no
 * tombstone, the pointer is NULL, and the call succeeds.
 */
int32_t jobstore_tombstone(const jobstore_graph *graph,
                           jobstore_text id,
                           jobstore_bytes *json,
                           jobstore_error **error);

/**
 * Returns the number of jobs in a state: `pending`, `running`, or `complete`.
 */
int32_t jobstore_count(const jobstore_graph *graph,
                       jobstore_text state,
                       uint64_t *jobs,
                       jobstore_error **error);

/**
 * Waits until a job is complete, for at most `timeout_ms`; a negative timeout waits without limit.
 * Returns the job as JSON. If the timeout passes first, the pointer is NULL, and the call succeeds.
 */
int32_t jobstore_wait(const jobstore_graph *graph,
                      jobstore_text id,
                      int64_t timeout_ms,
                      jobstore_bytes *json,
                      jobstore_error **error);

/**
 * Finds the jobs that have exactly this request, newest first, and writes each as a line of JSON.
 * At most `limit` jobs are written; 0 stands for all.
 */
int32_t jobstore_find(const jobstore_graph *graph,
                      const jobstore_request *request,
                      uint64_t limit,
                      jobstore_write_fn write,
                      void *user,
                      jobstore_error **error);

/**
 * Lists jobs. `query` is a query string with the parameters of the GES job-list API (`offset`,
 * `limit`, `job_id`) and those that jobstore adds, such as `state`, `outcome`, `command`, `order`,
 * `cursor`, and `detail`; the values are percent-encoded. The empty text lists the first 100,000
 * jobs, oldest first. An unknown parameter is an error.
 */
int32_t jobstore_list(const jobstore_graph *graph,
                      jobstore_text query,
                      jobstore_page **page,
                      jobstore_error **error);

/**
 * Returns the number of jobs on the page.
 */
size_t jobstore_page_len(const jobstore_page *page);

/**
 * Returns the number of jobs that match the query in total, or -1 if it is unknown because the
 * query requires a scan; `count_total=true` counts them.
 */
int64_t jobstore_page_total(const jobstore_page *page);

/**
 * Returns the cursor of the next page, for the parameter `cursor`. If this is the last page, the
 * pointer is NULL, and the call succeeds.
 */
int32_t jobstore_page_next(const jobstore_page *page,
                           jobstore_bytes *cursor,
                           jobstore_error **error);

/**
 * Writes the page as JSON, `{"jobs":[..],"result":"success"}`, in parts of any size. This is the
 * fastest way to read a page.
 */
int32_t jobstore_page_write(const jobstore_page *page,
                            jobstore_write_fn write,
                            void *user,
                            jobstore_error **error);

/**
 * Writes the page as JSON into a buffer. `len` receives the length of the JSON. If the buffer is
 * too small, the call returns `JOBSTORE_ERROR_BUFFER_TOO_SMALL`, `len` receives the required
 * capacity, and the content of the buffer is undefined.
 */
int32_t jobstore_page_read(const jobstore_page *page,
                           char *buffer,
                           size_t capacity,
                           size_t *len,
                           jobstore_error **error);

/**
 * Returns the length of the page as JSON. To find it, the page is read once, which takes about as
 * long as writing it.
 */
int32_t jobstore_page_size(const jobstore_page *page,
                           size_t *len,
                           jobstore_error **error);

/**
 * Frees a page.
 */
void jobstore_page_free(jobstore_page *page);

/**
 * Counts the jobs of a graph by a property, and returns the counts as JSON:
 * `{"groups":[{"outcome":"failed","jobs":2}],"isPartial":false,"jobs":2}`. `query` is a query string
 * with the parameter `by` (`state`, `outcome`, `command`, or `origin`; or `submitted` or
 * `completed`, together with `period_ms`) and the filters of the list, such as
 * `by=outcome&command=import_graph`.
 */
int32_t jobstore_tally(const jobstore_graph *graph,
                       jobstore_text query,
                       jobstore_bytes *json,
                       jobstore_error **error);

/**
 * Counts the jobs of all graphs of a store, as `jobstore_tally` does for one of them.
 */
int32_t jobstore_tally_all(const jobstore_store *store,
                           jobstore_text query,
                           jobstore_bytes *json,
                           jobstore_error **error);

/**
 * Returns what happened to the jobs of a graph in a period, by time and command, as JSON:
 * `{"boundsMs":[10,..],"points":[{"start":..,"lengthMs":3600000,"counts":{..},"commands":[..]}]}`.
 * Purged jobs are included. `query` is a query string with the parameters `from` and `to`
 * (all times by default), and `step_ms`, the length of a point in milliseconds (an hour by
 * default): a number of minutes that divides an hour, a number of hours that divides a day, or a
 * number of days.
 */
int32_t jobstore_history(const jobstore_graph *graph,
                         jobstore_text query,
                         jobstore_bytes *json,
                         jobstore_error **error);

/**
 * Opens the change feed of a graph after a position, or from the beginning if the text is empty.
 * A position is valid as long as the graph exists, even after a restart.
 */
int32_t jobstore_open_changes(const jobstore_graph *graph,
                              jobstore_text position,
                              jobstore_changes **changes,
                              jobstore_error **error);

/**
 * Returns the current end of a graph's feed, from which only new changes follow.
 */
int32_t jobstore_position(const jobstore_graph *graph,
                          jobstore_bytes *position,
                          jobstore_error **error);

/**
 * Returns the next change as JSON:
 * `{"kind":"completed","sequence":7,"jobId":"..","at":..,"outcome":{..},"position":".."}`. The
 * kinds are `submitted`, `started`, `cancel_requested`, `completed`, `requeued`, `purged`, and
 * `gone` (changes are missing: list the jobs). If there is no change, waits for one for at most
 * `timeout_ms`; 0 does not wait, and a negative timeout waits without limit. If the timeout passes
 * first, the pointer is NULL, and the call succeeds. After an error, the next call returns the same
 * change.
 */
int32_t jobstore_changes_next(const jobstore_changes *changes,
                              int64_t timeout_ms,
                              jobstore_bytes *json,
                              jobstore_error **error);

/**
 * Frees a feed.
 */
void jobstore_changes_free(jobstore_changes *changes);

/**
 * Sets the retention policy of a graph, as JSON: `{"maxAgeMs":..,"maxAgeOfMs":{"failed":..},
 * "maxJobs":..,"maxBytes":..,"maxTombstones":..,"tombstoneAgeMs":..,"archiveTo":"..",
 * "archiveFileBytes":..}`, in which every member is optional. The empty text removes the policy.
 */
int32_t jobstore_set_retention(const jobstore_graph *graph,
                               jobstore_text policy,
                               jobstore_error **error);

/**
 * Returns the retention policy of a graph as JSON. If there is none, the pointer is NULL, and the
 * call succeeds.
 */
int32_t jobstore_retention(const jobstore_graph *graph,
                           jobstore_bytes *json,
                           jobstore_error **error);

/**
 * Purges the complete jobs that match a query string; if `dry_run` is true, only counts them. `jobs`
 * receives their number; it may be NULL.
 */
int32_t jobstore_purge(const jobstore_graph *graph,
                       jobstore_text query,
                       bool dry_run,
                       uint64_t *jobs,
                       jobstore_error **error);

/**
 * Exports the jobs that match a query string as JSON lines. If `reveal_secrets` is true, the
 * requests contain their real secrets: protect the output like the credentials in it.
 */
int32_t jobstore_export(const jobstore_graph *graph,
                        jobstore_text query,
                        bool reveal_secrets,
                        jobstore_write_fn write,
                        void *user,
                        jobstore_error **error);

/**
 * Imports jobs from JSON lines, in the format of an export or as bare requests, and returns a
 * report as JSON. If `skip_bad_lines` is true, invalid lines are skipped and listed in the report;
 * otherwise, the first of them is an error. An import can be repeated: it skips jobs that exist.
 */
int32_t jobstore_import(const jobstore_graph *graph,
                        bool skip_bad_lines,
                        jobstore_read_fn read,
                        void *user,
                        jobstore_bytes *json,
                        jobstore_error **error);

/**
 * Returns the statistics of a store as JSON.
 */
int32_t jobstore_stats(const jobstore_store *store,
                       jobstore_bytes *json,
                       jobstore_error **error);

/**
 * Returns the health of a store as JSON: `{"state":"ok"}`. The states are `ok`, `degraded` and
 * `read_only` (both with the reason as `why`), and `closed`.
 */
int32_t jobstore_health(const jobstore_store *store,
                        jobstore_bytes *json,
                        jobstore_error **error);

/**
 * Backs up a store, while it is in use, to a directory that is empty or does not exist. Returns a
 * report as JSON.
 */
int32_t jobstore_backup(const jobstore_store *store,
                        jobstore_text directory,
                        jobstore_bytes *json,
                        jobstore_error **error);

/**
 * Verifies every byte of a store that is closed, and returns a report as JSON. `sound` receives
 * whether the store is free of damage; it may be NULL.
 */
int32_t jobstore_verify(jobstore_text directory,
                        bool *sound,
                        jobstore_bytes *json,
                        jobstore_error **error);

/**
 * Opens the control socket in the store's directory, so that the `jobstore` CLI can use the store
 * while this process has it open. It serves requests on a thread of its own.
 */
int32_t jobstore_open_control(const jobstore_store *store,
                              jobstore_control **control,
                              jobstore_error **error);

/**
 * Returns the path of the control socket.
 */
int32_t jobstore_control_path(const jobstore_control *control,
                              jobstore_bytes *path,
                              jobstore_error **error);

/**
 * Closes a control socket, and frees it.
 */
void jobstore_control_free(jobstore_control *control);

/**
 * Passes the log lines of all stores of this process to a callback, up to a level: `error`, `warn`,
 * `info`, `debug`, or `trace`. It can be set once per process, and stays set until the process ends.
 * Lines never contain the body of a request. Without this call, nothing is logged.
 */
int32_t jobstore_set_log(jobstore_text level,
                         jobstore_log_fn log,
                         void *user,
                         jobstore_error **error);

/**
 * Creates a completion queue that is read with `jobstore_queue_next`.
 */
int32_t jobstore_queue_new(jobstore_queue **queue, jobstore_error **error);

/**
 * Creates a completion queue that passes each result to a callback, on a thread of its own.
 */
int32_t jobstore_queue_new_with_callback(jobstore_completion_fn callback,
                                         void *user,
                                         jobstore_queue **queue,
                                         jobstore_error **error);

/**
 * Returns a file descriptor (an eventfd) that is readable while `jobstore_queue_next` may return a
 * result. Only wait for it (`epoll`, `poll`); do not read or close it. It belongs to the queue. For
 * NULL, returns -1.
 */
int32_t jobstore_queue_fd(const jobstore_queue *queue);

/**
 * Returns the result of the next call that has completed. If there is none, waits for one for at
 * most `timeout_ms`; 0 does not wait, and a negative timeout waits without limit. If the timeout
 * passes first, `completion` receives NULL, and the call succeeds.
 */
int32_t jobstore_queue_next(const jobstore_queue *queue,
                            int64_t timeout_ms,
                            jobstore_completion **completion,
                            jobstore_error **error);

/**
 * Abandons the calls with this tag that have not been returned by the queue: their results are
 * discarded. Their writes are recorded all the same, but a job that was claimed becomes pending
 * again.
 */
int32_t jobstore_queue_cancel(const jobstore_queue *queue,
                              uint64_t tag,
                              jobstore_error **error);

/**
 * Frees a queue. Waits until its callback returns, if it has one. Calls that have not completed are
 * abandoned, as by `jobstore_queue_cancel`.
 * No other thread may be using the queue.
 */
void jobstore_queue_free(jobstore_queue *queue);

/**
 * Submits a request without waiting until it is durable. The text of the result is the job's id.
 * The writes of a thread are committed in the order of its calls.
 */
int32_t jobstore_submit_async(const jobstore_graph *graph,
                              const jobstore_request *request,
                              const jobstore_queue *queue,
                              uint64_t tag,
                              jobstore_error **error);

/**
 * Starts a pending job without waiting until this is durable.
 */
int32_t jobstore_start_async(const jobstore_graph *graph,
                             jobstore_text id,
                             const jobstore_queue *queue,
                             uint64_t tag,
                             jobstore_error **error);

/**
 * Completes a running job without waiting until this is durable. `outcome` is as in
 * `jobstore_complete`.
 */
int32_t jobstore_complete_async(const jobstore_graph *graph,
                                jobstore_text id,
                                jobstore_text outcome,
                                const jobstore_queue *queue,
                                uint64_t tag,
                                jobstore_error **error);

/**
 * Cancels a job without waiting until this is durable.
 */
int32_t jobstore_cancel_async(const jobstore_graph *graph,
                              jobstore_text id,
                              const jobstore_queue *queue,
                              uint64_t tag,
                              jobstore_error **error);

/**
 * Claims the oldest pending job as soon as there is one. The result contains its run:
 * `jobstore_completion_take_run`.
 */
int32_t jobstore_claim_next_async(const jobstore_graph *graph,
                                  const jobstore_queue *queue,
                                  uint64_t tag,
                                  jobstore_error **error);

/**
 * Completes the job of a run without waiting until this is durable. The run can be freed
 * immediately.
 */
int32_t jobstore_run_complete_async(const jobstore_run *run,
                                    jobstore_text outcome,
                                    const jobstore_queue *queue,
                                    uint64_t tag,
                                    jobstore_error **error);

/**
 * Waits for a job to complete, in the queue. The text of the result is the job as JSON.
 */
int32_t jobstore_wait_async(const jobstore_graph *graph,
                            jobstore_text id,
                            const jobstore_queue *queue,
                            uint64_t tag,
                            jobstore_error **error);

/**
 * Returns the tag that was passed to the call.
 */
uint64_t jobstore_completion_tag(const jobstore_completion *completion);

/**
 * Returns the code of the call: `JOBSTORE_OK`, or one of the constants `JOBSTORE_ERROR_...`.
 */
int32_t jobstore_completion_code(const jobstore_completion *completion);

/**
 * Returns the error of the call, or NULL if it succeeded. The error is valid until the completion
 * is freed, and must not be freed itself.
 */
const jobstore_error *jobstore_completion_error(const jobstore_completion *completion);

/**
 * Returns the text of the result: the job id after `jobstore_submit_async`, and the job as JSON
 * after `jobstore_wait_async`. It is valid until the completion is freed.
 */
jobstore_text jobstore_completion_text(const jobstore_completion *completion);

/**
 * Returns what the call did, such as `JOBSTORE_DONE` or `JOBSTORE_ALREADY_COMPLETE`, after
 * `jobstore_complete_async`, `jobstore_cancel_async`, or `jobstore_run_complete_async`.
 */
int32_t jobstore_completion_done(const jobstore_completion *completion);

/**
 * Takes the run after `jobstore_claim_next_async`. The caller has to free it. If there is none, or
 * it was taken before, `run` receives NULL. If a run is not taken, its job becomes pending again.
 */
int32_t jobstore_completion_take_run(const jobstore_completion *completion,
                                     jobstore_run **run,
                                     jobstore_error **error);

/**
 * Frees a completion.
 */
void jobstore_completion_free(jobstore_completion *completion);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/**
 * Returns a C string as a text. NULL is the empty text.
 */
static inline jobstore_text jobstore_text_of(const char *string) {
  jobstore_text text;
  text.ptr = string;
  text.len = string == NULL ? 0 : strlen(string);
  return text;
}

/**
 * Returns a request of three C strings, without an origin.
 */
static inline jobstore_request jobstore_request_of(const char *command, const char *url,
                                                   const char *body) {
  jobstore_request request;
  request.command = jobstore_text_of(command);
  request.url = jobstore_text_of(url);
  request.body = jobstore_text_of(body);
  request.origin = jobstore_text_of(NULL);
  return request;
}

#endif /* JOBSTORE_H */
