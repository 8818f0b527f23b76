// Runs the calls of cases.txt through the C++ header, and compares their results.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>

#include "jobstore.hpp"

using namespace std::string_literals;
using Args = std::vector<std::string>;

namespace {

struct World {
  std::optional<jobstore::Options> options;
  std::optional<jobstore::Store> store;
  std::optional<jobstore::Graph> graph;
  std::optional<jobstore::Run> run;
  std::string id, cursor, position;

  jobstore::Store &open() {
    if (!options) options.emplace();
    if (!store) store = jobstore::Store::in_memory(*options);
    return *store;
  }
};

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size())
    text.replace(at, what.size(), with);
  return text;
}

std::string word(jobstore::Done done) {
  switch (done) {
    case jobstore::Done::done: return "done";
    case jobstore::Done::cancelled_before_start: return "cancelled_before_start";
    case jobstore::Done::cancel_requested: return "cancel_requested";
    default: return "already_complete";
  }
}

std::string created(bool created) { return created ? "created" : "exists"; }

std::string fill(const jobstore::Graph &graph, size_t jobs) {
  for (size_t from = 0; from < jobs; from += 1000) {
    std::vector<std::string> bodies;
    for (size_t n = from; n < jobs && n < from + 1000; n++)
      bodies.push_back("{\"n\":" + std::to_string(n) + "}");
    std::vector<jobstore::Request> requests;
    for (const auto &body : bodies) requests.push_back({"fill", "/ges", body});
    graph.submit_many(requests);
  }
  return std::to_string(jobs);
}

jobstore::Page list(World &w, const std::string &query) {
  auto page = w.graph->list(query);
  w.cursor = page.next().value_or("");
  return page;
}

std::string changes(World &w, const std::string &from) {
  auto feed = w.graph->changes(from);
  std::string kinds;
  while (auto change = feed.next()) {
    auto value = [&](const std::string &name) {
      auto at = change->find("\"" + name + "\":\"") + name.size() + 4;
      return change->substr(at, change->find('"', at) - at);
    };
    kinds += (kinds.empty() ? "" : " ") + value("kind");
    w.position = value("position");
  }
  return kinds;
}

std::string call(World &w, const std::string &name, const Args &a) {
  auto at = [&](size_t n) { return a[n]; };
  if (name == "option") {
    if (!w.options) w.options.emplace();
    w.options->set(at(0), at(1));
    return "ok";
  }
  if (name == "graph") return w.graph = w.open().get_or_create_graph(at(0), at(1)), "ok";
  if (name == "create") return w.graph = w.open().create_graph(at(0), at(1)), "ok";
  if (name == "get") return w.graph = w.open().graph(at(0), at(1)), "ok";
  if (name == "drop") return w.open().drop_graph(at(0), at(1)), "ok";
  if (name == "graphs") return w.open().graphs();
  if (name == "health") return w.open().health();
  if (name == "tally_all") return w.open().tally(at(0));
  if (name == "close") return w.open().close(), "ok";
  if (name == "submit") return w.id = w.graph->submit({a[0], a[1], a[2]});
  if (name == "submit_from") return w.id = w.graph->submit({a[1], a[2], a[3], a[0]});
  if (name == "submit_as") return created(w.graph->submit_as(a[0], {a[1], a[2], a[3]}));
  if (name == "submit_once") {
    auto submitted = w.graph->submit_once(a[0], {a[1], a[2], a[3]});
    w.id = submitted.id;
    return created(submitted.created);
  }
  if (name == "fill") return fill(*w.graph, std::stoul(at(0)));
  if (name == "start") return w.graph->start(at(0)), "ok";
  if (name == "complete") return word(w.graph->complete(at(0), at(1)));
  if (name == "cancel") return word(w.graph->cancel(at(0)));
  if (name == "cancel_all") return w.graph->cancel_all(at(0), at(1) == "true");
  if (name == "claim") return w.run = w.graph->claim(at(0)), std::string(w.run->id());
  if (name == "claim_next") {
    w.run = w.graph->claim_next();
    return w.run ? std::string(w.run->id()) : "none";
  }
  if (name == "run_origin") return std::string(w.run->request().origin);
  if (name == "run_request") {
    auto request = w.run->request();
    return std::string(request.command) + " " + std::string(request.url) + " " +
           std::string(request.body);
  }
  if (name == "progress") return w.run->progress(uint8_t(std::stoi(at(0))), at(1)), "ok";
  if (name == "cancel_requested") return w.run->cancel_requested() ? "true" : "false";
  if (name == "run_complete") return word(w.run->complete(at(0)));
  if (name == "requeue") return word(w.run->requeue());
  if (name == "run_free") return w.run.reset(), "ok";
  if (name == "detach") return w.run->detach(), "ok";
  if (name == "job") return w.graph->job(at(0));
  if (name == "job_request") return w.graph->job_request(at(0));
  if (name == "wait")
    return w.graph->wait(at(0), jobstore::Timeout(std::stol(at(1)))).value_or("none");
  if (name == "wait_state") {
    while (w.graph->job(at(0)).find("\"status\":\"" + at(1)) == std::string::npos)
      std::this_thread::yield();
    return "ok";
  }
  if (name == "count") return std::to_string(w.graph->count(at(0)));
  if (name == "list") return list(w, at(0)).json();
  if (name == "size") {
    auto page = list(w, at(0));
    return std::to_string(page.size()) + " " + std::to_string(page.json().size());
  }
  if (name == "find") {
    auto lines = w.graph->find({a[0], a[1], a[2]});
    return std::to_string(std::count(lines.begin(), lines.end(), '\n'));
  }
  if (name == "tally") return w.graph->tally(at(0));
  if (name == "history") return w.graph->history(at(0));
  if (name == "changes") return changes(w, at(0));
  if (name == "retention") return w.graph->set_retention(at(0)), "ok";
  if (name == "get_retention") return w.graph->retention().value_or("none");
  if (name == "purge") return std::to_string(w.graph->purge(at(0), at(1) == "true"));
  if (name == "tombstone") return w.graph->tombstone(at(0)).value_or("none");
  if (name == "export") {
    std::string lines;
    w.graph->export_jobs(at(0), [&](auto part) { lines.append(part); }, at(1) == "true");
    return lines;
  }
  if (name == "import") {
    auto lines = replaced(at(0), "␤", "\n");
    size_t sent = 0;
    auto reader = [&](char *buffer, size_t capacity) {
      size_t len = lines.copy(buffer, capacity, sent);
      sent += len;
      return len;
    };
    return w.graph->import_jobs(reader, at(1) == "true");
  }
  throw std::logic_error("unknown call " + name);
}

