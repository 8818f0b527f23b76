//! Which store and which graph a command uses.
//!
//! Contains `--data` and `--graph`, and the notation for a graph. If the user does not name a
//! graph, the store must have exactly one.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use percent_encoding::utf8_percent_encode;

use crate::access::{Access, ESCAPED};
use crate::filters::some_text;
use crate::problem::Problem;

/// The environment variables for options. An empty variable is treated as unset. clap would refuse
/// it even if the option is given explicitly.
const DATA: &str = "JOBSTORE_DATA";
const SECRET_KEYS: &str = "JOBSTORE_SECRET_KEYS";
const REPLICA: &str = "JOBSTORE_REPLICA";

/// The store.
#[derive(Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// Directory of the store [env: JOBSTORE_DATA]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Comma-separated keys whose values are secret, instead of the keys recorded in the store
    /// [env: JOBSTORE_SECRET_KEYS]
    ///
    /// Commands that only read mask the values of these keys in the details of outcomes, and
    /// record nothing. Requests that were already submitted are masked as they were at submission,
    /// whatever these keys are. `serve` records the keys in the store, as does an `import` that
    /// creates the store. Other commands that write use the recorded keys: they reject the option
    /// and ignore the variable.
    #[arg(long, global = true, value_name = "KEYS", value_parser = some_text())]
    secret_keys: Option<String>,
    /// URL of the store's replica, for commands that change a store that has one [env:
    /// JOBSTORE_REPLICA]
    ///
    /// The URL is s3://BUCKET/PREFIX, or log=etcd://HOST:PORT/PREFIX,packs=s3://BUCKET/PREFIX; see
    /// `jobstore replica --help`. The command takes over the replica, so an engine that uses it
    /// elsewhere can no longer write.
    #[arg(long, global = true, value_name = "URL", value_parser = some_text())]
    replica: Option<String>,
}

impl StoreArgs {
    /// Returns the URL that was given as an option.
    pub(crate) fn replica_option(&self) -> Option<&str> {
        self.replica.as_deref()
    }

    /// Returns the URL of the store's replica.
    pub(crate) fn replica(&self) -> Result<Option<String>, Problem> {
        match &self.replica {
            Some(url) => Ok(Some(url.clone())),
            None => variable(REPLICA).map_or(Ok(None), |url| {
                let url = url.into_string().map_err(|_| {
                    let what = format!("{REPLICA} is not valid UTF-8");
                    Problem::usage(what, "correct it or unset it")
                })?;
                Ok(Some(url))
            }),
        }
    }

    /// Returns the store's directory.
    pub(crate) fn data(&self) -> Result<PathBuf, Problem> {
        let data = self
            .data
            .clone()
            .or_else(|| variable(DATA).map(PathBuf::from));
        data.ok_or_else(|| {
            Problem::usage(
                "no store was given",
                "use --data DIR, or set JOBSTORE_DATA to the store's directory",
            )
        })
    }

    /// Returns whether a store exists in the directory.
    pub(crate) fn has_store(&self) -> Result<bool, Problem> {
        Ok(self.data()?.join("STORE").exists())
    }

    /// Returns the keys whose values are secret, if they are set explicitly.
    pub(crate) fn secret_keys(&self) -> Result<Option<Vec<String>>, Problem> {
        let (named_by, keys) = match &self.secret_keys {
            Some(keys) => ("--secret-keys", keys.clone()),
            None => match variable(SECRET_KEYS) {
                None => return Ok(None),
                Some(keys) => (
                    SECRET_KEYS,
                    keys.into_string().map_err(|_| {
                        Problem::usage(
                            format!("{SECRET_KEYS} is not valid UTF-8"),
                            "correct it or unset it",
                        )
                    })?,
                ),
            },
        };
        let keys: Vec<String> = keys.split(',').map(|key| key.trim().to_owned()).collect();
        if keys.iter().any(String::is_empty) {
            return Err(Problem::usage(
                format!("{named_by} contains an empty key"),
                "separate the keys with single commas: password,token",
            ));
        }
        Ok(Some(keys))
    }

    /// Refuses the option on a command that would record the secret keys unintentionally. The
    /// environment variable is ignored, because it may be set for all commands.
    pub(crate) fn refuse_secret_keys(&self) -> Result<(), Problem> {
        match self.secret_keys {
            None => Ok(()),
            Some(_) => Err(Problem::usage(
                "--secret-keys would change which keys the store records as secret",
                "omit it; to record other keys, use `jobstore serve --secret-keys`",
            )),
        }
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The option for the graph, for commands that need one.
#[derive(Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct GraphChoice {
    /// Graph to use; optional if the store has only one
    #[arg(long, value_name = "PROJECT/NAME")]
    graph: Option<GraphName>,
}

impl GraphChoice {
    /// Returns the graph given on the command line, or the only one in the store. If there are
    /// several, returns `None`.
    pub(crate) fn choose_or_all(&self, access: &dyn Access) -> Result<Option<GraphName>, Problem> {
        match self.graph.is_none() && access.graphs()?.len() > 1 {
            true => Ok(None),
            false => self.choose(access).map(Some),
        }
    }

    /// Returns the graph given on the command line, or the only one in the store.
    pub(crate) fn choose(&self, access: &dyn Access) -> Result<GraphName, Problem> {
        let there = access.graphs()?;
        let listed = || match there.as_slice() {
            [] => "the store has no graphs; `jobstore import` creates one".to_owned(),
            some => {
                let names: Vec<String> = some.iter().take(20).map(ToString::to_string).collect();
                format!("use --graph with one of: {}", names.join(", "))
            }
        };
        match (&self.graph, there.as_slice()) {
            (Some(named), there) if there.contains(named) => Ok(named.clone()),
            (Some(named), _) => {
                let what = format!(
                    "graph {} does not exist in project {}",
                    named.name, named.project
                );
                Err(Problem::usage(what, listed()))
            }
            (None, [only]) => Ok(only.clone()),
            (None, []) => Err(Problem::usage("there is no graph", listed())),
            (None, _) => Err(Problem::usage("the store has several graphs", listed())),
        }
    }
}

/// A graph in the notation of the command line: `PROJECT/NAME`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct GraphName {
    pub(crate) project: String,
    pub(crate) name: String,
}

impl GraphName {
    /// Returns the graph as the path of a URL.
    pub(crate) fn escaped(&self) -> String {
        let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        format!("{}/{}", escaped(&self.project), escaped(&self.name))
    }
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
            _ => Err("use a project id, '/', and a graph name, such as 10001/movie".to_owned()),
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
