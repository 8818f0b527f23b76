//! `jobstore stats`: shows the statistics and health of a store.
//!
//! Contains the layout of the statistics for the user. The `json` format contains all of them. The
//! exit code is 1 if the store is not fully operational.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use indicatif::BinaryBytes;
use serde::Deserialize;

use crate::access;
use crate::output::{self, counted, grouped, harmless};
use crate::problem::{Problem, Verdict};
use crate::store_args::StoreArgs;
use crate::when;

const AFTER_HELP: &str = "\
Counters start at 0 when the store is opened, so they are most useful while an
engine is running. Exit code 1 means that the health of the store is not ok.

Examples:
  jobstore stats
  jobstore stats --format json | jq .graphs";

/// The output format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable text
    Table,
    /// All statistics as one JSON object
    Json,
}

/// Show statistics and health
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access = access::open(store_args)?;
    let json = access.stats()?;
    access.close()?;
    let stats: Stats = Problem::parse_json("the statistics", &json)?;
    output::coloured(&match arguments.format {
        Format::Json => json + "\n",
        Format::Table => text(&stats, when::now_ms()),
    })?;
    Ok(match &*stats.health.state {
        "ok" => Verdict::Fine,
        _ => Verdict::Wrong,
    })
}

/// The statistics that are shown in the table.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    opens: u64,
    health: Health,
    graphs: Vec<Graph>,
    segment_bytes: u64,
    pack_bytes: u64,
    index_bytes: u64,
    preallocated_bytes: u64,
    packs: u64,
    frames: u64,
    events: u64,
    syncs: Histogram,
    commit_waits: Histogram,
    queued: u64,
    queued_bytes: u64,
    writes_refused: u64,
    segments_to_pack: u64,
    index_lag: u64,
    purged: u64,
    last_purge_at: Option<u64>,
    replica: Option<Replica>,
    follower: Option<Follower>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Replica {
    place: String,
    reign: u64,
    retries: u64,
    waiting_us: Option<u64>,
    last_checkpoint_at: Option<u64>,
    chunks_since_checkpoint: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Follower {
    place: String,
    lag_us: u64,
    restores: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    state: String,
    why: Option<String>,
    since: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Graph {
    project_id: String,
    name: String,
    pending: u64,
    running: u64,
    complete: u64,
    quarantined: u64,
    oldest_pending_at: Option<u64>,
    longest_running_at: Option<u64>,
    purge_lag_us: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Histogram {
    counts: Vec<u64>,
    bounds_us: Vec<u64>,
}

impl Histogram {
    fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the upper bound of this percentile, in words.
    fn percentile(&self, percent: u64) -> String {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut seen = 0;
        for (n, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return match self.bounds_us.get(n) {
                    Some(us) => format!("<= {}", duration(*us)),
                    None => {
                        let last = self.bounds_us.last().copied().unwrap_or_default();
                        format!("> {}", duration(last))
                    }
                };
            }
        }
        String::new()
    }
}

/// Formats a round duration in words.
fn duration(us: u64) -> String {
    match us {
        0..1000 => format!("{us} us"),
        1000..1_000_000 => format!("{} ms", us / 1000),
        _ => format!("{} s", us / 1_000_000),
    }
}

fn bytes(number: u64) -> String {
    BinaryBytes(number).to_string()
}

/// Formats the statistics as text.
fn text(stats: &Stats, now_ms: u64) -> String {
    let mut text = String::new();
    let bold = Style::new().bold();
    let mut put = |name: &str, value: &str| {
        writeln!(text, "{bold}{name:<8}{bold:#} {value}").ok();
    };
    let colour = match &*stats.health.state {
        "ok" => AnsiColor::Green,
        "degraded" => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let colour = Style::new().fg_color(Some(colour.into()));
    let state = match &*stats.health.state {
        "read_only" => "read-only",
        other => other,
    };
    let mut health = format!("{colour}{}{colour:#}", harmless(state));
    if let Some(since) = stats.health.since {
        health.push_str(&format!(", since {}", when::ago(since, now_ms)));
    }
    if let Some(why) = &stats.health.why {
        health.push_str(&format!(": {}", harmless(why)));
    }
    put("health", &health);
    put("opens", &grouped(stats.opens));
    let parts = [
        stats.pack_bytes,
        stats.segment_bytes,
        stats.index_bytes,
        stats.preallocated_bytes,
    ];
    put("disk", &bytes(parts.iter().sum()));
    let [packs, log, index, preallocated] = parts.map(bytes);
    put("", &format!("{packs} in {}", counted(stats.packs, "pack")));
    let waiting = match stats.segments_to_pack {
        0 => String::new(),
        some => format!(", {} waiting to be packed", counted(some, "full segment")),
    };
    put("", &format!("{log} in the log{waiting}"));
    put("", &format!("{index} in the index"));
    put(
        "",
        &format!("{preallocated} preallocated, for new data and as a reserve for a full disk"),
    );
    if stats.frames > 0 {
        put(
            "commits",
            &format!(
                "{} containing {}",
                grouped(stats.frames),
                counted(stats.events, "event")
            ),
        );
    }
    for (name, histogram) in [("syncs", &stats.syncs), ("waits", &stats.commit_waits)] {
        if histogram.count() > 0 {
            let (half, most) = (histogram.percentile(50), histogram.percentile(99));
            put(name, &format!("p50 {half}, p99 {most}"));
        }
    }
    let mut queue = match stats.queued {
        0 => "empty".to_owned(),
        some => format!(
            "{} of {}",
            counted(some, "write"),
            bytes(stats.queued_bytes)
        ),
    };
    if stats.writes_refused > 0 {
        queue.push_str(&format!(
            ", {} refused because it was full",
            grouped(stats.writes_refused)
        ));
    }
    put("queue", &queue);
    put(
        "index",
        &match stats.index_lag {
            0 => "up to date".to_owned(),
            some => format!("{} behind the log", counted(some, "event")),
        },
    );
    if stats.purged > 0 {
        let last = stats
            .last_purge_at
            .map(|ms| format!(", last {}", when::ago(ms, now_ms)));
        let last = last.unwrap_or_default();
        put("purged", &format!("{}{last}", output::jobs(stats.purged)));
    }
    if let Some(replica) = &stats.replica {
        put("replica", &harmless(&replica.place));
        put("", &format!("fencing token {}", grouped(replica.reign)));
        if let Some(us) = replica.waiting_us {
            let waiting = when::took(Duration::from_micros(us));
            put(
                "",
                &format!("a commit has been waiting for it for {waiting}"),
            );
        }
        if replica.retries > 0 {
            put(
                "",
                &format!("{} repeated", counted(replica.retries, "call")),
            );
        }
        let chunks = counted(replica.chunks_since_checkpoint, "chunk");
        let checkpoint = match replica.last_checkpoint_at {
            Some(ms) => format!("since the last checkpoint, {}", when::ago(ms, now_ms)),
            None => "since the last checkpoint, before this open".to_owned(),
        };
        put("", &format!("{chunks} {checkpoint}"));
    }
    if let Some(follower) = &stats.follower {
        put("follows", &harmless(&follower.place));
        let lag = when::took(Duration::from_micros(follower.lag_us));
        put("", &format!("at most {lag} behind"));
        if follower.restores > 0 {
            let restores = counted(follower.restores, "time");
            put("", &format!("restored from a checkpoint {restores}"));
        }
    }
    for graph in &stats.graphs {
        put(
            "graph",
            &harmless(&format!("{}/{}", graph.project_id, graph.name)),
        );
        put(
            "",
            &format!(
                "{} pending, {} running, {} complete",
                grouped(graph.pending),
                grouped(graph.running),
                grouped(graph.complete)
            ),
        );
        if graph.quarantined > 0 {
            put(
                "",
                &format!(
                    "{} quarantined by a repair",
                    output::jobs(graph.quarantined)
                ),
            );
        }
        if let Some(us) = graph.purge_lag_us {
            let lag = when::took(Duration::from_micros(us));
            put(
                "",
                &format!("some jobs have been overdue for purging for {lag}"),
            );
        }
        for (what, ms) in [
            ("oldest pending job was submitted", graph.oldest_pending_at),
            ("longest-running job was started", graph.longest_running_at),
        ] {
            if let Some(ms) = ms {
                put("", &format!("{what} {}", when::ago(ms, now_ms)));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_bound_that_so_many_keep() {
        let histogram = Histogram {
            counts: vec![98, 1, 0, 1],
            bounds_us: vec![10, 2_000, 1_000_000],
        };
        let of = |percent| histogram.percentile(percent);
        assert_eq!([of(50), of(99), of(100)], ["<= 10 us", "<= 2 ms", "> 1 s"]);
    }
}
