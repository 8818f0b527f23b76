//! Runs one case after another in a child process.
//!
//! Contains the steps of a case, and the check of each result. Every case is announced before it
//! begins, so that a case that kills the process is known.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use jobstore::{Body, Error, Health, Request};

use crate::alter::{Altered, Excuses, Sources, alter};
use crate::base::{CASES_AT, DROPPED, LAST_FRAME_JOBS, options};
use crate::original::{Fact, Original, look};
use crate::random::Random;
use crate::tree::Tree;
use crate::watch;

/// The memory limit of a case, including the process itself and its stacks. It reveals whether a
/// length in a file determines an allocation.
const ADDRESS_SPACE_BYTES: u64 = 1 << 30;

pub struct Arguments {
    pub base: PathBuf,
    pub work: PathBuf,
    pub seed: u64,
    pub from: u64,
    pub end: u64,
    pub step: u64,
    /// Whether to continue with the store that a dead child left in `work`.
    pub again: bool,
}

struct Base {
    tree: Tree,
    earlier: Tree,
    original: Original,
}

/// How a case ended, if it succeeded.
enum Ended {
    Right,
    Rebuilt,
    Earlier,
    Error(&'static str),
}

pub fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    rustix::process::setrlimit(
        rustix::process::Resource::As,
        rustix::process::Rlimit {
            current: Some(ADDRESS_SPACE_BYTES),
            maximum: Some(ADDRESS_SPACE_BYTES),
        },
    )?;
    watch::begin();
    let aside = arguments.work.with_extension("original");
    let mut bases = Vec::new();
    for name in ["small", "large"] {
        let tree = Tree::read(&arguments.base.join(name))?;
        tree.write(&aside)?;
        let store = options(CASES_AT).open(&aside)?;
        let original = Original::read(&store)?;
        store.close()?;
        bases.push(Base {
            tree,
            earlier: Tree::read(&arguments.base.join(format!("{name}-earlier")))?,
            original,
        });
    }
    crate::tree::clear(&aside)?;
    let other = Tree::read(&arguments.base.join("other"))?;
    let mut out = std::io::stdout().lock();
    let mut case = arguments.from;
    while case < arguments.end {
        let mut random = Random::of_case(arguments.seed, case);
        let base = &bases[usize::from(random.one_in(10))];
        let sources = Sources {
            base: &base.tree,
            earlier: &base.earlier,
            other: &other,
        };
        let altered = alter(&sources, &mut random);
        let create = !random.one_in(4);
        writeln!(
            out,
            "case {case} {}\t{}",
            altered.kind,
            altered.what.join("; ")
        )?;
        out.flush()?;
        if !arguments.again {
            altered.tree.write(&arguments.work)?;
        }
        let begun = Instant::now();
        watch::take();
        let tried = catch_unwind(AssertUnwindSafe(|| {
            Case {
                dir: &arguments.work,
                altered: &altered,
                create,
            }
            .try_out(&base.original, &mut out)
        }));
        let seen = watch::take();
        let ms = begun.elapsed().as_millis();
        let ours = seen.panics.iter().find(|panic| !panic.in_sled);
        let word = match tried {
            Err(_) => Err("a panic reached the caller".to_owned()),
            Ok(Err(wrong)) => Err(wrong),
            Ok(Ok(_)) if ours.is_some() => Err(format!("a panic: {ours:?}")),
            Ok(Ok(_)) if seen.ended > 0 => Err("a thread of the store panicked".to_owned()),
            Ok(Ok(Ended::Right)) if seen.rebuilds > 0 => Ok(Ended::Rebuilt),
            Ok(Ok(ended)) => Ok(ended),
        };
        let sound = seen.panics.is_empty() && word.is_ok();
        match word {
            Ok(Ended::Right) => writeln!(out, "end {case} {ms} right data")?,
            Ok(Ended::Rebuilt) => writeln!(out, "end {case} {ms} right data, index rebuilt")?,
            Ok(Ended::Earlier) => writeln!(out, "end {case} {ms} an earlier moment")?,
            Ok(Ended::Error(kind)) => writeln!(out, "end {case} {ms} {kind}")?,
            Err(wrong) => writeln!(out, "wrong {case} {ms} {}", wrong.replace('\n', " "))?,
        }
        out.flush()?;
        case += arguments.step;
        if !sound {
            // A panic may leave sled's own threads in any state.
            break;
        }
    }
    writeln!(out, "next {case}")?;
    crate::tree::clear(&arguments.work)?;
    Ok(())
}

struct Case<'c> {
    dir: &'c Path,
    altered: &'c Altered,
    create: bool,
}

