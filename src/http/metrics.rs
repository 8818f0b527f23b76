//! The store's metrics for Prometheus.
//!
//! Contains [`metrics`], and the names and units of the series. The output is in the text format
//! 0.0.4, with base units in the names, counters that only increase, and cumulative histograms. The
//! health is reported even if the statistics are not available.

mod replication;

use std::fmt::{self, Display, Write};
use std::time::{Duration, SystemTime};

use crate::api::store::JobStore;
use crate::base::clock;
use crate::log::format::FORMAT;
use crate::model::error::{Error, Result};
use crate::model::health::Health;
use crate::model::job_counts::{JobCounts, JobHistogram};
use crate::model::outcome::OutcomeKind;
use crate::model::stats::{GraphStats, Histogram, Stats};

/// The `Content-Type` of [`metrics()`](metrics).
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The number of graphs that have their own series in [`metrics()`](metrics). The graphs with the
/// most jobs are chosen.
pub const METRICS_GRAPHS: usize = 100;

/// The maximum number of graphs for which [`metrics_of()`](metrics_of) returns series.
pub const METRICS_GRAPHS_MAX: usize = 10_000;

/// The store's metrics as Prometheus text, to be served with [`METRICS_CONTENT_TYPE`].
/// `examples/alerts.yml` contains alerting rules for them, and `examples/grafana.json` a Grafana
/// dashboard.
///
/// The series `jobstore_store_*` cover all graphs together. Series with the labels `project` and
/// `graph` exist only for the [`METRICS_GRAPHS`] graphs with the most jobs. `jobstore_graphs` is
/// the number of all graphs, and `jobstore_graphs_shown` is the number of graphs with series.
/// [`metrics_of()`](metrics_of) includes more or fewer graphs.
///
/// Counters start at 0 each time the store is opened, except `jobstore_opens_total`. If the
/// statistics cannot be read because a file or the index fails, only `jobstore_build_info`,
/// `jobstore_health`, and `jobstore_stats_up` are present.
///
/// # Cost
/// That of [`JobStore::stats_of`]. It reads files, so call it on a thread that may block.
///
/// # Errors
/// [`Error::Closed`].
///
/// # Examples
/// ```
/// let store = jobstore::JobStore::in_memory()?;
/// store.create_graph("10001", "movie")?;
/// let text = jobstore::http::metrics(&store)?;
/// assert!(text.contains("jobstore_health{state=\"ok\"} 1\n"));
/// assert!(text.contains(
///     "jobstore_jobs{project=\"10001\",graph=\"movie\",state=\"pending\"} 0\n"
/// ));
/// # Ok::<(), jobstore::Error>(())
/// ```
pub fn metrics(store: &JobStore) -> Result<String> {
    metrics_of(store, METRICS_GRAPHS)
}

