// An outcome as JSON:
// `{"kind":"failed","code":"..","message":"..","resultRef":"..","detail":..,"recoveredAtOpen":2}`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::codec::NUMBER_MAX;
use crate::model::error::{Error, Result};
use crate::model::json;
use crate::model::outcome::{Outcome, OutcomeKind};
use crate::model::request::present;
use crate::model::secrets::SecretKeys;

/// The members of an outcome.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WireOutcome<'a> {
    kind: String,
    code: Option<String>,
    message: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    detail: Option<&'a RawValue>,
    result_ref: Option<String>,
    recovered_at_open: Option<u64>,
}

impl WireOutcome<'_> {
    pub(crate) fn outcome(self) -> Result<Outcome> {
        let invalid = |problem: String| Err(Error::InvalidParameter { problem });
        let Some(kind) = OutcomeKind::from_word(&self.kind) else {
            let problem = "invalid kind of outcome; use succeeded, partially_failed, failed, \
                 cancelled, or interrupted";
            return invalid(problem.to_owned());
        };
        let mut outcome = Outcome::new(kind, self.code, self.message)?;
        if let Some(detail) = self.detail {
            outcome = outcome.with_detail_json(detail.get())?;
        }
        if let Some(text) = self.result_ref {
            outcome = outcome.with_result_ref(text)?;
        }
        if let Some(open) = self.recovered_at_open {
            if !(1..NUMBER_MAX).contains(&open) {
                let max = NUMBER_MAX - 1;
                return invalid(format!(
                    "invalid recoveredAtOpen of the outcome: {open}; use 1 to {max}"
                ));
            }
            // An outcome recorded by a recovery has no further members, and the file format has no
            // space for any.
            let is_cut_short = matches!(kind, OutcomeKind::Interrupted | OutcomeKind::Cancelled);
            if !is_cut_short || outcome.extra.is_some() {
                let problem = "only an interrupted or cancelled outcome without other details can \
                     have recoveredAtOpen";
                return invalid(problem.to_owned());
            }
            outcome.recovered_at_open = Some(open);
        }
        Ok(outcome)
    }
}

/// Appends an outcome, with the values under secret keys in its detail masked.
pub(crate) fn put_outcome(outcome: &Outcome, keys: Option<&SecretKeys>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"kind":""#);
    out.extend_from_slice(outcome.kind().as_str().as_bytes());
    out.push(b'"');
    let texts = [
        ("code", outcome.code()),
        ("message", outcome.message()),
        ("resultRef", outcome.result_ref()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            out.extend_from_slice(format!(r#","{name}":{}"#, json::quote(text)).as_bytes());
        }
    }
    if let Some(detail) = outcome.detail() {
        let detail = keys.map_or(Cow::Borrowed(detail), |keys| keys.masked_json(detail));
        out.extend_from_slice(format!(r#","detail":{detail}"#).as_bytes());
    }
    if let Some(open_number) = outcome.recovered_at_open() {
        out.extend_from_slice(format!(r#","recoveredAtOpen":{open_number}"#).as_bytes());
    }
    out.push(b'}');
}

impl Outcome {
    /// Parses an outcome from JSON: `{"kind":"failed","code":"..","message":"..","resultRef":"..",
    /// "detail":..}`. Only `kind` is required. It is one of the words of
    /// [`OutcomeKind::as_str`](crate::OutcomeKind::as_str).
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidParameter`], [`Error::OutcomeTooLarge`],
    /// [`Error::TooDeep`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Outcome, OutcomeKind};
    /// let outcome = Outcome::from_json(r#"{"kind": "failed", "message": "no such file"}"#)?;
    /// assert_eq!(outcome.kind(), OutcomeKind::Failed);
    /// assert_eq!(outcome.message(), Some("no such file"));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Outcome> {
        json::parse::<WireOutcome<'_>>("outcome", text)?.outcome()
    }

    /// Returns the outcome as JSON that [`Outcome::from_json`] parses. Values under secret keys are
    /// not masked; [`Job::to_json`](crate::Job::to_json) masks them.
    ///
    /// # Examples
    /// ```
    /// use jobstore::Outcome;
    /// let outcome = Outcome::succeeded().with_result_ref("results/42.csv")?;
    /// assert_eq!(outcome.to_json(), r#"{"kind":"succeeded","resultRef":"results/42.csv"}"#);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        put_outcome(self, None, &mut out);
        // All parts are valid UTF-8.
        String::from_utf8_lossy(&out).into_owned()
    }
}
