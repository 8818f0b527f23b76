// The failure document of the GES job-list API.

use crate::model::error::Error;
use crate::model::json;

/// An error in the form in which the [GES job-list API](crate#the-ges-job-list-api) reports it to a
/// client: returned by [`Error::api_error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The `errorCode` of the document.
    pub code: &'static str,
    /// The `errorMessage` of the document.
    pub message: String,
    /// Whether the client should retry soon. If so, the HTTP response includes a `Retry-After`
    /// header.
    pub retry: bool,
}

impl ApiError {
    /// Returns the failure document as JSON without white space.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!(
            r#"{{"errorMessage":{},"errorCode":"{}","result":"failed"}}"#,
            json::quote(&self.message),
            self.code
        )
    }
}

impl Error {
    /// Returns this error as the GES job-list API reports it: HTTP status, error code, and message.
    ///
    /// Internal errors are reported as `job query error`: their details belong in the engine's log,
    /// not in a response.
    ///
    /// # Examples
    /// ```
    /// let store = jobstore::JobStore::in_memory()?;
    /// let error = store.graph("10001", "movidde").unwrap_err().api_error();
    /// assert_eq!(error.status, 400);
    /// assert_eq!(
    ///     error.to_json(),
    ///     r#"{"errorMessage":"graph : movidde not exist","errorCode":"GES.8000","result":"failed"}"#
    /// );
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn api_error(&self) -> ApiError {
        let (status, code, message) = match self {
            Error::GraphDropped { graph } => {
                (400, "GES.8000", format!("graph : {graph} not exist"))
            }
            Error::UnknownJob { .. } | Error::JobPurged { .. } => {
                (400, "GES.8301", self.to_string())
            }
            Error::UnknownGraph { .. }
            | Error::GraphExists { .. }
            | Error::InvalidName { .. }
            | Error::InvalidJobId { .. }
            | Error::JobIdTaken { .. }
            | Error::JobIdPurged { .. }
            | Error::KeyTaken { .. }
            | Error::KeyPurged
            | Error::InvalidKey { .. }
            | Error::PageExpired
            | Error::IllegalTransition { .. }
            | Error::EmptyCommand
            | Error::TextTooLong { .. }
            | Error::InvalidJson { .. }
            | Error::InvalidPointer { .. }
            | Error::TooDeep { .. }
            | Error::RequestTooLarge { .. }
            | Error::BatchTooLarge { .. }
            | Error::OutcomeTooLarge { .. }
            | Error::PageLimit { .. }
            | Error::InvalidCursor { .. }
            | Error::InvalidPosition { .. }
            | Error::BadLine { .. }
            | Error::NotEmpty { .. }
            | Error::InvalidParameter { .. }
            | Error::InvalidUse { .. } => (400, "GES.8000", self.to_string()),
            Error::Busy { .. }
            | Error::Closed
            | Error::ReadOnly { .. }
            | Error::OpenedReadOnly
            | Error::Follower
            | Error::TooManyOpenFiles { .. }
            | Error::CommitUnknown { .. }
            | Error::DiskFull { .. }
            | Error::IndexStuck { .. }
            | Error::CloseStuck { .. }
            | Error::Removed { .. }
            | Error::Deposed { .. }
            | Error::ReplicaInUse { .. }
            | Error::ReplicaUnreachable { .. }
            | Error::Forked { .. }
            | Error::StoreInUse { .. } => {
                (503, "GES.8602", "engine service unavailable".to_owned())
            }
            Error::InvalidOption { .. }
            | Error::NotAStore { .. }
            | Error::StoreMissing { .. }
            | Error::PathTooLong { .. }
            | Error::NewerFormat { .. }
            | Error::OlderFormat { .. }
            | Error::UnknownFeatures { .. }
            | Error::PermissionDenied { .. }
            | Error::ReplicaNeeded { .. }
            | Error::ReplicaRefused { .. }
            | Error::ReplicaUnfit { .. }
            | Error::ReplicaOfOtherStore { .. }
            | Error::ReplicaBehind { .. }
            | Error::ReplicaDiverged { .. }
            | Error::ReplicaDamaged { .. }
            | Error::Damaged { .. }
            | Error::IndexUnavailable { .. }
            | Error::Io { .. }
            | Error::Output { .. }
            | Error::Input { .. } => (500, "GES.8302", "job query error".to_owned()),
        };
        ApiError {
            status,
            code,
            message,
            retry: matches!(self, Error::Busy { .. }),
        }
    }
}
