// jobstore for C++17: a header over the C library. Link with -ljobstore.
//
// Objects own their handles: they are freed by the destructor, can be moved, and can be destroyed in
// any order. Calls throw jobstore::Error. Texts are UTF-8. The rules for threads are those of
// jobstore.h: stores, graphs, pages, runs, and queues can be used by any number of threads at the
// same time, options and change feeds by one.

#ifndef JOBSTORE_HPP
#define JOBSTORE_HPP

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jobstore.h"

namespace jobstore {

/// Why a call failed. what() states the problem and its remedy.
class Error : public std::runtime_error {
 public:
  explicit Error(const jobstore_error *error)
      : std::runtime_error(jobstore_error_message(error)),
        code_(jobstore_error_code(error)),
        status_(jobstore_error_status(error)),
        name_(jobstore_error_name(error)),
        json_(jobstore_error_json(error)) {}

  /// One of the constants JOBSTORE_ERROR_...
  int32_t code() const noexcept { return code_; }
  /// The name of the error, such as "UnknownGraph".
  const std::string &name() const noexcept { return name_; }
  /// The response to the client in the GES job-list API.
  const std::string &json() const noexcept { return json_; }
  /// The HTTP status of that response.
  int status() const noexcept { return status_; }

 private:
  int32_t code_;
  int status_;
  std::string name_, json_;
};

/// A duration in milliseconds. A negative timeout never passes.
using Timeout = std::chrono::milliseconds;
inline constexpr Timeout forever{-1};

/// A request: the name of the operation, the URL, and the JSON body.
struct Request {
  std::string_view command, url, body = "{}";
  /// Who or what submitted the request, such as a user or a trace id, in at most 256 bytes.
  std::string_view origin = {};
};

/// What a call did with a job.
enum class Done : int32_t {
  done = JOBSTORE_DONE,
  cancelled_before_start = JOBSTORE_CANCELLED_BEFORE_START,
  cancel_requested = JOBSTORE_CANCEL_REQUESTED,
  already_complete = JOBSTORE_ALREADY_COMPLETE,
};

/// The id of a job, and whether the call created it.
struct Submitted {
  std::string id;
  bool created;
};

/// Receives a part of an output.
using Writer = std::function<void(std::string_view)>;
/// Fills a buffer, and returns the number of bytes; 0 at the end.
using Reader = std::function<size_t(char *, size_t)>;

namespace detail {

inline jobstore_text text(std::string_view view) { return {view.data(), view.size()}; }
inline std::string_view view(jobstore_text text) { return {text.ptr, text.len}; }
inline jobstore_request request(const Request &request) {
  return {text(request.command), text(request.url), text(request.body), text(request.origin)};
}

/// Makes a call, whose last argument is the error, and throws if it fails.
template <class Call>
void check(Call &&call) {
  jobstore_error *error = nullptr;
  if (call(&error) != JOBSTORE_OK) {
    std::unique_ptr<jobstore_error, void (*)(jobstore_error *)> owned(error, jobstore_error_free);
    throw Error(error);
  }
}

/// Makes a call that returns a value through a pointer.
template <class T, class Call>
T get(Call &&call) {
  T value{};
  check([&](jobstore_error **error) { return call(&value, error); });
  return value;
}

/// Makes a call that returns bytes, or NULL.
template <class Call>
std::optional<std::string> maybe_string(Call &&call) {
  auto bytes = get<jobstore_bytes>(std::forward<Call>(call));
  std::unique_ptr<jobstore_bytes, void (*)(jobstore_bytes *)> owned(&bytes, jobstore_bytes_free);
  if (bytes.ptr == nullptr) return std::nullopt;
  return std::string(bytes.ptr, bytes.len);
}

template <class Call>
std::string string(Call &&call) {
  return maybe_string(std::forward<Call>(call)).value_or(std::string());
}

template <class Handle, void (*release)(Handle *)>
struct Release {
  void operator()(Handle *handle) const noexcept { release(handle); }
};
template <class Handle, void (*release)(Handle *)>
using Owned = std::unique_ptr<Handle, Release<Handle, release>>;

/// Passes an output to a writer. An exception of the writer ends the output, and is thrown again.
template <class Call>
void write(const Writer &writer, Call &&call) {
  struct State {
    const Writer &writer;
    std::exception_ptr thrown;
  } state{writer, nullptr};
  jobstore_write_fn pass = [](void *user, const char *data, size_t len) -> int32_t {
    auto &state = *static_cast<State *>(user);
    try {
      state.writer(std::string_view(data, len));
      return 0;
    } catch (...) {
      state.thrown = std::current_exception();
      return 1;
    }
  };
  try {
    check([&](jobstore_error **error) { return call(pass, &state, error); });
  } catch (const Error &) {
    if (state.thrown) std::rethrow_exception(state.thrown);
    throw;
  }
}

template <class Call>
std::string written(Call &&call) {
  std::string all;
  write([&](std::string_view part) { all.append(part); }, std::forward<Call>(call));
  return all;
}

}  // namespace detail

/// Options for opening a store, set as text: Options().set("recovery", "requeue").
class Options {
 public:
  Options() {
    handle_.reset(detail::get<jobstore_options *>(jobstore_options_new));
  }