std::string expand(const World &w, const std::string &text) {
  std::string out;
  size_t from = 0, open;
  while ((open = text.find("⟦", from)) != std::string::npos) {
    out += text.substr(from, open - from);
    open += "⟦"s.size();
    auto close = text.find("⟧", open);
    auto star = text.rfind('*', close);
    auto what = text.substr(open, star - open);
    for (long n = std::stol(text.substr(star + 1)); n > 0; n--) out += what;
    from = close + "⟧"s.size();
  }
  out += text.substr(from);
  out = replaced(out, "$id", w.id);
  out = replaced(out, "$cursor", w.cursor);
  return replaced(out, "$position", w.position);
}

bool matches(std::string_view pattern, std::string_view text) {
  constexpr std::string_view gap = "…";
  auto at = pattern.find(gap);
  if (text.substr(0, at) != pattern.substr(0, at)) return false;
  if (at == pattern.npos) return text.size() == pattern.size();
  text.remove_prefix(at);
  for (;;) {
    pattern.remove_prefix(at + gap.size());
    at = pattern.find(gap);
    auto part = pattern.substr(0, at);
    if (at == pattern.npos)
      return text.size() >= part.size() && text.substr(text.size() - part.size()) == part;
    auto found = text.find(part);
    if (found == text.npos) return false;
    text.remove_prefix(found + part.size());
  }
}

}  // namespace

int main(int argc, char **argv) {
  std::ifstream file(argc > 1 ? argv[1] : "");
  std::string line, expected;
  std::optional<World> world(std::in_place);
  int calls = 0, failed = 0;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    Args args;
    for (size_t from = 0;;) {
      auto tab = line.find('\t', from);
      args.push_back(expand(*world, line.substr(from, tab - from)));
      if (tab == line.npos) break;
      from = tab + 1;
    }
    auto name = args[0];
    args.erase(args.begin());
    if (name == "case") {
      world.emplace();
      continue;
    }
    std::string got;
    try {
      got = "= " + replaced(call(*world, name, args), "\n", "␤");
    } catch (const jobstore::Error &error) {
      got = "! " + error.name() + "\t" + error.json();
    }
    std::getline(file, expected);
    expected = expand(*world, expected);
    if (expected[0] == '!' && expected.find('\t') == expected.npos) expected += "\t…";
    calls++;
    if (!matches(expected, got)) {
      failed++;
      std::cout << name << "\nexpected " << expected.substr(0, 1000) << "\ngot      "
                << got.substr(0, 1000) << "\n";
    }
  }
  world.reset();
  std::cout << "C++: " << calls << " calls, " << failed << " failed\n";
  return failed > 0 || calls == 0;
}
