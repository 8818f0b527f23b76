//! `jobstore stats`: what a store has done and is at.
//!
//! Owns: how the numbers are laid out for a person. Must not know: how they are counted.
//! Promise: `json` is all there is; a store that cannot do all it should is exit code 1.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use indicatif::BinaryBytes;
use serde::Deserialize;

use crate::access;
use crate::output::{self, grouped, harmless};
use crate::place::Place;
use crate::problem::{Problem, Verdict};
use crate::when;

const AFTER_HELP: &str = "\
Counters begin when the store is opened, so those of an engine at work tell
most. Exit code 1 means that the store cannot do all it should.

Examples:
  jobstore stats
  jobstore stats --format json | jq .graphs";

/// How the numbers are shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For eyes
    Table,
    /// All numbers, as one object
    Json,
}

/// Says what the store has done and is at
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// How the numbers are shown
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) fn run(place: &Place, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access = access::open(place)?;
    let json = access.stats()?;
    access.close()?;
    let stats: Stats = serde_json::from_str(&json).map_err(|e| {
        Problem::failed(
            format!("the numbers cannot be read, at column {}", e.column()),
            "the engine may be of another release than this program",
        )
    })?;
    output::coloured(&match arguments.format {
        Format::Json => json + "\n",
        Format::Table => text(&stats, when::now_ms()),
    })?;
    Ok(match &*stats.health.state {
        "ok" => Verdict::Fine,
        _ => Verdict::Wrong,
    })
}

/// The numbers that a person looks at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    boot: u64,
    health: Health,
    graphs: Vec<Graph>,
    segment_bytes: u64,
    pack_bytes: u64,
    index_bytes: u64,
    spare_bytes: u64,
    packs: u64,
    frames: u64,
    events: u64,
    syncs: Histogram,
    commit_waits: Histogram,
    queued: u64,
    queued_bytes: u64,
    busy: u64,
    segments_to_pack: u64,
    index_lag: u64,
    purged: u64,
    last_purge_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    state: String,
    why: Option<String>,
    since_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Graph {
    project_id: String,
    name: String,
    pending: u64,
    running: u64,
    complete: u64,
    set_aside: u64,
    oldest_pending_ms: Option<u64>,
    longest_running_ms: Option<u64>,
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

    /// The bound that so many in a hundred keep, in words.
    fn percentile(&self, percent: u64) -> String {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut seen = 0;
        for (n, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return match self.bounds_us.get(n) {
                    Some(us) if *us < 1000 => format!("{us} us"),
                    Some(us) if *us < 1_000_000 => format!("{} ms", us / 1000),
                    Some(us) => format!("{} s", us / 1_000_000),
                    None => "more than that".to_owned(),
                };
            }
        }
        String::new()
    }
}

/// The numbers, laid out.
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
        "readOnly" => "read only",
        other => other,
    };
    let mut health = format!("{colour}{}{colour:#}", harmless(state));
    if let Some(since) = stats.health.since_ms {
        health.push_str(&format!(", since {}", when::ago(since, now_ms)));
    }
    if let Some(why) = &stats.health.why {
        health.push_str(&format!(": {}", harmless(why)));
    }
    put("health", &health);
    put("boot", &grouped(stats.boot));
    let packs = BinaryBytes(stats.pack_bytes);
    let segments = BinaryBytes(stats.segment_bytes);
    put(
        "disk",
        &format!(
            "{packs} in {} packs, {segments} not packed ({} segments wait), {} the index, {} spare",
            grouped(stats.packs),
            grouped(stats.segments_to_pack),
            BinaryBytes(stats.index_bytes),
            BinaryBytes(stats.spare_bytes),
        ),
    );
    if stats.frames > 0 {
        put(
            "commits",
            &format!(
                "{} with {} events",
                grouped(stats.frames),
                grouped(stats.events)
            ),
        );
    }
    for (name, histogram) in [("syncs", &stats.syncs), ("waits", &stats.commit_waits)] {
        if histogram.count() > 0 {
            let (half, most) = (histogram.percentile(50), histogram.percentile(99));
            put(
                name,
                &format!("half took at most {half}, 99 in 100 at most {most}"),
            );
        }
    }
    put(
        "queue",
        &format!(
            "{} writes of {}, {} refused as busy; the index lags by {}",
            grouped(stats.queued),
            BinaryBytes(stats.queued_bytes),
            grouped(stats.busy),
            grouped(stats.index_lag)
        ),
    );
    if stats.purged > 0 {
        let last = stats
            .last_purge_ms
            .map(|ms| format!(", last {}", when::ago(ms, now_ms)));
        let last = last.unwrap_or_default();
        put("purged", &format!("{}{last}", output::jobs(stats.purged)));
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
        if graph.set_aside > 0 {
            put(
                "",
                &format!("{} set aside by a repair", output::jobs(graph.set_aside)),
            );
        }
        if let Some(us) = graph.purge_lag_us {
            let lag = when::took(Duration::from_micros(us));
            put("", &format!("jobs have been due to be purged for {lag}"));
        }
        for (what, ms) in [
            (
                "the oldest pending one was submitted",
                graph.oldest_pending_ms,
            ),
            (
                "the longest running one was started",
                graph.longest_running_ms,
            ),
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
        assert_eq!(
            [of(50), of(99), of(100)],
            ["10 us", "2 ms", "more than that"]
        );
    }
}