  Options &set(std::string_view name, std::string_view value) {
    detail::check([&](jobstore_error **error) {
      return jobstore_options_set(handle_.get(), detail::text(name), detail::text(value), error);
    });
    return *this;
  }

  const jobstore_options *handle() const noexcept { return handle_.get(); }

 private:
  detail::Owned<jobstore_options, jobstore_options_free> handle_;
};

/// A running job in the hands of its worker. If it is destroyed without an outcome, the job is
/// treated as it would be after a crash.
class Run {
 public:
  explicit Run(jobstore_run *handle) : handle_(handle) {}

  std::string_view id() const { return detail::view(jobstore_run_id(handle_.get())); }

  /// The request, with its real secrets. It is valid as long as the run.
  Request request() const {
    auto request = detail::get<jobstore_request>([&](jobstore_request *request, auto error) {
      return jobstore_run_request(handle_.get(), request, error);
    });
    return {detail::view(request.command), detail::view(request.url), detail::view(request.body),
            detail::view(request.origin)};
  }

  void progress(uint8_t percent, std::string_view text) const {
    detail::check([&](jobstore_error **error) {
      return jobstore_run_progress(handle_.get(), percent, detail::text(text), error);
    });
  }

  bool cancel_requested() const noexcept { return jobstore_run_cancel_requested(handle_.get()); }

  bool wait_cancelled(Timeout timeout) const {
    return detail::get<bool>([&](bool *requested, auto error) {
      return jobstore_run_wait_cancelled(handle_.get(), timeout.count(), requested, error);
    });
  }

  /// Completes the job. The outcome is JSON or only its kind, such as "failed".
  Done complete(std::string_view outcome = "succeeded") const {
    return Done(detail::get<int32_t>([&](int32_t *done, auto error) {
      return jobstore_run_complete(handle_.get(), detail::text(outcome), done, error);
    }));
  }

  Done requeue() const {
    return Done(detail::get<int32_t>([&](int32_t *done, auto error) {
      return jobstore_run_requeue(handle_.get(), done, error);
    }));
  }

  /// Leaves the job running.
  void detach() { jobstore_run_detach(handle_.release()); }

  const jobstore_run *handle() const noexcept { return handle_.get(); }

 private:
  detail::Owned<jobstore_run, jobstore_run_free> handle_;
};

/// A page of the list: a snapshot of one instant.
class Page {
 public:
  explicit Page(jobstore_page *handle) : handle_(handle) {}

  size_t size() const noexcept { return jobstore_page_len(handle_.get()); }

  /// The number of matching jobs, if it is known.
  std::optional<uint64_t> total() const {
    int64_t total = jobstore_page_total(handle_.get());
    return total < 0 ? std::nullopt : std::optional<uint64_t>(total);
  }

  /// The cursor of the next page, unless this is the last one.
  std::optional<std::string> next() const {
    return detail::maybe_string([&](jobstore_bytes *cursor, auto error) {
      return jobstore_page_next(handle_.get(), cursor, error);
    });
  }

  std::string json() const {
    return detail::written([&](auto write, void *user, auto error) {
      return jobstore_page_write(handle_.get(), write, user, error);
    });
  }

