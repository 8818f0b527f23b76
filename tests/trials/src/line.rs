//! The output of a workload, line by line.
//!
//! Contains [`Line`] and its text. Every line round-trips. A line that a kill truncated is ignored.

use std::fmt::{self, Write};

use jobstore::State;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A call is about to be made.
    Tried { call: String, act: Act },
    /// The call succeeded.
    Done { call: String, answer: Answer },
    /// The call returned an error. Either nothing was recorded, or the outcome is unknown.
    Failed { call: String, nothing: bool },
    /// A list showed these jobs in these states.
    Seen {
        graph: String,
        jobs: Vec<(String, State)>,
    },
    /// An open reported that it found this job running.
    Found {
        boot: u64,
        graph: String,
        key: String,
        /// The first letter of the action: `I`nterrupted, `C`ancelled, `R`equeued, or `L`eft.
        action: char,
    },
}

/// A call. Jobs are identified by keys, which are the commands of their requests. Numbers are seeds
/// from which [`made`](crate::made) generates requests and outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Opens the store. `recovery` is the first letter of `I`nterrupt, `R`equeue, or `L`eave.
    Open {
        recovery: char,
    },
    Create {
        graph: String,
    },
    Drop {
        graph: String,
    },
    /// Submits one job, or several in one commit. With `own_id`, the key of a job is its id.
    Submit {
        graph: String,
        own_id: bool,
        jobs: Vec<(String, u64)>,
    },
    Start {
        graph: String,
        key: String,
    },
    /// Claims the oldest pending job.
    Claim {
        graph: String,
    },
    Complete {
        graph: String,
        key: String,
        outcome: u64,
    },
    /// Drops a run, so that the job is interrupted.
    Abandon {
        graph: String,
        key: String,
    },
    Cancel {
        graph: String,
        key: String,
    },
    /// Purges all complete jobs.
    Purge {
        graph: String,
    },
    Close,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call succeeded, and there is nothing else to report.
    Done,
    Opened {
        boot: u64,
    },
    /// The graph's 19 digits.
    Created {
        number: u64,
    },
    Submitted {
        ids: Vec<String>,
    },
    Claimed {
        key: Option<String>,
    },
    /// The job was already complete.
    Already,
    /// The cancellation of a running job was requested.
    Requested,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Tried { call, act } => write!(f, "T {call} {act}"),
            Line::Done { call, answer } => write!(f, "A {call} {answer}"),
            Line::Failed { call, nothing } => {
                write!(
                    f,
                    "E {call} {}",
                    if *nothing { "nothing" } else { "unknown" }
                )
            }
            Line::Seen { graph, jobs } => {
                write!(f, "S {graph}")?;
                jobs.iter()
                    .try_for_each(|(key, state)| write!(f, " {key} {state}"))
            }
            Line::Found {
                boot,
                graph,
                key,
                action,
            } => write!(f, "F {boot} {graph} {key} {action}"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Open { recovery } => write!(f, "open {recovery}"),
            Act::Create { graph } => write!(f, "create {graph}"),
            Act::Drop { graph } => write!(f, "drop {graph}"),
            Act::Submit {
                graph,
                own_id,
                jobs,
            } => {
                let how = if *own_id { "submit_as" } else { "submit" };
                write!(f, "{how} {graph}")?;
                jobs.iter()
                    .try_for_each(|(key, seed)| write!(f, " {key} {seed}"))
            }
            Act::Start { graph, key } => write!(f, "start {graph} {key}"),
            Act::Claim { graph } => write!(f, "claim {graph}"),
            Act::Complete {
                graph,
                key,
                outcome,
            } => write!(f, "complete {graph} {key} {outcome}"),
            Act::Abandon { graph, key } => write!(f, "abandon {graph} {key}"),
            Act::Cancel { graph, key } => write!(f, "cancel {graph} {key}"),
            Act::Purge { graph } => write!(f, "purge {graph}"),
            Act::Close => f.write_str("close"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done => f.write_str("done"),
            Answer::Opened { boot } => write!(f, "opened {boot}"),
            Answer::Created { number } => write!(f, "created {number}"),
            Answer::Submitted { ids } => {
                f.write_str("submitted")?;
                ids.iter()
                    .try_for_each(|id| f.write_char(' ').and_then(|()| f.write_str(id)))
            }
            Answer::Claimed { key } => write!(f, "claimed {}", key.as_deref().unwrap_or("-")),
            Answer::Already => f.write_str("already"),
            Answer::Requested => f.write_str("requested"),
        }
    }
}

