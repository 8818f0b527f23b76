// A small graph engine in C++ that embeds jobstore: it records every asynchronous request before it
// executes it, works on two threads, and prints the job list. If it is killed, the next run tells
// which jobs were interrupted.
//
//   graph_engine DATA_DIRECTORY CSV_DIRECTORY [--die]

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <jobstore.hpp>

using namespace std::chrono_literals;

namespace {

const std::string kUrl = "/ges/v1.0/10001/graphs/movie/action?action_id=";

// The graph: for each movie, the users that rated it.
class MovieGraph {
 public:
  explicit MovieGraph(std::string csv_directory) : csv_directory_(std::move(csv_directory)) {}

  size_t import() {
    std::ifstream file(csv_directory_ + "/ratings.csv");
    if (!file) throw std::runtime_error("cannot read " + csv_directory_ + "/ratings.csv");
    std::string line, user, movie;
    std::getline(file, line);  // the names of the columns
    size_t edges = 0;
    while (std::getline(file, line)) {
      std::istringstream columns(line);
      std::getline(columns, user, ',');
      std::getline(columns, movie, ',');
      neighbors_[user].push_back(movie);
      neighbors_[movie].push_back(user);
      edges++;
    }
    return edges;
  }

  // Runs until it has converged, or until the job is canceled.
  std::string page_rank(const jobstore::Run &run, int iterations) const {
    std::map<std::string, double> rank;
    for (const auto &[vertex, _] : neighbors_) rank[vertex] = 1.0 / double(neighbors_.size());
    for (int n = 0; n != iterations; n++) {
      if (run.cancel_requested()) return "";
      std::map<std::string, double> next;
      for (const auto &[vertex, others] : neighbors_)
        for (const auto &other : others)
          next[other] += 0.85 * rank[vertex] / double(others.size());
      for (auto &[vertex, value] : next) value += 0.15 / double(neighbors_.size());
      rank = std::move(next);
      run.progress(uint8_t(iterations > 0 ? 100 * n / iterations : 0), "iterating");
    }
    std::string best;
    for (const auto &[vertex, value] : rank)
      if (best.empty() || value > rank[best]) best = vertex;
    return best;
  }

 private:
  std::string csv_directory_;
  std::map<std::string, std::vector<std::string>> neighbors_;
};

// Executes a request, and records its outcome.
void execute(MovieGraph &graph, const jobstore::Run &run) {
  const std::string command(run.request().command);
  std::string outcome = "succeeded";
  try {
    if (command == "import_graph") {
      auto edges = std::to_string(graph.import());
      outcome = R"({"kind":"succeeded","detail":{"edges":)" + edges + "}}";
    } else if (command == "execute_algorithm") {
      const bool endless = run.request().body.find("endless") != std::string_view::npos;
      auto best = graph.page_rank(run, endless ? -1 : 20);
      outcome = best.empty() ? "cancelled" : R"({"kind":"succeeded","resultRef":")" + best + "\"}";
    } else {
      throw std::runtime_error("unknown command");
    }
  } catch (const std::runtime_error &error) {
    outcome = R"({"kind":"failed","code":"GES.8000","message":")" + std::string(error.what()) + "\"}";
  }
  run.complete(outcome);
}

void work(MovieGraph &graph, const jobstore::Graph &jobs, const std::atomic<bool> &stop) {
  while (!stop)
    if (auto run = jobs.claim_next(100ms)) execute(graph, *run);
}

void run_engine(const std::string &data, const std::string &csv, bool die) {
  jobstore::Store store(data);
  std::cerr << "recovered: " << store.recovered() << "\n";
  auto jobs = store.get_or_create_graph("10001", "movie");

  MovieGraph graph(csv);
  auto import = jobs.submit({"import_graph", kUrl + "import-graph", R"({"edgesetPath": "ratings.csv"})"});
  execute(graph, jobs.claim(import));

  auto algorithm = kUrl + "execute-algorithm";
  auto rank = jobs.submit({"execute_algorithm", algorithm, R"({"algorithmName": "pagerank"})"});
  auto endless = jobs.submit({"execute_algorithm", algorithm, R"({"algorithmName": "endless"})"});
  auto odd = jobs.submit({"paint_graph", kUrl + "paint-graph", "{}"});

  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  for (int n = 0; n < 2; n++)
    workers.emplace_back(work, std::ref(graph), std::cref(jobs), std::cref(stop));
  jobs.wait(rank);
  jobs.wait(odd);
  if (die) std::abort();  // the endless job is running
  jobs.cancel(endless);
  jobs.wait(endless);
  stop = true;
  for (auto &worker : workers) worker.join();

  auto page = jobs.list("order=newest_first&limit=100000");
  std::cout << page << "\n";
  std::cerr << page.size() << " of " << page.total().value_or(0) << " jobs\n";
  store.close();
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 3) {
    std::cerr << "usage: graph_engine DATA_DIRECTORY CSV_DIRECTORY [--die]\n";
    return 2;
  }
  try {
    run_engine(argv[1], argv[2], argc > 3 && std::string(argv[3]) == "--die");
    return 0;
  } catch (const std::exception &error) {
    std::cerr << "graph_engine: " << error.what() << "\n";
    return 1;
  }
}