  /// Writes the page as JSON, in parts of any size.
  void write(const Writer &writer) const {
    detail::write(writer, [&](auto write, void *user, auto error) {
      return jobstore_page_write(handle_.get(), write, user, error);
    });
  }

  /// Writes the page as JSON into a buffer. Returns the length of the JSON, and throws
  /// JOBSTORE_ERROR_BUFFER_TOO_SMALL if it does not fit.
  size_t read(char *buffer, size_t capacity) const {
    return detail::get<size_t>([&](size_t *len, auto error) {
      return jobstore_page_read(handle_.get(), buffer, capacity, len, error);
    });
  }

 private:
  detail::Owned<jobstore_page, jobstore_page_free> handle_;
};

inline std::ostream &operator<<(std::ostream &out, const Page &page) {
  page.write([&](std::string_view part) {
    out.write(part.data(), static_cast<std::streamsize>(part.size()));
  });
  return out;
}

/// The change feed of a graph. Only one thread at a time may use it.
class Changes {
 public:
  explicit Changes(jobstore_changes *handle) : handle_(handle) {}

  /// The next change as JSON, unless the timeout passes first.
  std::optional<std::string> next(Timeout timeout = Timeout(0)) {
    return detail::maybe_string([&](jobstore_bytes *json, auto error) {
      return jobstore_changes_next(handle_.get(), timeout.count(), json, error);
    });
  }

 private:
  detail::Owned<jobstore_changes, jobstore_changes_free> handle_;
};

/// The result of a call that did not wait.
class Completion {
 public:
  explicit Completion(jobstore_completion *handle) : handle_(handle) {}

  uint64_t tag() const noexcept { return jobstore_completion_tag(handle_.get()); }

  /// Throws the error of the call, if it failed.
  void check() const {
    if (auto error = jobstore_completion_error(handle_.get())) throw Error(error);
  }

  /// The job id or the job as JSON. Throws the error of the call, if it failed.
  std::string_view text() const {
    check();
    return detail::view(jobstore_completion_text(handle_.get()));
  }

  Done done() const {
    check();
    return Done(jobstore_completion_done(handle_.get()));
  }

  /// The run of a claim, once.
  std::optional<Run> take_run() const {
    check();
    auto run = detail::get<jobstore_run *>([&](jobstore_run **run, auto error) {
      return jobstore_completion_take_run(handle_.get(), run, error);
    });
    return run ? std::optional<Run>(Run(run)) : std::nullopt;
  }

 private:
  detail::Owned<jobstore_completion, jobstore_completion_free> handle_;
};

/// A completion queue, for engines with an event loop. fd() is readable while next() may return a
/// result.
class Queue {
 public:
  Queue() { handle_.reset(detail::get<jobstore_queue *>(jobstore_queue_new)); }

  int fd() const noexcept { return jobstore_queue_fd(handle_.get()); }

  std::optional<Completion> next(Timeout timeout = Timeout(0)) const {
    auto completion = detail::get<jobstore_completion *>([&](auto completion, auto error) {
      return jobstore_queue_next(handle_.get(), timeout.count(), completion, error);
    });
    return completion ? std::optional<Completion>(Completion(completion)) : std::nullopt;
  }

  const jobstore_queue *handle() const noexcept { return handle_.get(); }

 private:
  detail::Owned<jobstore_queue, jobstore_queue_free> handle_;
};

/// A graph of a store.
class Graph {
 public:
  explicit Graph(jobstore_graph *handle) : handle_(handle) {}

  std::string_view name() const { return detail::view(jobstore_graph_name(handle_.get())); }
  std::string_view project_id() const {
    return detail::view(jobstore_graph_project_id(handle_.get()));
  }

  /// Submits a request, and returns the id of the new job. It is durable when the call returns.
  std::string submit(const Request &request) const {
    auto c_request = detail::request(request);
    auto id = detail::get<jobstore_job_id>([&](jobstore_job_id *id, auto error) {
      return jobstore_submit(handle_.get(), &c_request, id, error);
    });
    return id.text;
  }