impl Line {
    /// Parses a line without its line feed. `None` if the line is invalid.
    pub fn parse(text: &str) -> Option<Line> {
        let words: Vec<&str> = text.split(' ').collect();
        Some(match words[..] {
            ["T", call, ref act @ ..] => Line::Tried {
                call: call.to_owned(),
                act: Act::parse(act)?,
            },
            ["A", call, ref answer @ ..] => Line::Done {
                call: call.to_owned(),
                answer: Answer::parse(answer)?,
            },
            ["E", call, known] => Line::Failed {
                call: call.to_owned(),
                nothing: known == "nothing",
            },
            ["S", graph, ref jobs @ ..] => Line::Seen {
                graph: graph.to_owned(),
                jobs: pairs(jobs, state)?,
            },
            ["F", boot, graph, key, action] => Line::Found {
                boot: boot.parse().ok()?,
                graph: graph.to_owned(),
                key: key.to_owned(),
                action: action.chars().next()?,
            },
            _ => return None,
        })
    }
}

impl Act {
    fn parse(words: &[&str]) -> Option<Act> {
        let own = str::to_owned;
        Some(match *words {
            ["open", recovery] => Act::Open {
                recovery: recovery.chars().next()?,
            },
            ["create", graph] => Act::Create { graph: own(graph) },
            ["drop", graph] => Act::Drop { graph: own(graph) },
            [how @ ("submit" | "submit_as"), graph, ref jobs @ ..] => Act::Submit {
                graph: own(graph),
                own_id: how == "submit_as",
                jobs: pairs(jobs, |seed| seed.parse().ok())?,
            },
            ["start", graph, key] => Act::Start {
                graph: own(graph),
                key: own(key),
            },
            ["claim", graph] => Act::Claim { graph: own(graph) },
            ["complete", graph, key, outcome] => Act::Complete {
                graph: own(graph),
                key: own(key),
                outcome: outcome.parse().ok()?,
            },
            ["abandon", graph, key] => Act::Abandon {
                graph: own(graph),
                key: own(key),
            },
            ["cancel", graph, key] => Act::Cancel {
                graph: own(graph),
                key: own(key),
            },
            ["purge", graph] => Act::Purge { graph: own(graph) },
            ["close"] => Act::Close,
            _ => return None,
        })
    }
}

impl Answer {
    fn parse(words: &[&str]) -> Option<Answer> {
        Some(match *words {
            ["done"] => Answer::Done,
            ["opened", boot] => Answer::Opened {
                boot: boot.parse().ok()?,
            },
            ["created", number] => Answer::Created {
                number: number.parse().ok()?,
            },
            ["submitted", ref ids @ ..] => Answer::Submitted {
                ids: ids.iter().map(|&id| id.to_owned()).collect(),
            },
            ["claimed", key] => Answer::Claimed {
                key: (key != "-").then(|| key.to_owned()),
            },
            ["already"] => Answer::Already,
            ["requested"] => Answer::Requested,
            _ => return None,
        })
    }
}

fn pairs<T>(words: &[&str], parse: impl Fn(&str) -> Option<T>) -> Option<Vec<(String, T)>> {
    let read = |pair: &[&str]| match *pair {
        [key, word] => Some((key.to_owned(), parse(word)?)),
        _ => None,
    };
    words.chunks(2).map(read).collect()
}

fn state(word: &str) -> Option<State> {
    State::ALL.into_iter().find(|state| state.as_str() == word)
}
