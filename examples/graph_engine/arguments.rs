//! The command line: where the data is, and whether to crash on purpose. If an option is unknown,
//! the error names it.

use std::ffi::OsString;
use std::path::PathBuf;

pub const USAGE: &str = "\
A small graph engine that keeps its asynchronous requests in a job store.

usage: graph_engine [--data DIR] [--replica URL] [--die]

  --data DIR  directory that persists between runs (default: target/graph_engine)
  --replica URL
              keep a replica of the job store there: s3://BUCKET/PREFIX, or etcd (needs the feature
              replica-s3 or replica-etcd)
  --die       abort in the middle of the work; the next run shows what was recovered
  --help      print this help

The job list goes to standard output as JSON, a human-readable table to standard error.
";

#[derive(Debug, PartialEq, Eq)]
pub enum Arguments {
    Help,
    Run {
        data_directory: PathBuf,
        replica: Option<String>,
        die: bool,
    },
}

/// Parses the arguments after the program's name.
pub fn parse(given: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
    let mut given = given;
    let mut data_directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/graph_engine");
    let (mut replica, mut die) = (None, false);
    while let Some(argument) = given.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Arguments::Help),
            Some("--die") => die = true,
            Some("--data") => {
                data_directory = given.next().ok_or("--data needs a directory")?.into();
            }
            Some("--replica") => {
                let url = given.next().and_then(|url| url.into_string().ok());
                replica = Some(url.ok_or("--replica needs a URL")?);
            }
            _ => {
                return Err(format!(
                    "unknown argument {}; --help lists them",
                    argument.to_string_lossy()
                ));
            }
        }
    }
    Ok(Arguments::Run {
        data_directory,
        replica,
        die,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(given: &[&str]) -> Result<Arguments, String> {
        parse(given.iter().map(OsString::from))
    }

    #[test]
    fn the_data_directory_can_be_chosen() {
        let expected = Arguments::Run {
            data_directory: "elsewhere".into(),
            replica: Some("s3://bucket/demo".to_owned()),
            die: true,
        };
        let given = [
            "--die",
            "--data",
            "elsewhere",
            "--replica",
            "s3://bucket/demo",
        ];
        assert_eq!(parsed(&given), Ok(expected));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        assert!(parsed(&["--date", "x"]).unwrap_err().contains("--date"));
        assert!(parsed(&["--data"]).is_err());
        assert!(parsed(&["--replica"]).is_err());
    }
}
