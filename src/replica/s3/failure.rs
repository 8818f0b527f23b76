// Why a request to the server failed, and what that means for a call of the replica.

use std::cell::RefCell;
use std::error::Error;

use crate::model::replica::ReplicaError;
use crate::replica::error_chain::chain;

/// The longest text of a server that is repeated in a message.
const MAX_TEXT: usize = 200;

#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The server answered with an error.
    Status {
        status: u16,
        /// The error code of S3, such as `NoSuchBucket`; may be empty.
        code: String,
        message: String,
    },
    /// There was no complete answer.
    NoAnswer(String),
    /// There were no credentials to sign the request with, so nothing was sent.
    Credentials(String),
    /// The call is not valid for the backend, or cannot be made.
    Refused(String),
}

tokio::task_local! {
    // object_store does not expose the status and the code of a failed request, so the transport
    // records them here.
    static LAST: RefCell<Option<Failure>>;
}

/// Records the result of the latest request of the call that the current task makes.
pub(crate) fn record(failure: Option<Failure>) {
    // Requests outside of a call, such as those of a credential provider, record nothing.
    let _ = LAST.try_with(|last| *last.borrow_mut() = failure);
}

/// Makes one call of object_store, and returns why its last request failed.
pub(crate) async fn observed<T>(
    call: impl Future<Output = object_store::Result<T>>,
) -> Result<T, Failure> {
    let call = async {
        let result = call.await;
        result.map_err(|error| {
            let recorded = LAST.with(|last| last.borrow_mut().take());
            recorded.unwrap_or_else(|| Failure::NoAnswer(short_chain(&error)))
        })
    };
    LAST.scope(RefCell::new(None), call).await
}

/// An error with its causes, as one line.
pub(crate) fn short_chain(error: &(dyn Error + 'static)) -> String {
    one_line(&chain(error))
}

/// Text from outside, short and without control characters.
pub(crate) fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(MAX_TEXT).map(printable).collect()
}

impl Failure {
    /// Reads the answer of a server. Only the code and the message are kept, because the rest may
    /// repeat the access key and the session token.
    pub(crate) fn from_answer(status: u16, body: &str) -> Failure {
        let element = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            let (text, _) = rest.split_once(&format!("</{name}>"))?;
            Some(one_line(text))
        };
        Failure::Status {
            status,
            code: element("Code").unwrap_or_default(),
            message: element("Message").unwrap_or_default(),
        }
    }

    fn status(&self) -> Option<(u16, &str)> {
        match self {
            Failure::Status { status, code, .. } => Some((*status, code)),
            _ => None,
        }
    }

    /// Whether a conditional request failed because the object exists, or is being created.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self.status(), Some((409 | 412, _)))
    }

    /// Whether the object, but not the bucket, is missing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.status(), Some((404, code)) if code != "NoSuchBucket")
    }

    /// Whether the server does not implement what the request asks for.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self.status(), Some((501, _)))
    }

    fn problem(&self) -> String {
        match self {
            Failure::Status {
                status,
                code,
                message,
            } => match (code.as_str(), message.as_str()) {
                ("", _) => format!("the server answered with status {status}"),
                (code, "") => format!("the server answered with {code} (status {status})"),
                (code, message) => {
                    let message = message.trim_end_matches('.');
                    format!("the server answered with {code} (status {status}): {message}")
                }
            },
            Failure::NoAnswer(text) | Failure::Refused(text) => text.clone(),
            Failure::Credentials(text) => format!("no credentials: {text}"),
        }
    }

    /// What to do about it if the call had no effect; otherwise, `None`.
    fn remedy(&self) -> Option<&'static str> {
        let (status, code) = match self {
            Failure::Status { status, code, .. } => (*status, code.as_str()),
            Failure::NoAnswer(_) | Failure::Credentials(_) => return None,
            Failure::Refused(_) => return Some(""),
        };
        Some(match (status, code) {
            (_, "NoSuchBucket") | (404, _) => {
                "create the bucket, or correct the URL or AWS_ENDPOINT_URL"
            }
            (400 | 403, "InvalidAccessKeyId" | "SignatureDoesNotMatch") | (401, _) => {
                "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"
            }
            (400 | 403, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
                "renew the session token"
            }
            (403, "RequestTimeTooSkewed") => "set the clock of this machine",
            (301 | 302 | 308, _)
            | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                "set AWS_REGION to the region of the bucket"
            }
            (403, _) => {
                "allow s3:PutObject, s3:GetObject, s3:DeleteObject, and s3:ListBucket for this \
                 prefix (without s3:ListBucket, a missing object is reported as forbidden)"
            }
            (501, _) => "use a server that supports this request",
            // Transient, or not from S3.
            (400, "" | "RequestTimeout" | "IncompleteBody" | "BadDigest" | "SlowDown")
            | (300..400 | 408 | 409 | 412 | 425 | 429, _)
            | (500.., _) => return None,
            (400..500, _) => "correct the configuration of the server or of this client",
            _ => return None,
        })
    }

    /// The error of a call that was to do `what` at `place`.
    pub(crate) fn into_error(self, place: &str, what: &str) -> ReplicaError {
        let problem = format!("{place}: cannot {what}: {}", self.problem());
        match self.remedy() {
            None => ReplicaError::Unknown { what: problem },
            Some("") => ReplicaError::Refused { what: problem },
            Some(remedy) => ReplicaError::Refused {
                what: format!("{problem}; {remedy}"),
            },
        }
    }
}
