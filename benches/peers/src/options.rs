//! The command-line options.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lexopt::prelude::*;

use crate::store::Kind;
use crate::stores::KINDS;

const USAGE: &str = "\
Compares jobstore with its peers on the same work.

  --jobs N      jobs in each store (1000000)
  --rounds N    rounds of each measurement; the median is reported (5)
  --seconds S   for each measurement of durable writes by many callers (1)
  --only A,B    only these peers: sqlite, redb, lmdb, fjall, sled, tasks
  --dir DIR     where the stores are created, in a new directory (the system's
                directory for temporary files); its disk is measured
  --keep        keeps the stores there
  --chart FILE  where the chart is written (chart.svg next to this package's manifest)
  --quick       a few seconds, to check that everything works: the figures are meaningless,
                and a chart is written only with --chart
";

pub struct Options {
    pub jobs: u64,
    pub rounds: usize,
    pub time: Duration,
    pub kinds: Vec<&'static Kind>,
    pub dir: PathBuf,
    pub keep: bool,
    /// Where to write the chart. If `None`, it is written to a temporary directory.
    pub chart: Option<PathBuf>,
}

impl Options {
    /// Parses the command line. `None` if help was requested, which has been printed.
    pub fn from_arguments() -> Result<Option<Options>> {
        let (mut jobs, mut rounds, mut seconds, mut chart) = (None, None, None, None);
        let mut kinds = KINDS.iter().collect();
        let (mut dir, mut keep, mut is_quick) = (std::env::temp_dir(), false, false);
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("jobs") => jobs = Some(arguments.value()?.parse()?),
                Long("rounds") => rounds = Some(arguments.value()?.parse()?),
                Long("seconds") => seconds = Some(arguments.value()?.parse()?),
                Long("only") => kinds = only(&arguments.value()?.string()?)?,
                Long("dir") => dir = arguments.value()?.into(),
                Long("keep") => keep = true,
                Long("chart") => chart = Some(PathBuf::from(arguments.value()?)),
                Long("quick") => is_quick = true,
                Long("help") | Short('h') => {
                    print!("{USAGE}");
                    return Ok(None);
                }
                _ => return Err(argument.unexpected().into()),
            }
        }
        let default_chart = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("chart.svg");
        let seconds = seconds.unwrap_or(if is_quick { 0.02 } else { 1.0 });
        let options = Options {
            jobs: jobs.unwrap_or(if is_quick { 4000 } else { 1_000_000 }),
            rounds: rounds.unwrap_or(if is_quick { 1 } else { 5 }),
            time: Duration::try_from_secs_f64(seconds)?,
            kinds,
            dir,
            keep,
            chart: chart.or_else(|| (!is_quick).then(default_chart)),
        };
        ensure!(options.jobs >= 1000, "--jobs: at least 1000");
        ensure!(options.rounds >= 1, "--rounds: at least 1");
        Ok(Some(options))
    }
}

/// Returns jobstore and the peers with these names.
fn only(names: &str) -> Result<Vec<&'static Kind>> {
    let names: Vec<_> = names.split(',').collect();
    for name in &names {
        let mut known = KINDS.iter().map(|kind| kind.key);
        let is_known = known.any(|key| key == *name);
        is_known
            .then_some(())
            .with_context(|| format!("--only: no store {name}"))?;
    }
    let (ours, peers) = KINDS.split_at(1);
    let chosen = peers.iter().filter(|kind| names.contains(&kind.key));
    Ok(ours.iter().chain(chosen).collect())
}