  /// Submits a request under an id of the caller. Returns whether it was created.
  bool submit_as(std::string_view id, const Request &request) const {
    auto c_request = detail::request(request);
    return detail::get<bool>([&](bool *created, auto error) {
      return jobstore_submit_as(handle_.get(), detail::text(id), &c_request, created, error);
    });
  }

  /// Submits a request once per idempotency key.
  Submitted submit_once(std::string_view key, const Request &request) const {
    auto c_request = detail::request(request);
    bool created = false;
    auto id = detail::get<jobstore_job_id>([&](jobstore_job_id *id, auto error) {
      return jobstore_submit_once(handle_.get(), detail::text(key), &c_request, id, &created, error);
    });
    return {id.text, created};
  }

  /// Submits requests in one commit: either all of them or none.
  std::vector<std::string> submit_many(const std::vector<Request> &requests) const {
    std::vector<jobstore_request> c_requests;
    for (const auto &request : requests) c_requests.push_back(detail::request(request));
    std::vector<jobstore_job_id> ids(requests.size());
    detail::check([&](jobstore_error **error) {
      return jobstore_submit_many(handle_.get(), c_requests.data(), c_requests.size(), ids.data(),
                                  error);
    });
    std::vector<std::string> strings;
    for (const auto &id : ids) strings.emplace_back(id.text);
    return strings;
  }

  /// Submits a request without waiting. The result arrives in the queue, with the tag.
  void submit_async(const Request &request, const Queue &queue, uint64_t tag) const {
    auto c_request = detail::request(request);
    detail::check([&](jobstore_error **error) {
      return jobstore_submit_async(handle_.get(), &c_request, queue.handle(), tag, error);
    });
  }

  /// Claims the oldest pending job as soon as there is one. The run arrives in the queue.
  void claim_next_async(const Queue &queue, uint64_t tag) const {
    detail::check([&](jobstore_error **error) {
      return jobstore_claim_next_async(handle_.get(), queue.handle(), tag, error);
    });
  }

  void start(std::string_view id) const {
    detail::check([&](jobstore_error **error) {
      return jobstore_start(handle_.get(), detail::text(id), error);
    });
  }

  Done complete(std::string_view id, std::string_view outcome = "succeeded") const {
    return Done(detail::get<int32_t>([&](int32_t *done, auto error) {
      return jobstore_complete(handle_.get(), detail::text(id), detail::text(outcome), done, error);
    }));
  }

  Done cancel(std::string_view id) const {
    return Done(detail::get<int32_t>([&](int32_t *done, auto error) {
      return jobstore_cancel(handle_.get(), detail::text(id), done, error);
    }));
  }

  /// Cancels all pending and running jobs that match a query, or only counts them. Returns their
  /// numbers as JSON.
  std::string cancel_all(std::string_view query, bool dry_run = false) const {
    return detail::string([&](jobstore_bytes *json, auto error) {
      return jobstore_cancel_all(handle_.get(), detail::text(query), dry_run, json, error);
    });
  }

  /// Claims the oldest pending job, and waits for one if none is pending.
  std::optional<Run> claim_next(Timeout timeout = Timeout(0)) const {
    auto run = detail::get<jobstore_run *>([&](jobstore_run **run, auto error) {
      return jobstore_claim_next(handle_.get(), timeout.count(), run, error);
    });
    return run ? std::optional<Run>(Run(run)) : std::nullopt;
  }

  Run claim(std::string_view id) const {
    return Run(detail::get<jobstore_run *>([&](jobstore_run **run, auto error) {
      return jobstore_claim(handle_.get(), detail::text(id), run, error);
    }));
  }

  Run attach(std::string_view id) const {
    return Run(detail::get<jobstore_run *>([&](jobstore_run **run, auto error) {
      return jobstore_attach(handle_.get(), detail::text(id), run, error);
    }));
  }

  /// The job as JSON, with its secrets masked.
  std::string job(std::string_view id) const {
    return detail::string([&](jobstore_bytes *json, auto error) {
      return jobstore_job(handle_.get(), detail::text(id), json, error);
    });
  }

  /// The request as JSON, with its real secrets.
  std::string job_request(std::string_view id) const {
    return detail::string([&](jobstore_bytes *json, auto error) {
      return jobstore_job_request(handle_.get(), detail::text(id), json, error);
    });
  }

