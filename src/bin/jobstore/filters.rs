//! Which jobs a command applies to.
//!
//! Contains the choice of a graph and the filters that several commands share. The filters become a
//! [`JobQuery`] or query parameters; both forms select the same jobs.

use std::time::SystemTime;

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use jobstore::{JobQuery, OutcomeKind, State};

use crate::problem::Problem;
use crate::store_args::GraphChoice;
use crate::when;

/// The jobs of a graph that match filters.
#[derive(Args)]
pub(crate) struct Selection {
    #[command(flatten)]
    pub(crate) graph: GraphChoice,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

/// The filters. A job is selected if it matches all of them.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filters {
    /// Jobs in this state; repeat or separate with commas to match any
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = states())]
    pub(crate) states: Vec<State>,
    /// Jobs with this outcome; repeat or separate with commas to match any
    #[arg(long = "outcome", value_name = "OUTCOME", value_delimiter = ',', value_parser = outcomes())]
    pub(crate) outcomes: Vec<OutcomeKind>,
    /// Jobs with this command; if repeated, any may match
    #[arg(long = "command", value_name = "COMMAND", value_parser = some_text())]
    pub(crate) commands: Vec<String>,
    /// Jobs with this origin, such as a user or a trace id; if repeated, any may match
    #[arg(long = "origin", value_name = "ORIGIN", value_parser = some_text())]
    pub(crate) origins: Vec<String>,
    /// Jobs whose URL starts with this text
    #[arg(long, value_name = "TEXT", value_parser = some_text())]
    pub(crate) url_prefix: Option<String>,
    /// Jobs whose URL contains this text; if repeated, all must match
    #[arg(long, value_name = "TEXT", value_parser = some_text())]
    pub(crate) url_contains: Vec<String>,
    /// Jobs whose body, as it is listed, contains this text; if repeated, all must match
    #[arg(long, value_name = "TEXT", value_parser = some_text())]
    pub(crate) body_contains: Vec<String>,
    /// JSON pointer into the body, such as /list/0/name; use with --body-value
    #[arg(long, value_name = "POINTER", requires = "body_value")]
    pub(crate) body_pointer: Option<String>,
    /// JSON value that the body must have at --body-pointer
    #[arg(long, value_name = "JSON", requires = "body_pointer", value_parser = some_text())]
    pub(crate) body_value: Option<String>,
    /// Jobs submitted at or after this time: 2h (ago), 22:00, 2026-11-24T22:00 (local), or
    /// 2026-11-24T22:00+01:00
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) submitted_from: Option<SystemTime>,
    /// Jobs submitted before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) submitted_before: Option<SystemTime>,
    /// Jobs started at or after this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) started_from: Option<SystemTime>,
    /// Jobs started before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) started_before: Option<SystemTime>,
    /// Jobs completed at or after this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) completed_from: Option<SystemTime>,
    /// Jobs completed before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) completed_before: Option<SystemTime>,
}

/// Returns a parser that refuses an empty string, which may come from an unset shell variable.
pub(crate) fn some_text() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

/// Returns a parser that refuses an empty string and any string that the store would truncate.
pub(crate) fn text_up_to(
    max_bytes: usize,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| match text.len() {
        0 => Err("the text is empty".to_owned()),
        bytes if bytes > max_bytes => Err(format!(
            "the text has {bytes} bytes; at most {max_bytes} bytes are allowed"
        )),
        _ => Ok(text.to_owned()),
    }
}

fn states() -> impl TypedValueParser<Value = State> {
    let words = PossibleValuesParser::new(State::ALL.map(State::as_str));
    // The parser accepts no other word.
    words.map(|word| {
        let found = State::ALL.into_iter().find(|state| state.as_str() == word);
        found.unwrap_or(State::Pending)
    })
}

fn outcomes() -> impl TypedValueParser<Value = OutcomeKind> {
    let words = PossibleValuesParser::new(OutcomeKind::ALL.iter().map(|kind| kind.as_str()));
    words.map(|word| {
        let mut kinds = OutcomeKind::ALL.iter().copied();
        let found = kinds.find(|kind| kind.as_str() == word);
        found.unwrap_or(OutcomeKind::Succeeded)
    })
}

impl Filters {
    /// Returns whether all jobs are selected.
    pub(crate) fn is_empty(&self) -> bool {
        self.query().is_empty()
    }

    /// Returns the filters as a query of the library.
    pub(crate) fn list(&self) -> Result<JobQuery, Problem> {
        let mut list = JobQuery::new();
        for &state in &self.states {
            list = list.state(state);
        }
        for &kind in &self.outcomes {
            list = list.outcome(kind);
        }
        for command in &self.commands {
            list = list.command(command);
        }
        for origin in &self.origins {
            list = list.origin(origin);
        }
        if let Some(text) = &self.url_prefix {
            list = list.url_prefix(text);
        }
        for text in &self.url_contains {
            list = list.url_contains(text);
        }
        for text in &self.body_contains {
            list = list.body_contains(text);
        }
        if let (Some(pointer), Some(value)) = (&self.body_pointer, &self.body_value) {
            list = list.body_value(pointer, value);
        }
        type By = fn(JobQuery, SystemTime) -> JobQuery;
        for (time, by) in [
            (self.submitted_from, JobQuery::submitted_from as By),
            (self.submitted_before, JobQuery::submitted_before),
            (self.started_from, JobQuery::started_from),
            (self.started_before, JobQuery::started_before),
            (self.completed_from, JobQuery::completed_from),
            (self.completed_before, JobQuery::completed_before),
        ] {
            if let Some(time) = time {
                list = by(list, time);
            }
        }
        if let Some(name) = list.reversed_range() {
            let what = format!("--{name}-from is later than --{name}-before");
            return Err(Problem::usage(what, "swap them"));
        }
        Ok(list)
    }

    /// Returns the filters as query parameters.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        for state in &self.states {
            pairs.push(("state", state.as_str().to_owned()));
        }
        for kind in &self.outcomes {
            pairs.push(("outcome", kind.as_str().to_owned()));
        }
        for command in &self.commands {
            pairs.push(("command", command.clone()));
        }
        let texts = [
            ("origin", &self.origins[..]),
            ("url_prefix", self.url_prefix.as_slice()),
            ("url_contains", &self.url_contains),
            ("body_contains", &self.body_contains),
            ("body_pointer", self.body_pointer.as_slice()),
            ("body_value", self.body_value.as_slice()),
        ];
        for (key, texts) in texts {
            pairs.extend(texts.iter().map(|text| (key, text.clone())));
        }
        for (key, time) in [
            ("submitted_from", self.submitted_from),
            ("submitted_before", self.submitted_before),
            ("started_from", self.started_from),
            ("started_before", self.started_before),
            ("completed_from", self.completed_from),
            ("completed_before", self.completed_before),
        ] {
            if let Some(time) = time {
                pairs.push((key, when::to_ms(time).to_string()));
            }
        }
        pairs
    }
}
