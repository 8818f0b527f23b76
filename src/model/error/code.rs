// The code of each error, as text.

use super::Error;

impl Error {
    /// Returns the error's code: the name of its variant, for metrics, logs, and callers that
    /// compare errors as text. Codes are stable: a later version may add codes, but never renames
    /// or reuses one.
    ///
    /// # Examples
    /// ```
    /// let store = jobstore::JobStore::in_memory()?;
    /// assert_eq!(store.graph("10001", "movidde").unwrap_err().code(), "UnknownGraph");
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Error::UnknownGraph { .. } => "UnknownGraph",
            Error::GraphExists { .. } => "GraphExists",
            Error::GraphDropped { .. } => "GraphDropped",
            Error::InvalidName { .. } => "InvalidName",
            Error::UnknownJob { .. } => "UnknownJob",
            Error::InvalidJobId { .. } => "InvalidJobId",
            Error::JobIdTaken { .. } => "JobIdTaken",
            Error::KeyTaken { .. } => "KeyTaken",
            Error::KeyPurged => "KeyPurged",
            Error::InvalidKey { .. } => "InvalidKey",
            Error::IllegalTransition { .. } => "IllegalTransition",
            Error::EmptyCommand => "EmptyCommand",
            Error::TextTooLong { .. } => "TextTooLong",
            Error::InvalidJson { .. } => "InvalidJson",
            Error::InvalidPointer { .. } => "InvalidPointer",
            Error::TooDeep { .. } => "TooDeep",
            Error::RequestTooLarge { .. } => "RequestTooLarge",
            Error::BatchTooLarge { .. } => "BatchTooLarge",
            Error::OutcomeTooLarge { .. } => "OutcomeTooLarge",
            Error::PageLimit { .. } => "PageLimit",
            Error::JobPurged { .. } => "JobPurged",
            Error::JobIdPurged { .. } => "JobIdPurged",
            Error::PageExpired => "PageExpired",
            Error::InvalidCursor { .. } => "InvalidCursor",
            Error::InvalidPosition { .. } => "InvalidPosition",
            Error::InvalidOption { .. } => "InvalidOption",
            Error::StoreInUse { .. } => "StoreInUse",
            Error::NotEmpty { .. } => "NotEmpty",
            Error::NotAStore { .. } => "NotAStore",
            Error::PathTooLong { .. } => "PathTooLong",
            Error::StoreMissing { .. } => "StoreMissing",
            Error::NewerFormat { .. } => "NewerFormat",
            Error::OlderFormat { .. } => "OlderFormat",
            Error::UnknownFeatures { .. } => "UnknownFeatures",
            Error::PermissionDenied { .. } => "PermissionDenied",
            Error::DiskFull { .. } => "DiskFull",
            Error::Busy { .. } => "Busy",
            Error::CommitUnknown { .. } => "CommitUnknown",
            Error::ReadOnly { .. } => "ReadOnly",
            Error::Removed { .. } => "Removed",
            Error::Deposed { .. } => "Deposed",
            Error::ReplicaInUse { .. } => "ReplicaInUse",
            Error::ReplicaNeeded { .. } => "ReplicaNeeded",
            Error::ReplicaUnreachable { .. } => "ReplicaUnreachable",
            Error::ReplicaRefused { .. } => "ReplicaRefused",
            Error::ReplicaUnfit { .. } => "ReplicaUnfit",
            Error::ReplicaOfOtherStore { .. } => "ReplicaOfOtherStore",
            Error::ReplicaBehind { .. } => "ReplicaBehind",
            Error::ReplicaDiverged { .. } => "ReplicaDiverged",
            Error::ReplicaDamaged { .. } => "ReplicaDamaged",
            Error::Forked { .. } => "Forked",
            Error::OpenedReadOnly => "OpenedReadOnly",
            Error::Follower => "Follower",
            Error::TooManyOpenFiles { .. } => "TooManyOpenFiles",
            Error::Damaged { .. } => "Damaged",
            Error::IndexUnavailable { .. } => "IndexUnavailable",
            Error::IndexStuck { .. } => "IndexStuck",
            Error::CloseStuck { .. } => "CloseStuck",
            Error::Io { .. } => "Io",
            Error::Output { .. } => "Output",
            Error::BadLine { .. } => "BadLine",
            Error::Input { .. } => "Input",
            Error::InvalidUse { .. } => "InvalidUse",
            Error::Closed => "Closed",
            Error::InvalidParameter { .. } => "InvalidParameter",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;
    use std::time::SystemTime;

    use super::*;
    use crate::model::error::JsonProblem;
    use crate::model::id::JobId;
    use crate::model::states::State;

    fn id() -> JobId {
        JobId::new("id").unwrap()
    }

