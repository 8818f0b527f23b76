// A retention policy as JSON. Members that are not set are omitted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::error::{Error, Result};
use crate::model::json;
use crate::model::outcome::OutcomeKind;
use crate::model::retention::Retention;

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WireRetention {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    max_age_of_ms: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_jobs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tombstones: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_file_bytes: Option<u64>,
}

impl Retention {
    /// Parses a policy from JSON: `{"maxAgeMs":..,"maxAgeOfMs":{"failed":..},"maxJobs":..,
    /// "maxBytes":..,"maxTombstones":..,"tombstoneAgeMs":..}` and, with the feature `archive`,
    /// `"archiveTo"` and `"archiveFileBytes"`. All members are optional.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidParameter`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{OutcomeKind, Retention};
    /// use std::time::Duration;
    /// let policy = Retention::from_json(r#"{"maxAgeMs": 86400000, "maxAgeOfMs": {"failed": 1000}}"#)?;
    /// let same = Retention::new()
    ///     .max_age(Duration::from_secs(24 * 3600))
    ///     .max_age_of(OutcomeKind::Failed, Duration::from_secs(1));
    /// assert_eq!(policy, same);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Retention> {
        let wire: WireRetention = json::parse("retention policy", text)?;
        let invalid = |problem: String| Error::InvalidParameter { problem };
        let mut policy = Retention::new();
        policy.age = wire.max_age_ms.map(Duration::from_millis);
        for (word, ms) in wire.max_age_of_ms {
            let kind = OutcomeKind::from_word(&word).ok_or_else(|| {
                let problem = "invalid member of maxAgeOfMs; use succeeded, partially_failed, \
                     failed, cancelled, or interrupted";
                invalid(problem.to_owned())
            })?;
            policy = policy.max_age_of(kind, Duration::from_millis(ms));
        }
        (policy.jobs, policy.bytes) = (wire.max_jobs, wire.max_bytes);
        if let Some(jobs) = wire.max_tombstones {
            policy = policy.max_tombstones(jobs);
        }
        if let Some(ms) = wire.tombstone_age_ms {
            policy = policy.tombstone_age(Duration::from_millis(ms));
        }
        #[cfg(feature = "archive")]
        {
            if let Some(directory) = wire.archive_to {
                policy = policy.archive_to(directory);
            }
            if let Some(bytes) = wire.archive_file_bytes {
                policy = policy.archive_file_bytes(bytes);
            }
        }
        #[cfg(not(feature = "archive"))]
        if wire.archive_to.is_some() || wire.archive_file_bytes.is_some() {
            let problem = "invalid retention policy: this build cannot archive jobs; omit \
                 archiveTo and archiveFileBytes, or build with the feature archive";
            return Err(invalid(problem.to_owned()));
        }
        Ok(policy)
    }

    /// Returns the policy as JSON that [`Retention::from_json`] parses, with its defaults. Times
    /// are in milliseconds.
    ///
    /// # Examples
    /// ```
    /// use jobstore::Retention;
    /// let json = Retention::new().max_jobs(1000).max_tombstones(0).to_json();
    /// assert!(json.starts_with(r#"{"maxJobs":1000,"maxTombstones":0,"tombstoneAgeMs":2592000000"#));
    /// assert_eq!(Retention::from_json(&json)?, Retention::new().max_jobs(1000).max_tombstones(0));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let of_kind = |kind: &OutcomeKind| {
            let age = self.outcome_ages.get(usize::from(kind.to_stored()))?;
            Some((kind.as_str().to_owned(), ms((*age)?)))
        };
        let mut wire = WireRetention {
            max_age_ms: self.age.map(ms),
            max_age_of_ms: OutcomeKind::ALL.iter().filter_map(of_kind).collect(),
            max_jobs: self.jobs,
            max_bytes: self.bytes,
            max_tombstones: Some(self.tombstones),
            tombstone_age_ms: Some(ms(self.tombstone_age)),
            ..WireRetention::default()
        };
        #[cfg(feature = "archive")]
        if let Some(archive) = &self.archive {
            wire.archive_to = Some(archive.0.to_string_lossy().into_owned());
            wire.archive_file_bytes = Some(self.archive_file_bytes);
        }
        // Without an archive, the value is not changed.
        let _ = &mut wire;
        // The members are numbers and strings, which are always representable.
        serde_json::to_string(&wire).unwrap_or_default()
    }
}
