// Outcomes of jobs, with their kinds and limits. They distinguish what the GES job-list API shows
// as `complete`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::codec;
use crate::model::error::{Error, Result};
use crate::model::request::value_to_json;
use crate::model::secrets::{SecretKeys, Secrets};

/// The maximum size of an outcome's detail, in bytes.
pub(crate) const DETAIL_BYTES_MAX: usize = 64 * 1024;
/// The maximum length of a reference to the result, in bytes.
pub(crate) const RESULT_REF_BYTES_MAX: usize = 1024;
/// The maximum length of a failure's code, in bytes.
pub(crate) const CODE_BYTES_MAX: usize = 256;
/// The maximum length of a failure's message, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// The kinds of outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OutcomeKind {
    /// The job did what was requested.
    Succeeded,
    /// The job did part of what was requested.
    PartiallyFailed,
    /// The job failed.
    Failed,
    /// The job was canceled.
    Cancelled,
    /// The job was cut short, for example by a crash.
    Interrupted,
}

impl OutcomeKind {
    /// All kinds.
    pub const ALL: &'static [OutcomeKind] = &[
        OutcomeKind::Succeeded,
        OutcomeKind::PartiallyFailed,
        OutcomeKind::Failed,
        OutcomeKind::Cancelled,
        OutcomeKind::Interrupted,
    ];

    /// An exclusive upper bound for the stored numbers of kinds (and for 0, which means "not
    /// complete").
    pub(crate) const STORED_END: usize = OutcomeKind::ALL.len() + 1;

    /// Returns whether a job with this outcome counts as failed: it failed, failed partially, or
    /// was interrupted.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self {
            OutcomeKind::Failed | OutcomeKind::PartiallyFailed | OutcomeKind::Interrupted => true,
            OutcomeKind::Succeeded | OutcomeKind::Cancelled => false,
        }
    }

    /// Returns the kind as a word in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OutcomeKind::Succeeded => "succeeded",
            OutcomeKind::PartiallyFailed => "partially_failed",
            OutcomeKind::Failed => "failed",
            OutcomeKind::Cancelled => "cancelled",
            OutcomeKind::Interrupted => "interrupted",
        }
    }

    /// The kind with this name.
    pub(crate) fn from_word(word: &str) -> Option<OutcomeKind> {
        let mut kinds = OutcomeKind::ALL.iter().copied();
        kinds.find(|kind| kind.as_str() == word)
    }

    /// The stored number of the kind; 0 means "not complete".
    pub(crate) fn to_stored(self) -> u8 {
        match self {
            OutcomeKind::Succeeded => 1,
            OutcomeKind::PartiallyFailed => 2,
            OutcomeKind::Failed => 3,
            OutcomeKind::Cancelled => 4,
            OutcomeKind::Interrupted => 5,
        }
    }

    pub(crate) fn from_stored(stored: u8) -> Option<OutcomeKind> {
        let mut kinds = OutcomeKind::ALL.iter().copied();
        kinds.find(|kind| kind.to_stored() == stored)
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The parts of an outcome that are absent from most outcomes.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extra {
    #[serde(deserialize_with = "codec::text_if_any")]
    pub(crate) code: Option<String>,
    #[serde(deserialize_with = "codec::text_if_any")]
    pub(crate) message: Option<String>,
    #[serde(deserialize_with = "codec::text_if_any")]
    pub(crate) detail: Option<String>,
    #[serde(deserialize_with = "codec::text_if_any")]
    pub(crate) result_ref: Option<String>,
}

impl std::fmt::Debug for Extra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The fields are not shown, because they may contain text from a client.
        f.write_str("Extra")
    }
}

/// How a job ended, with details from the engine.
///
/// `Debug` shows the kind, the code, and sizes. The message, the detail, and the reference are
/// hidden, because they may contain text from a client.
///
/// # Examples
/// ```
/// use jobstore::{Outcome, OutcomeKind};
/// let outcome = Outcome::failed("GES.8012", "no such vertex").with_detail_json(r#"{"vertex": 7}"#)?;
/// assert_eq!(outcome.kind(), OutcomeKind::Failed);
/// assert_eq!(outcome.message(), Some("no such vertex"));
/// assert_eq!(outcome.detail(), Some(r#"{"vertex":7}"#));
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    pub(crate) kind: OutcomeKind,
    pub(crate) recovered_at_open: Option<u64>,
    pub(crate) extra: Option<Box<Extra>>,
}

