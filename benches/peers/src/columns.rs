//! The open stores of a run, and the comparison of their results.
//!
//! Contains [`Columns`]. Stores that return different results are not measured.

use anyhow::{Context as _, Result, bail, ensure};
use jobstore::State;

use crate::fill::Filled;
use crate::store::{Kind, List, Store};

pub struct Column {
    pub kind: &'static Kind,
    pub store: Box<dyn Store>,
    /// The number of jobs that the store acknowledged.
    pub jobs: u64,
}

/// The open stores. jobstore comes first.
pub struct Columns {
    pub all: Vec<Column>,
    /// Some of the ids, from all over the list.
    pub ids: Vec<String>,
}

impl Columns {
    /// Opens the stores as a service would open them.
    pub fn open(filled: &Filled) -> Result<Columns> {
        let open = |kind: &&'static Kind| {
            let store = (kind.open)(&filled.dir.join(kind.key)).context(kind.name)?;
            Ok(Column {
                kind,
                store,
                jobs: filled.jobs,
            })
        };
        let all = filled.kinds.iter().map(open);
        Ok(Columns {
            all: all.collect::<Result<_>>()?,
            ids: filled.ids.clone(),
        })
    }

    /// Checks that every store returns the same as jobstore, byte for byte, and that jobstore's
    /// result is plausible. Returns the size of the longest page.
    pub fn compare(&self, page_jobs: u64) -> Result<usize> {
        let jobs = self.all[0].jobs;
        let last = jobs - page_jobs;
        let mut lists = Vec::new();
        for (offset, limit) in [
            (0, page_jobs),
            (last / 2, page_jobs),
            (last, page_jobs),
            (jobs.saturating_sub(7), 100),
            (jobs / 3, 1),
            (jobs, 10),
        ] {
            lists.push((offset, limit, None));
        }
        for state in State::ALL {
            lists.push((0, page_jobs, Some(state)));
            lists.push((jobs / 1000, 100, Some(state)));
        }
        let (mut expected, mut given) = (Vec::new(), Vec::new());
        let mut page_bytes = 0;
        for (offset, limit, state) in lists {
            let list = List {
                offset,
                limit,
                state,
            };
            self.all[0].store.page(&list, &mut expected)?;
            let listed = state.map_or(Ok(jobs), |state| self.all[0].store.count(state))?;
            page_bytes = page_bytes.max(expected.len());
            check_document(&expected, listed.saturating_sub(offset).min(limit))?;
            for column in &self.all[1..] {
                let name = column.kind.name;
                column.store.page(&list, &mut given).context(name)?;
                same(name, &format!("{list:?}"), &expected, &given)?;
            }
        }
        for id in self.ids.iter().step_by(self.ids.len().div_ceil(1000)) {
            self.all[0].store.job(id, &mut expected)?;
            for column in self.whole() {
                let name = column.kind.name;
                column.store.job(id, &mut given).context(name)?;
                same(name, id, &expected, &given)?;
            }
        }
        self.check_counts()?;
        let counts = State::ALL.map(|state| self.all[0].store.count(state));
        for (state, expected) in State::ALL.into_iter().zip(counts) {
            let expected = expected?;
            for column in self.whole() {
                let (name, given) = (column.kind.name, column.store.count(state)?);
                ensure!(
                    given == expected,
                    "{name} has {given} {state}, not {expected}"
                );
            }
        }
        Ok(page_bytes)
    }

    /// Checks that every acknowledged job is counted.
    pub fn check_counts(&self) -> Result<()> {
        for column in self.whole() {
            let counts = State::ALL.map(|state| column.store.count(state));
            let counted = counts.into_iter().sum::<Result<u64>>()?;
            let (name, jobs) = (column.kind.name, column.jobs);
            ensure!(counted == jobs, "{name} counts {counted} jobs of {jobs}");
        }
        Ok(())
    }

    fn whole(&self) -> impl Iterator<Item = &Column> {
        self.all.iter().filter(|column| !column.kind.only_pages)
    }

    pub fn close(self) -> Result<()> {
        for column in self.all {
            column.store.close().context(column.kind.name)?;
        }
        Ok(())
    }
}

/// Checks that a JSON parser can read all of a document of the GES API, and that it contains this
/// many jobs.
fn check_document(text: &[u8], jobs: u64) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Page {
        jobs: Vec<serde::de::IgnoredAny>,
        result: String,
    }
    let page: Page = serde_json::from_slice(text)?;
    let shown = page.jobs.len() as u64;
    ensure!(
        page.result == "success" && shown == jobs,
        "{shown} jobs of {jobs} listed"
    );
    Ok(())
}

fn same(name: &str, what: &str, expected: &[u8], given: &[u8]) -> Result<()> {
    if expected == given {
        return Ok(());
    }
    let mut pairs = expected.iter().zip(given);
    let at = pairs.position(|(a, b)| a != b);
    let at = at.unwrap_or(expected.len().min(given.len()));
    let near = |text: &[u8]| {
        let (from, to) = (at.saturating_sub(60), (at + 60).min(text.len()));
        String::from_utf8_lossy(&text[from..to]).into_owned()
    };
    bail!(
        "{name} answers {what} differently at byte {at}:\n{}\nis not jobstore's\n{}",
        near(given),
        near(expected)
    )
}