  std::optional<std::string> tombstone(std::string_view id) const {
    return detail::maybe_string([&](jobstore_bytes *json, auto error) {
      return jobstore_tombstone(handle_.get(), detail::text(id), json, error);
    });
  }

  /// The number of jobs in a state: "pending", "running", or "complete".
  uint64_t count(std::string_view state) const {
    return detail::get<uint64_t>([&](uint64_t *jobs, auto error) {
      return jobstore_count(handle_.get(), detail::text(state), jobs, error);
    });
  }

  /// The job as JSON once it is complete, unless the timeout passes first.
  std::optional<std::string> wait(std::string_view id, Timeout timeout = forever) const {
    return detail::maybe_string([&](jobstore_bytes *json, auto error) {
      return jobstore_wait(handle_.get(), detail::text(id), timeout.count(), json, error);
    });
  }

  /// Lists jobs by a query string, such as "state=pending&limit=20".
  Page list(std::string_view query = "") const {
    return Page(detail::get<jobstore_page *>([&](jobstore_page **page, auto error) {
      return jobstore_list(handle_.get(), detail::text(query), page, error);
    }));
  }

  /// The jobs that have exactly this request, newest first, as JSON lines.
  std::string find(const Request &request, uint64_t limit = 0) const {
    auto c_request = detail::request(request);
    return detail::written([&](auto write, void *user, auto error) {
      return jobstore_find(handle_.get(), &c_request, limit, write, user, error);
    });
  }

  /// Counts jobs by a property, and returns the counts as JSON. The query contains the property and
  /// filters, such as "by=outcome&command=import_graph".
  std::string tally(std::string_view query) const {
    return detail::string([&](jobstore_bytes *json, auto error) {
      return jobstore_tally(handle_.get(), detail::text(query), json, error);
    });
  }

  /// The history of the period that a query string selects, such as
  /// "from=1700000000000&step_ms=60000", as JSON.
  std::string history(std::string_view query = "") const {
    return detail::string([&](jobstore_bytes *json, auto error) {
      return jobstore_history(handle_.get(), detail::text(query), json, error);
    });
  }

  /// The change feed after a position, or from the beginning.
  Changes changes(std::string_view position = "") const {
    return Changes(detail::get<jobstore_changes *>([&](jobstore_changes **changes, auto error) {
      return jobstore_open_changes(handle_.get(), detail::text(position), changes, error);
    }));
  }

  std::string position() const {
    return detail::string([&](jobstore_bytes *position, auto error) {
      return jobstore_position(handle_.get(), position, error);
    });
  }

  /// Sets the retention policy, as JSON; the empty text removes it.
  void set_retention(std::string_view policy) const {
    detail::check([&](jobstore_error **error) {
      return jobstore_set_retention(handle_.get(), detail::text(policy), error);
    });
  }

  std::optional<std::string> retention() const {
    return detail::maybe_string([&](jobstore_bytes *json, auto error) {
      return jobstore_retention(handle_.get(), json, error);
    });
  }

  uint64_t purge(std::string_view query, bool dry_run = false) const {
    return detail::get<uint64_t>([&](uint64_t *jobs, auto error) {
      return jobstore_purge(handle_.get(), detail::text(query), dry_run, jobs, error);
    });
  }

  void export_jobs(std::string_view query, const Writer &writer, bool reveal_secrets = false) const {
    detail::write(writer, [&](auto write, void *user, auto error) {
      return jobstore_export(handle_.get(), detail::text(query), reveal_secrets, write, user, error);
    });
  }

  /// Imports jobs from JSON lines, and returns a report as JSON.
  std::string import_jobs(const Reader &reader, bool skip_bad_lines = false) const {
    struct State {
      const Reader &reader;
      std::exception_ptr thrown;
    } state{reader, nullptr};
    jobstore_read_fn pass = [](void *user, char *buffer, size_t capacity) -> ptrdiff_t {
      auto &state = *static_cast<State *>(user);
      try {
        return static_cast<ptrdiff_t>(state.reader(buffer, capacity));
      } catch (...) {
        state.thrown = std::current_exception();
        return -1;
      }
    };
    try {
      return detail::string([&](jobstore_bytes *json, auto error) {
        return jobstore_import(handle_.get(), skip_bad_lines, pass, &state, json, error);
      });
    } catch (const Error &) {
      if (state.thrown) std::rethrow_exception(state.thrown);
      throw;
    }
  }