impl Outcome {
    fn of(kind: OutcomeKind) -> Outcome {
        Outcome {
            kind,
            recovered_at_open: None,
            extra: None,
        }
    }

    /// Creates an outcome from external input. Parts that are too long are rejected.
    pub(crate) fn new(
        kind: OutcomeKind,
        code: Option<String>,
        message: Option<String>,
    ) -> Result<Outcome> {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        bound("code", len(&code), CODE_BYTES_MAX)?;
        bound("message", len(&message), MESSAGE_BYTES_MAX)?;
        let mut outcome = Outcome::of(kind);
        if code.is_some() || message.is_some() {
            let extra = outcome.extra_mut();
            (extra.code, extra.message) = (code, message);
        }
        Ok(outcome)
    }

    fn with_failure(kind: OutcomeKind, code: String, message: String) -> Outcome {
        let mut outcome = Outcome::of(kind);
        let extra = outcome.extra_mut();
        extra.code = Some(cut(code, CODE_BYTES_MAX));
        extra.message = Some(cut(message, MESSAGE_BYTES_MAX));
        outcome
    }

    /// The job did what was requested.
    #[must_use]
    pub fn succeeded() -> Outcome {
        Outcome::of(OutcomeKind::Succeeded)
    }

    /// The job did part of what was requested. Code (at most 256 bytes) and message (at most 8 KiB)
    /// are truncated as in [`Outcome::failed`].
    #[must_use]
    pub fn partially_failed(code: impl Into<String>, message: impl Into<String>) -> Outcome {
        Outcome::with_failure(OutcomeKind::PartiallyFailed, code.into(), message.into())
    }

    /// The job failed. The engine chooses the code (at most 256 bytes) and the message (at most 8
    /// KiB).
    ///
    /// A longer code or message is truncated at a character boundary and ends with `... [truncated,
    /// N bytes in total]`, where N is its original length. A long stack trace therefore never
    /// prevents a failure from being recorded. [`Outcome::with_detail`] accepts up to 64 KiB.
    ///
    /// # Examples
    /// ```
    /// use jobstore::Outcome;
    /// let outcome = Outcome::failed("GES.8012", "at step\n".repeat(2000));
    /// let message = outcome.message().unwrap_or_default();
    /// assert_eq!(message.len(), 8192);
    /// assert!(message.ends_with("... [truncated, 16000 bytes in total]"));
    /// ```
    #[must_use]
    pub fn failed(code: impl Into<String>, message: impl Into<String>) -> Outcome {
        Outcome::with_failure(OutcomeKind::Failed, code.into(), message.into())
    }

    /// The job was canceled.
    #[must_use]
    pub fn cancelled() -> Outcome {
        Outcome::of(OutcomeKind::Cancelled)
    }

    /// The job was cut short. The store records this outcome for jobs that were running when the
    /// process crashed, and for a dropped [`Run`](crate::Run).
    #[must_use]
    pub fn interrupted() -> Outcome {
        Outcome::of(OutcomeKind::Interrupted)
    }