/// Like [`metrics()`](metrics), but with series for at most `graphs` graphs, up to
/// [`METRICS_GRAPHS_MAX`]. This is what `GET /metrics?graphs=..` returns.
///
/// # Errors
/// [`Error::Closed`].
///
/// # Examples
/// ```
/// let store = jobstore::JobStore::in_memory()?;
/// store.create_graph("10001", "movie")?;
/// let text = jobstore::http::metrics_of(&store, 0)?;
/// assert!(text.contains("jobstore_store_jobs{state=\"pending\"} 0\n"));
/// assert!(!text.contains("movie"));
/// # Ok::<(), jobstore::Error>(())
/// ```
pub fn metrics_of(store: &JobStore, graphs: usize) -> Result<String> {
    let mut text = Text::default();
    match store.stats_of(graphs.min(METRICS_GRAPHS_MAX)) {
        Ok(stats) => {
            text.build();
            text.health(&stats.health);
            text.up(true);
            text.store(&stats);
            text.totals(&stats);
            text.counters(&stats.totals.counters);
            text.graphs(&stats.graphs);
        }
        Err(Error::Closed) => return Err(Error::Closed),
        Err(error) => {
            tracing::warn!(%error, "cannot read the store's statistics");
            text.build();
            text.health(&store.health());
            text.up(false);
        }
    }
    Ok(text.0)
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a metric: its name, type, and help text.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!(
            "# HELP jobstore_{name} {help}\n# TYPE jobstore_{name} {kind}"
        ));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        writeln!(self.0, "{line}").ok();
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.line(format_args!("jobstore_{name} {value}"));
    }

    fn build(&mut self) {
        let help = "Always 1; labeled with the crate version and the file format version.";
        self.metric("build_info", "gauge", help);
        let version = env!("CARGO_PKG_VERSION");
        self.line(format_args!(
            "jobstore_build_info{{version=\"{version}\",format=\"{FORMAT}\"}} 1"
        ));
    }

    fn health(&mut self, health: &Health) {
        self.metric(
            "health",
            "gauge",
            "State of the store: 1 for the current state, 0 for the others.",
        );
        for state in ["ok", "degraded", "read_only", "closed"] {
            let is_it = u8::from(health.as_str() == state);
            self.line(format_args!("jobstore_health{{state=\"{state}\"}} {is_it}"));
        }
    }

    fn up(&mut self, is_up: bool) {
        let help = "Whether the statistics could be read (1) or not (0).";
        self.one("stats_up", "gauge", help, u8::from(is_up));
    }

    fn store(&mut self, stats: &Stats) {
        for (name, kind, help, value) in [
            (
                "opens_total",
                "counter",
                "Writable opens of the store.",
                stats.opens,
            ),
            (
                "segment_bytes",
                "gauge",
                "Size of the segments, the part of the log that is not packed yet.",
                stats.segment_bytes,
            ),
            (
                "pack_bytes",
                "gauge",
                "Size of the packs.",
                stats.pack_bytes,
            ),
            ("packs", "gauge", "Number of packs.", stats.packs),
            (
                "index_bytes",
                "gauge",
                "Size of the index.",
                stats.index_bytes,
            ),
            (
                "preallocated_bytes",
                "gauge",
                "Size of preallocated files: the next log file and the reserve for a full disk.",
                stats.preallocated_bytes,
            ),
            (
                "commits_total",
                "counter",
                "Number of commits.",
                stats.frames,
            ),
            (
                "commit_bytes_total",
                "counter",
                "Bytes written by commits.",
                stats.frame_bytes,
            ),
            (
                "events_total",
                "counter",
                "Number of committed events.",
                stats.events,
            ),
            (
                "queue_writes",
                "gauge",
                "Number of writes in the commit queue.",
                stats.queued,
            ),
            (
                "queue_bytes",
                "gauge",
                "Bytes of the writes in the commit queue.",
                stats.queued_bytes,
            ),
            (
                "max_queue_bytes",
                "gauge",
                "Maximum number of bytes in the commit queue.",
                stats.max_queue_bytes,
            ),
            (
                "writes_refused_total",
                "counter",
                "Number of writes refused because the commit queue was full.",
                stats.writes_refused,
            ),
            (
                "segments_to_pack",
                "gauge",
                "Number of full segments waiting to be packed.",
                stats.segments_to_pack,
            ),
            (
                "index_lag_events",
                "gauge",
                "Number of events that are not in the index yet.",
                stats.index_lag,
            ),
            (
                "purged_jobs_total",
                "counter",
                "Number of purged jobs.",
                stats.purged,
            ),
        ] {
            self.one(name, kind, help, value);
        }
        let help = "Unix time of the last purge; absent if nothing was purged.";
        self.metric("last_purge_timestamp_seconds", "gauge", help);
        if let Some(time) = stats.last_purge_at {
            let seconds = seconds_of(time);
            self.line(format_args!(
                "jobstore_last_purge_timestamp_seconds {seconds}"
            ));
        }
        let pin = stats.oldest_pin.unwrap_or(Duration::ZERO).as_secs_f64();
        let help = "Longest time for which a page has kept a replaced file.";
        self.one("oldest_pin_seconds", "gauge", help, pin);
        if let Some(replica) = &stats.replica {
            self.replica(replica);
        }
        if let Some(follower) = &stats.follower {
            self.follower(follower);
        }
        let help = "Time taken to sync commits to disk.";
        self.histogram("sync_duration_seconds", help, &stats.syncs);
        let help = "Time from queueing a write to its completion.";
        self.histogram("commit_wait_duration_seconds", help, &stats.commit_waits);
    }

    /// The totals over all graphs.
    fn totals(&mut self, stats: &Stats) {
        let totals = &stats.totals;
        self.one("graphs", "gauge", "Number of graphs.", totals.graphs);
        let help = "Number of graphs with series of their own, those with the most jobs.";
        self.one("graphs_shown", "gauge", help, stats.graphs.len());
        self.metric(
            "store_jobs",
            "gauge",
            "Number of jobs in all graphs by state.",
        );
        for (state, jobs) in [
            ("pending", totals.pending),
            ("running", totals.running),
            ("complete", totals.complete),
        ] {
            self.line(format_args!(
                "jobstore_store_jobs{{state=\"{state}\"}} {jobs}"
            ));
        }
        let help = "Number of jobs in all graphs that were quarantined by a repair.";
        self.one("store_jobs_quarantined", "gauge", help, totals.quarantined);
        let lag = totals.purge_lag.unwrap_or(Duration::ZERO).as_secs_f64();
        let help = "Longest time for which jobs of any graph have been overdue for purging.";
        self.one("store_purge_lag_seconds", "gauge", help, lag);
        for (name, help, time) in [
            (
                "store_oldest_pending_timestamp_seconds",
                "Unix time at which the oldest pending job in all graphs was submitted; absent if \
                 no job is pending.",
                totals.oldest_pending_at,
            ),
            (
                "store_longest_running_timestamp_seconds",
                "Unix time at which the longest-running job across all graphs was started; absent if \
                 no job is running.",
                totals.longest_running_at,
            ),
        ] {
            self.metric(name, "gauge", help);
            if let Some(time) = time {
                let seconds = seconds_of(time);
                self.line(format_args!("jobstore_{name} {seconds}"));
            }
        }
    }

    /// What happened to jobs since the open, over all graphs.
    fn counters(&mut self, counters: &JobCounts) {
        let help = "Jobs that were submitted, in all graphs.";
        self.one(
            "store_jobs_submitted_total",
            "counter",
            help,
            counters.submitted(),
        );
        let help = "Starts of jobs, in all graphs.";
        self.one(
            "store_jobs_started_total",
            "counter",
            help,
            counters.started(),
        );
        let help = "Jobs that completed, in all graphs, by outcome.";
        self.metric("store_jobs_completed_total", "counter", help);
        for &kind in OutcomeKind::ALL {
            let jobs = counters.completed(kind);
            self.line(format_args!(
                "jobstore_store_jobs_completed_total{{outcome=\"{kind}\"}} {jobs}"
            ));
        }
        let help = "Time from the submission of a job to its start, in all graphs.";
        self.metric("store_job_wait_duration_seconds", "histogram", help);
        self.job_histogram("store_job_wait_duration_seconds", "", &counters.waits());
        let help = "Time from the start of a job to its completion, in all graphs, by outcome.";
        self.metric("store_job_run_duration_seconds", "histogram", help);
        for &kind in OutcomeKind::ALL {
            let label = format!("outcome=\"{kind}\",");
            self.job_histogram(
                "store_job_run_duration_seconds",
                &label,
                &counters.runs(kind),
            );
        }
    }

    /// The series of a histogram. `label` is empty or ends with a comma.
    fn job_histogram(&mut self, name: &str, label: &str, histogram: &JobHistogram) {
        let mut count = 0;
        for (bound, counted) in JobHistogram::bounds().iter().zip(histogram.counts()) {
            count += counted;
            let bound = bound.as_secs_f64();
            self.line(format_args!(
                "jobstore_{name}_bucket{{{label}le=\"{bound}\"}} {count}"
            ));
        }
        let (count, sum) = (histogram.count(), histogram.sum().as_secs_f64());
        self.line(format_args!(
            "jobstore_{name}_bucket{{{label}le=\"+Inf\"}} {count}"
        ));
        let labels = match label.trim_end_matches(',') {
            "" => String::new(),
            label => format!("{{{label}}}"),
        };
        self.line(format_args!("jobstore_{name}_sum{labels} {sum}"));
        self.line(format_args!("jobstore_{name}_count{labels} {count}"));
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.metric(name, "histogram", help);
        let mut count = 0;
        for (bound, counted) in Histogram::bounds().iter().zip(histogram.counts()) {
            count += counted;
            let bound = bound.as_secs_f64();
            self.line(format_args!(
                "jobstore_{name}_bucket{{le=\"{bound}\"}} {count}"
            ));
        }
        let (count, sum) = (histogram.count(), histogram.sum.as_secs_f64());
        self.line(format_args!(
            "jobstore_{name}_bucket{{le=\"+Inf\"}} {count}"
        ));
        self.line(format_args!("jobstore_{name}_sum {sum}"));
        self.line(format_args!("jobstore_{name}_count {count}"));
    }

    fn graphs(&mut self, graphs: &[GraphStats]) {
        let labels: Vec<String> = graphs.iter().map(labels).collect();
        self.metric("jobs", "gauge", "Number of jobs by graph and state.");
        for (graph, labels) in graphs.iter().zip(&labels) {
            let (pending, running, complete) = (graph.pending, graph.running, graph.complete);
            for (state, jobs) in [
                ("pending", pending),
                ("running", running),
                ("complete", complete),
            ] {
                self.line(format_args!(
                    "jobstore_jobs{{{labels},state=\"{state}\"}} {jobs}"
                ));
            }
        }
        self.metric(
            "jobs_quarantined",
            "gauge",
            "Number of jobs that were quarantined by a repair.",
        );
        for (graph, labels) in graphs.iter().zip(&labels) {
            let jobs = graph.quarantined;
            self.line(format_args!("jobstore_jobs_quarantined{{{labels}}} {jobs}"));
        }
        let help = "Time for which jobs have been overdue for purging; 0 if none are.";
        self.metric("purge_lag_seconds", "gauge", help);
        for (graph, labels) in graphs.iter().zip(&labels) {
            let lag = graph.purge_lag.unwrap_or(Duration::ZERO).as_secs_f64();
            self.line(format_args!("jobstore_purge_lag_seconds{{{labels}}} {lag}"));
        }
        type Count = fn(&JobCounts) -> u64;
        let counts: [(&str, &str, Count); 2] = [
            (
                "jobs_submitted_total",
                "Jobs that were submitted, by graph.",
                JobCounts::submitted,
            ),
            (
                "jobs_started_total",
                "Starts of jobs, by graph.",
                JobCounts::started,
            ),
        ];
        for (name, help, count) in counts {
            self.metric(name, "counter", help);
            for (graph, labels) in graphs.iter().zip(&labels) {
                let jobs = count(&graph.counters);
                self.line(format_args!("jobstore_{name}{{{labels}}} {jobs}"));
            }
        }
        let help = "Jobs that completed, by graph and outcome.";
        self.metric("jobs_completed_total", "counter", help);
        for (graph, labels) in graphs.iter().zip(&labels) {
            for &kind in OutcomeKind::ALL {
                let jobs = graph.counters.completed(kind);
                self.line(format_args!(
                    "jobstore_jobs_completed_total{{{labels},outcome=\"{kind}\"}} {jobs}"
                ));
            }
        }
        type Time = fn(&GraphStats) -> Option<SystemTime>;
        let times: [(&str, &str, Time); 2] = [
            (
                "oldest_pending_timestamp_seconds",
                "Unix time at which the oldest pending job was submitted; absent if no job is \
                 pending.",
                |graph| graph.oldest_pending_at,
            ),
            (
                "longest_running_timestamp_seconds",
                "Unix time at which the longest-running job was started; absent if no job is \
                 running.",
                |graph| graph.longest_running_at,
            ),
        ];
        for (name, help, time) in times {
            self.metric(name, "gauge", help);
            for (graph, labels) in graphs.iter().zip(&labels) {
                if let Some(time) = time(graph) {
                    let seconds = seconds_of(time);
                    self.line(format_args!("jobstore_{name}{{{labels}}} {seconds}"));
                }
            }
        }
    }
}

fn labels(graph: &GraphStats) -> String {
    let (project, name) = (escaped(&graph.project_id), escaped(&graph.name));
    format!("project=\"{project}\",graph=\"{name}\"")
}

/// A label's value, escaped for use between quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn seconds_of(time: SystemTime) -> f64 {
    clock::to_ms(time) as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_bounded_however_many_graphs_there_are() {
        let store = JobStore::in_memory().unwrap();
        let series = |text: &str| text.matches("jobstore_jobs_quarantined{").count();
        for n in 0..METRICS_GRAPHS + 50 {
            store.create_graph("10001", &format!("graph-{n}")).unwrap();
        }
        let text = metrics(&store).unwrap();
        assert_eq!(series(&text), METRICS_GRAPHS);
        assert!(text.contains("\njobstore_graphs 150\n"));
        assert!(text.contains("\njobstore_graphs_shown 100\n"));
        assert_eq!(series(&metrics_of(&store, 7).unwrap()), 7);
        assert_eq!(series(&metrics_of(&store, 1_000).unwrap()), 150);
    }
}
