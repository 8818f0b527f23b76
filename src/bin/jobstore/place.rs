//! Which store and which graph a verb is about.
//!
//! Owns: `--data`, `--graph`, how a graph is written, how a short id is made whole. Must
//! not know: how a store is reached.
//! Promise: a graph that was not named is the only one there is, or none.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use jobstore::JobId;

use crate::access::Access;
use crate::problem::Problem;

/// The digits that ids of one graph begin with, where it made them.
const NUMBER_DIGITS: usize = 19;
/// The length of an id that a graph made: its digits and a UUID.
const MADE_ID_BYTES: usize = NUMBER_DIGITS + 36;

/// The store.
#[derive(Args)]
#[command(next_help_heading = "Which store")]
pub(crate) struct Place {
    /// The store's folder
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "JOBSTORE_DATA",
        hide_env_values = true
    )]
    data: Option<PathBuf>,
    /// The keys whose values are secret from now on, in place of those that the store has
    /// recorded; a command that only reads uses them for itself and records nothing
    #[arg(
        long,
        global = true,
        value_name = "KEYS",
        env = "JOBSTORE_SECRET_KEYS",
        hide_env_values = true,
        value_delimiter = ','
    )]
    secret_keys: Option<Vec<String>>,
}

impl Place {
    /// The store's folder.
    pub(crate) fn data(&self) -> Result<&Path, Problem> {
        self.data.as_deref().ok_or_else(|| {
            Problem::usage(
                "no store was named",
                "say --data DIR, or set JOBSTORE_DATA to its folder",
            )
        })
    }

    /// The keys whose values are secret, where others than the store's were named.
    pub(crate) fn secret_keys(&self) -> Option<Vec<String>> {
        // An environment variable that is set to nothing names none.
        let named = |keys: &Vec<String>| keys.iter().any(|key| !key.is_empty());
        self.secret_keys.clone().filter(named)
    }
}

/// The graph in it, for the verbs that are about one.
#[derive(Args)]
#[command(next_help_heading = "Which store")]
pub(crate) struct GraphChoice {
    /// The graph; may be left out where the store has only one
    #[arg(long, value_name = "PROJECT/NAME")]
    graph: Option<GraphName>,
}

impl GraphChoice {
    /// The graph that was named.
    pub(crate) fn named(&self) -> Result<&GraphName, Problem> {
        self.graph
            .as_ref()
            .ok_or_else(|| Problem::usage("no graph was named", "say --graph PROJECT/NAME"))
    }

    /// The graph that was named, or the only one.
    pub(crate) fn choose(&self, access: &dyn Access) -> Result<GraphName, Problem> {
        let there = access.graphs()?;
        let listed = || match there.as_slice() {
            [] => "the store has none; `jobstore import` makes one".to_owned(),
            some => {
                let names: Vec<String> = some.iter().take(20).map(ToString::to_string).collect();
                format!("say --graph with one of: {}", names.join(", "))
            }
        };
        match (&self.graph, there.as_slice()) {
            (Some(named), there) if there.contains(named) => Ok(named.clone()),
            (Some(named), _) => {
                let what = format!(
                    "graph : {} not exist in project {}",
                    named.name, named.project
                );
                Err(Problem::usage(what, listed()))
            }
            (None, [only]) => Ok(only.clone()),
            (None, []) => Err(Problem::usage("there is no graph to look into", listed())),
            (None, _) => Err(Problem::usage("the store has several graphs", listed())),
        }
    }
}

/// A graph, as it is written on a command line: `PROJECT/NAME`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct GraphName {
    pub(crate) project: String,
    pub(crate) name: String,
}

impl fmt::Display for GraphName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

impl FromStr for GraphName {
    type Err = String;

    fn from_str(text: &str) -> Result<GraphName, String> {
        match text.split_once('/') {
            Some((project, name)) if ![project, name].contains(&"") && !name.contains('/') => {
                Ok(GraphName {
                    project: project.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err("it takes a project id, '/', and a graph name: 10001/movie".to_owned()),
        }
    }
}

/// The part of an id that tells jobs of one graph apart, where the graph made it: a table
/// shows that behind an ellipsis.
pub(crate) fn short_id(id: &str) -> Option<&str> {
    let digits = id.bytes().take(NUMBER_DIGITS).all(|b| b.is_ascii_digit());
    let is_made = id.len() == MADE_ID_BYTES && digits;
    is_made.then(|| id.get(NUMBER_DIGITS..)).flatten()
}

/// A job by its id; or by the part of it that a table shows, with or without the
/// ellipsis: then another job of the graph says what its ids begin with.
pub(crate) fn job(
    access: &dyn Access,
    graph: &GraphName,
    given: &str,
) -> Result<(String, String), Problem> {
    let short = given.trim_start_matches(['.', '\u{2026}']);
    short.parse::<JobId>()?;
    let missing = match short == given {
        false => None,
        true => match access.job(graph, given) {
            Ok(line) => return Ok((given.to_owned(), line)),
            Err(missing) => Some(missing),
        },
    };
    if short.len() + NUMBER_DIGITS == MADE_ID_BYTES {
        if let Some(begin) = access.id_begin(graph)? {
            let id = format!("{begin}{short}");
            return access.job(graph, &id).map(|line| (id, line));
        }
    }
    match missing {
        Some(missing) => Err(missing),
        None => access
            .job(graph, short)
            .map(|line| (short.to_owned(), line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_a_project_and_a_name() {
        let graph: GraphName = "10001/movie".parse().unwrap();
        assert_eq!((&*graph.project, &*graph.name), ("10001", "movie"));
        for wrong in ["", "movie", "/movie", "10001/", "a/b/c"] {
            assert!(wrong.parse::<GraphName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_an_id_that_a_graph_made_is_shortened() {
        let made = "1234567890123456789018f2c1a-7b1e-7c3d-9a4f-0123456789ab";
        assert_eq!(short_id(made), Some("018f2c1a-7b1e-7c3d-9a4f-0123456789ab"));
        assert_eq!(short_id("import-1"), None);
        assert_eq!(short_id(&made[1..]), None);
    }
}