    /// Adds a detail: any value that serde can serialize to at most 64 KiB of JSON text, nested at
    /// most 120 levels deep. If this is called again, the new detail replaces the previous one.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] if the value cannot be represented as JSON, [`Error::TooDeep`],
    /// [`Error::OutcomeTooLarge`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::Outcome;
    /// use std::collections::BTreeMap;
    /// let counts = BTreeMap::from([("edges", 1200), ("vertices", 40)]);
    /// let outcome = Outcome::succeeded().with_detail(&counts)?;
    /// assert_eq!(outcome.detail(), Some(r#"{"edges":1200,"vertices":40}"#));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn with_detail(self, detail: &(impl Serialize + ?Sized)) -> Result<Outcome> {
        let text = value_to_json("detail", detail)?;
        self.with_compact_detail(text)
    }

    /// Adds a detail given as JSON text. It is preserved byte for byte, except for white space.
    ///
    /// # Errors
    /// As for [`Outcome::with_detail`].
    pub fn with_detail_json(self, text: impl AsRef<str>) -> Result<Outcome> {
        let text = crate::model::json::compact("detail", text.as_ref())?;
        self.with_compact_detail(text)
    }

    fn with_compact_detail(mut self, text: String) -> Result<Outcome> {
        bound("detail", text.len(), DETAIL_BYTES_MAX)?;
        self.extra_mut().detail = Some(text);
        Ok(self)
    }

    /// Adds a reference to the result. It can be at most 1 KiB long, and the store does not
    /// interpret it. When the job is purged, [`ChangeKind::Purged`](crate::ChangeKind::Purged)
    /// contains it, so that the engine can delete the result.
    ///
    /// # Errors
    /// [`Error::OutcomeTooLarge`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::Outcome;
    /// let outcome = Outcome::succeeded().with_result_ref("results/42.csv")?;
    /// assert_eq!(outcome.result_ref(), Some("results/42.csv"));
    /// assert!(Outcome::succeeded().with_result_ref("x".repeat(2000)).is_err());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn with_result_ref(mut self, text: impl Into<String>) -> Result<Outcome> {
        let text = text.into();
        bound("result_ref", text.len(), RESULT_REF_BYTES_MAX)?;
        self.extra_mut().result_ref = Some(text);
        Ok(self)
    }

    /// The outcome in the form in which it is recorded: if secrets must not be stored, its detail
    /// is masked.
    pub(crate) fn kept(mut self, keys: &SecretKeys) -> Result<Outcome> {
        let detail = self.extra.as_mut().and_then(|extra| extra.detail.as_mut());
        if let (Secrets::MaskAtSubmit, Some(detail)) = (keys.policy, detail) {
            if let Cow::Owned(masked) = keys.masked_json(detail) {
                *detail = masked;
            }
            // Masking may make short values longer.
            bound("detail", detail.len(), DETAIL_BYTES_MAX)?;
        }
        Ok(self)
    }

    fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Returns the kind of the outcome.
    #[must_use]
    pub fn kind(&self) -> OutcomeKind {
        self.kind
    }

    /// Returns the failure's code, which is at most 256 bytes long.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.extra.as_ref()?.code.as_deref()
    }

    /// Returns the failure's message, which is at most 8 KiB long.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.extra.as_ref()?.message.as_deref()
    }

    /// Returns the detail as JSON text without white space, at most 64 KiB long.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.extra.as_ref()?.detail.as_deref()
    }

    /// Returns the reference to the result, which is at most 1 KiB long.
    #[must_use]
    pub fn result_ref(&self) -> Option<&str> {
        self.extra.as_ref()?.result_ref.as_deref()
    }

    /// Returns the number of the open that recovered the job
    /// ([`JobStore::opens`](crate::JobStore::opens)), or `None` if the outcome was not recorded by
    /// a recovery.
    #[must_use]
    pub fn recovered_at_open(&self) -> Option<u64> {
        self.recovered_at_open
    }
}

/// Truncates a string that is too long, and appends its original length.
fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        let marker = format!("... [truncated, {} bytes in total]", text.len());
        let mut end = max_bytes.saturating_sub(marker.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(&marker);
        text.shrink_to_fit();
    }
    text
}

fn bound(what: &'static str, given_bytes: usize, max_bytes: usize) -> Result<()> {
    if given_bytes > max_bytes {
        return Err(Error::OutcomeTooLarge {
            what,
            given_bytes,
            max_bytes,
        });
    }
    Ok(())
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("kind", &self.kind)
            .field("code", &self.code())
            .field("message_bytes", &self.message().map_or(0, str::len))
            .field("detail_bytes", &self.detail().map_or(0, str::len))
            .field("result_ref_bytes", &self.result_ref().map_or(0, str::len))
            .field("recovered_at_open", &self.recovered_at_open)
            .finish()
    }
}