impl Case<'_> {
    fn try_out(&self, original: &Original, out: &mut impl Write) -> Result<Ended, String> {
        writeln!(out, "opening").map_err(|e| e.to_string())?;
        out.flush().map_err(|e| e.to_string())?;
        let opened = options(CASES_AT).create(self.create).open(self.dir);
        writeln!(out, "opened").map_err(|e| e.to_string())?;
        out.flush().map_err(|e| e.to_string())?;
        let store = match opened {
            Ok(store) => store,
            Err(error) => {
                let ended = self.judge(&error).map_err(|e| format!("open: {e}"))?;
                if let Error::Damaged { .. } = error {
                    self.check_untouched()?;
                }
                return Ok(ended);
            }
        };
        let mut rolled_back = false;
        let mut original = original.clone();
        if self.altered.excuses.rolled_back {
            match Original::read(&store) {
                Err(error) => return self.judge(&error),
                Ok(earlier) if earlier.graphs != original.graphs => {
                    earlier.may_become(&original)?;
                    if self.altered.excuses.one_frame {
                        let left = original.without_last(LAST_FRAME_JOBS);
                        if earlier.graphs != left.graphs {
                            let lost = original.jobs() - earlier.jobs();
                            return Err(format!(
                                "not the last frame's {LAST_FRAME_JOBS} jobs are lost, but {lost} \
                                 jobs or some of their states"
                            ));
                        }
                    }
                    rolled_back = true;
                    original = earlier;
                }
                Ok(earlier) => original.boot = earlier.boot,
            }
        }
        let mut ended = self.all(look(&store, &original, &[DROPPED]))?;
        // The store remains usable.
        let graph = match store.graphs().map(|graphs| graphs.into_iter().next()) {
            Ok(Some(graph)) => graph,
            Ok(None) if rolled_back => return Ok(Ended::Earlier),
            other => return Err(format!("no graph: {other:?}")),
        };
        let request = Request::new("later", "/ges", Body::empty()).map_err(|e| e.to_string())?;
        match graph.submit(request) {
            Ok(id) => match graph.job(&id) {
                Ok(Some(job)) => original.graphs[0].push(Fact::of(&job)),
                other => return Err(format!("a new job is {other:?}")),
            },
            Err(error) => ended = worse(ended, self.judge(&error)?),
        }
        if let Health::ReadOnly { why, .. } = store.health() {
            return Err(format!("read only: {why}"));
        }
        if let Err(error) = store.close() {
            ended = worse(
                ended,
                self.judge(&error).map_err(|e| format!("close: {e}"))?,
            );
        }
        drop((graph, store));
        original.boot += 1;
        original.recovered.clear();
        let again = match options(CASES_AT).create(false).open(self.dir) {
            Ok(store) => store,
            Err(error) => {
                let judged = self
                    .judge(&error)
                    .map_err(|e| format!("second open: {e}"))?;
                return Ok(worse(ended, judged));
            }
        };
        let second = self.all(look(&again, &original, &[DROPPED]));
        ended = worse(ended, second.map_err(|e| format!("second open: {e}"))?);
        if let Err(error) = again.close() {
            ended = worse(
                ended,
                self.judge(&error).map_err(|e| format!("close: {e}"))?,
            );
        }
        Ok(match (rolled_back, ended) {
            (true, Ended::Right) => Ended::Earlier,
            (_, ended) => ended,
        })
    }

    fn all(&self, looked: Result<Vec<Error>, String>) -> Result<Ended, String> {
        let mut ended = Ended::Right;
        for error in looked? {
            ended = worse(ended, self.judge(&error)?);
        }
        Ok(ended)
    }

    /// Checks that an error is acceptable: it names a file of the store and a position.
    fn judge(&self, error: &Error) -> Result<Ended, String> {
        let Excuses {
            original,
            directories,
            nameless,
            ..
        } = self.altered.excuses;
        let inside = |path: &Path| path.starts_with(self.dir) && path != self.dir;
        let kind = match error {
            Error::Damaged { file, what, .. } if inside(file) && !what.is_empty() => "Damaged",
            Error::StoreMissing { path } if path == self.dir && nameless && !self.create => {
                "StoreMissing"
            }
            Error::NotAStore { path, .. } if path == self.dir && nameless => "NotAStore",
            // The path is not a regular file, so the system reports its own error.
            Error::Io { path, .. } if directories && inside(path) => "Io: is a directory",
            _ => return Err(format!("the error {error:?}")),
        };
        match original {
            true => Ok(Ended::Error(kind)),
            false => Err(format!("only the index was altered: {error}")),
        }
    }

    /// Checks that a refused open has left the log files unchanged, so that they can be restored.
    fn check_untouched(&self) -> Result<(), String> {
        let now = Tree::read(self.dir).map_err(|e| e.to_string())?.original();
        let before = self.altered.tree.original();
        let names = before.0.keys().chain(now.0.keys());
        let mut changed = names.filter(|name| now.0.get(*name) != before.0.get(*name));
        match changed.next() {
            None => Ok(()),
            Some(name) => Err(format!("a failed open changed {name}")),
        }
    }
}

fn worse(a: Ended, b: Ended) -> Ended {
    match (a, b) {
        (a @ Ended::Error(_), _) => a,
        (_, b) => b,
    }
}
