//! Which store and which graph a verb is about.
//!
//! Owns: `--data`, `--graph`, how a graph is written. Must not know: how a store is reached.
//! Promise: a graph that was not named is the only one there is, or none.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use crate::access::Access;
use crate::problem::Problem;

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
}
