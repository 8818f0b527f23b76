// The options for secrets.

use super::Options;
use crate::model::secrets::{Keys, Secrets};

impl Options {
    /// Sets the keys whose values are secret; by default `accessKey` and `secretKey`. Keys are
    /// recognized at any depth of a body, regardless of case. Secrets are found when a request is
    /// submitted. Lists, exports, and archives show `"******"` instead; [`Job::request`] and
    /// [`Run::request`] return the real values. If the list is empty, nothing is secret.
    ///
    /// The store records the keys. If no keys are set, an open uses the keys that were recorded
    /// last, and so does the `jobstore` CLI. New keys apply only to requests that are submitted
    /// after they are set. [`Graph::find`], [`Graph::submit_as`], and [`Graph::submit_once`] mask
    /// the given request with the current keys before they compare it. Therefore, the request
    /// matches a job that was submitted under other keys only if both masked forms are the same.
    ///
    /// If the record is damaged, the open returns [`Error::Damaged`](crate::Error::Damaged). After
    /// a repair, every key is treated as secret until the secret keys are set again. If the policy
    /// is lost too, [`Secrets::MaskAtSubmit`] applies until [`Options::secrets`] is set.
    ///
    /// Values are found only by their keys: [`Secrets`] lists what is not masked.
    ///
    /// [`Job::request`]: crate::Job::request
    /// [`Run::request`]: crate::Run::request
    /// [`Graph::find`]: crate::Graph::find
    /// [`Graph::submit_as`]: crate::Graph::submit_as
    /// [`Graph::submit_once`]: crate::Graph::submit_once
    ///
    /// # Cost
    /// When a request is submitted, its body's strings are scanned one more time. Listing jobs
    /// costs nothing extra.
    ///
    /// # Errors
    /// The open returns [`Error::InvalidOption`](crate::Error::InvalidOption) for more than 64
    /// keys, or for a key that is empty or longer than 256 bytes. It returns
    /// [`Error::DiskFull`](crate::Error::DiskFull) or [`Error::Io`](crate::Error::Io) if new keys
    /// cannot be recorded.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// let store = JobStore::options().secret_keys(["accessKey", "password"]).in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let body = Body::from_json(r#"{"from": {"Password": "hunter2"}}"#)?;
    /// let id = movie.submit(Request::new("import_graph", "/ges", body)?)?;
    ///
    /// let job = movie.job(&id)?.ok_or("it is there")?;
    /// assert_eq!(job.request().body(), r#"{"from":{"Password":"hunter2"}}"#);
    /// assert_eq!(job.masked_request().body(), r#"{"from":{"Password":"******"}}"#);
    /// let listed = movie.list(JobQuery::new())?.to_json()?;
    /// assert!(!String::from_utf8(listed)?.contains("hunter2"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn secret_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Options {
        self.named_secrets.keys = Some(Keys::these(keys));
        self
    }

    /// Sets what happens to the values under secret keys; [`Secrets::MaskOnOutput`] by default. The
    /// store records the policy together with the [keys](Options::secret_keys).
    #[must_use]
    pub fn secrets(mut self, policy: Secrets) -> Options {
        self.named_secrets.policy = Some(policy);
        self
    }
}