  const jobstore_graph *handle() const noexcept { return handle_.get(); }

 private:
  detail::Owned<jobstore_graph, jobstore_graph_free> handle_;
};

/// An open control socket, through which the jobstore CLI uses the store.
class Control {
 public:
  explicit Control(jobstore_control *handle) : handle_(handle) {}

  std::string path() const {
    return detail::string([&](jobstore_bytes *path, auto error) {
      return jobstore_control_path(handle_.get(), path, error);
    });
  }

 private:
  detail::Owned<jobstore_control, jobstore_control_free> handle_;
};

/// An open store.
class Store {
 public:
  /// Opens the store in a directory, and creates both if they do not exist.
  explicit Store(std::string_view directory, const Options &options = Options()) {
    handle_.reset(detail::get<jobstore_store *>([&](jobstore_store **store, auto error) {
      return jobstore_open(detail::text(directory), options.handle(), store, error);
    }));
  }

  /// Opens a new store in memory, for tests.
  static Store in_memory(const Options &options = Options()) {
    return Store(detail::get<jobstore_store *>([&](jobstore_store **store, auto error) {
      return jobstore_open_in_memory(options.handle(), store, error);
    }));
  }

  /// Opens a copy that shows what another process writes. The option "replica" is required.
  static Store follow(std::string_view directory, const Options &options) {
    return Store(detail::get<jobstore_store *>([&](jobstore_store **store, auto error) {
      return jobstore_follow(detail::text(directory), options.handle(), store, error);
    }));
  }

  Graph create_graph(std::string_view project_id, std::string_view name) const {
    return open(jobstore_create_graph, project_id, name);
  }
  Graph graph(std::string_view project_id, std::string_view name) const {
    return open(jobstore_get_graph, project_id, name);
  }
  Graph get_or_create_graph(std::string_view project_id, std::string_view name) const {
    return open(jobstore_get_or_create_graph, project_id, name);
  }

  void drop_graph(std::string_view project_id, std::string_view name) const {
    detail::check([&](jobstore_error **error) {
      return jobstore_drop_graph(handle_.get(), detail::text(project_id), detail::text(name), error);
    });
  }

  std::string graphs() const { return json(jobstore_graphs); }
  std::string recovered() const { return json(jobstore_recovered); }
  std::string stats() const { return json(jobstore_stats); }
  std::string health() const { return json(jobstore_health); }

  /// Counts the jobs of all graphs, as Graph::tally does for one of them.
  std::string tally(std::string_view query) const {
    return detail::string([&](jobstore_bytes *json, auto error) {
      return jobstore_tally_all(handle_.get(), detail::text(query), json, error);
    });
  }

  std::string backup(std::string_view directory) const {
    return detail::string([&](jobstore_bytes *json, auto error) {
      return jobstore_backup(handle_.get(), detail::text(directory), json, error);
    });
  }

  Control control() const {
    return Control(detail::get<jobstore_control *>([&](jobstore_control **control, auto error) {
      return jobstore_open_control(handle_.get(), control, error);
    }));
  }

  /// Closes the store. Without this call, it is closed when its last handle is destroyed.
  void close() const {
    detail::check([&](jobstore_error **error) { return jobstore_close(handle_.get(), error); });
  }

 private:
  explicit Store(jobstore_store *handle) : handle_(handle) {}

  template <class Open>
  Graph open(Open open, std::string_view project_id, std::string_view name) const {
    return Graph(detail::get<jobstore_graph *>([&](jobstore_graph **graph, auto error) {
      return open(handle_.get(), detail::text(project_id), detail::text(name), graph, error);
    }));
  }

  template <class Call>
  std::string json(Call call) const {
    return detail::string([&](jobstore_bytes *json, auto error) {
      return call(handle_.get(), json, error);
    });
  }

  detail::Owned<jobstore_store, jobstore_free> handle_;
};

inline const char *version() noexcept { return jobstore_version(); }

}  // namespace jobstore

#endif