    fn one_of_each() -> Vec<Error> {
        vec![
            Error::UnknownGraph {
                graph: String::new(),
            },
            Error::GraphExists {
                project: String::new(),
                graph: String::new(),
            },
            Error::GraphDropped {
                graph: String::new(),
            },
            Error::InvalidName {
                what: "",
                given: String::new(),
                max_bytes: 0,
            },
            Error::UnknownJob { id: String::new() },
            Error::InvalidJobId {
                given: String::new(),
                max: 0,
            },
            Error::JobIdTaken { id: id() },
            Error::KeyTaken { id: id() },
            Error::KeyPurged,
            Error::InvalidKey {
                given_bytes: 0,
                max_bytes: 0,
            },
            Error::IllegalTransition {
                id: id(),
                from: State::Pending,
                to: State::Pending,
            },
            Error::EmptyCommand,
            Error::TextTooLong {
                what: "",
                given_bytes: 0,
                max_bytes: 0,
            },
            Error::InvalidJson {
                what: "",
                problem: JsonProblem::UnexpectedEnd,
                line: 0,
                column: 0,
            },
            Error::InvalidPointer {
                given: String::new(),
                problem: "",
            },
            Error::TooDeep {
                what: "",
                given: 0,
                max: 0,
            },
            Error::RequestTooLarge {
                given_bytes: 0,
                max_bytes: 0,
            },
            Error::BatchTooLarge { max: 0, unit: "" },
            Error::OutcomeTooLarge {
                what: "",
                given_bytes: 0,
                max_bytes: 0,
            },
            Error::PageLimit { given: 0, max: 0 },
            Error::JobPurged {
                id: id(),
                at: SystemTime::UNIX_EPOCH,
            },
            Error::JobIdPurged { id: id() },
            Error::PageExpired,
            Error::InvalidCursor { problem: "" },
            Error::InvalidPosition { problem: "" },
            Error::InvalidOption {
                option: "",
                given: 0,
                allowed: "",
            },
            Error::StoreInUse {
                path: PathBuf::new(),
                holder: Default::default(),
            },
            Error::NotEmpty {
                path: PathBuf::new(),
                found: String::new(),
            },
            Error::NotAStore {
                path: PathBuf::new(),
                found: String::new(),
            },
            Error::PathTooLong {
                path: PathBuf::new(),
                given_bytes: 0,
                max_bytes: 0,
            },
            Error::StoreMissing {
                path: PathBuf::new(),
            },
            Error::NewerFormat {
                path: PathBuf::new(),
                found: 0,
                supported: 0,
            },
            Error::OlderFormat {
                path: PathBuf::new(),
                found: 0,
                oldest: 0,
            },
            Error::UnknownFeatures {
                path: PathBuf::new(),
                features: 0,
            },
            Error::PermissionDenied {
                operation: "",
                path: PathBuf::new(),
            },
            Error::DiskFull {
                operation: "",
                path: PathBuf::new(),
            },
            Error::Busy {
                queued_bytes: 0,
                max_bytes: 0,
            },
            Error::CommitUnknown {
                ids: Default::default(),
                why: "".into(),
            },
            Error::ReadOnly { why: "".into() },
            Error::Removed {
                what: "",
                path: PathBuf::new(),
            },
            Error::Deposed {
                by: "".into(),
                since: SystemTime::UNIX_EPOCH,
            },
            Error::ReplicaInUse {
                place: String::new(),
                by: "".into(),
                since: SystemTime::UNIX_EPOCH,
            },
            Error::ReplicaNeeded {
                path: PathBuf::new(),
            },
            Error::ReplicaUnreachable {
                place: String::new(),
                what: "".into(),
            },
            Error::ReplicaRefused {
                place: String::new(),
                what: "".into(),
            },
            Error::ReplicaUnfit {
                place: String::new(),
                what: "".into(),
            },
            Error::ReplicaOfOtherStore {
                place: String::new(),
                found: 0,
                expected: 0,
            },
            Error::ReplicaBehind {
                place: String::new(),
                replica_lsn: 0,
                local_lsn: 0,
            },
            Error::ReplicaDiverged {
                place: String::new(),
                what: "".into(),
            },
            Error::ReplicaDamaged {
                place: String::new(),
                what: "".into(),
            },
            Error::Forked { opener: 0 },
            Error::OpenedReadOnly,
            Error::Follower,
            Error::TooManyOpenFiles {
                operation: "",
                path: PathBuf::new(),
            },
            Error::Damaged {
                file: PathBuf::new(),
                offset: 0,
                what: "".into(),
            },
            Error::IndexUnavailable { what: "".into() },
            Error::IndexStuck { what: "".into() },
            Error::CloseStuck { what: "".into() },
            Error::Io {
                operation: "",
                path: PathBuf::new(),
                kind: io::ErrorKind::Other,
                message: "".into(),
            },
            Error::Output {
                kind: io::ErrorKind::Other,
                message: "".into(),
            },
            Error::BadLine {
                line: 0,
                problem: String::new(),
            },
            Error::Input {
                kind: io::ErrorKind::Other,
                message: "".into(),
            },
            Error::InvalidUse { what: "" },
            Error::Closed,
            Error::InvalidParameter {
                problem: String::new(),
            },
        ]
    }

    #[test]
    fn every_error_has_the_name_of_its_variant_as_its_code() {
        let source = include_str!("code.rs");
        let arms = source
            .split_once("pub fn code(")
            .map(|(_, arms)| arms)
            .unwrap();
        let arms = arms.split_once("\n    }\n").map(|(arms, _)| arms).unwrap();
        let all = one_of_each();
        assert_eq!(
            arms.matches("=> \"").count(),
            all.len(),
            "a variant is not tested"
        );
        let mut codes = std::collections::BTreeSet::new();
        for error in all {
            let shown = format!("{error:?}");
            let variant = shown.split([' ', '{']).next().unwrap();
            assert_eq!(error.code(), variant);
            assert!(codes.insert(error.code()), "{variant} twice");
        }
    }
}
