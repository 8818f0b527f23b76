//! Why a call of etcd failed.

use std::error::Error;

use crate::model::replica::ReplicaError;
use crate::replica::error_chain::chain;

/// What one node made of a request.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request was not sent.
    NotSent(String),
    /// The node closed the connection during the TLS handshake, without a reason. A node that is
    /// killed does this, too.
    NoHandshake(String),
    /// There is no TLS session, because one of the two sides does not accept the other.
    Tls(String),
    /// The request may have been executed.
    NoAnswer(String),
    /// The node answered with this gRPC status.
    Status { code: u32, message: String },
}

/// Codes of gRPC.
const INVALID_ARGUMENT: u32 = 3;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;

const OLD_AUTH_REVISION: &str = "revision of auth store is old";

impl Failure {
    pub(super) fn of_request(error: &reqwest::Error, has_tls: bool) -> Failure {
        let text = chain(error);
        if is_tls_error(error) || is_about_certificate(&text) {
            return Failure::Tls(text);
        }
        if has_tls && error.is_connect() && is_closed(error) {
            return Failure::NoHandshake(text);
        }
        match error.is_connect() || error.is_builder() || is_canceled(error) {
            true => Failure::NotSent(text),
            false => Failure::NoAnswer(text),
        }
    }

    /// Adds that a new connection to the same node fails with this error.
    pub(super) fn with_new_connection(self, error: &(dyn Error + 'static)) -> Failure {
        let refusal = chain(error);
        if !is_about_certificate(&refusal) {
            return self;
        }
        match self {
            Failure::NotSent(_) => Failure::Tls(refusal),
            // The earlier connection may have been accepted.
            Failure::NoAnswer(text) => {
                Failure::NoAnswer(format!("{text}; a new connection fails: {refusal}"))
            }
            other => other,
        }
    }

    /// Adds the node.
    pub(super) fn at(self, endpoint: &str) -> Failure {
        let with = |text: String| format!("{endpoint}: {text}");
        match self {
            Failure::NotSent(text) => Failure::NotSent(with(text)),
            Failure::NoHandshake(text) => Failure::NoHandshake(with(text)),
            Failure::Tls(text) => Failure::Tls(with(text)),
            Failure::NoAnswer(text) => Failure::NoAnswer(with(text)),
            Failure::Status { code, message } => Failure::Status {
                code,
                message: with(message),
            },
        }
    }

    /// Whether another node may succeed, or this one later.
    pub(super) fn is_temporary(&self) -> bool {
        match self {
            Failure::NotSent(_) | Failure::NoHandshake(_) | Failure::NoAnswer(_) => true,
            Failure::Tls(_) => false,
            Failure::Status { code, message } => match *code {
                // The rights have changed, and this node knows it before another one.
                INVALID_ARGUMENT => message.contains(OLD_AUTH_REVISION),
                PERMISSION_DENIED | UNIMPLEMENTED => false,
                RESOURCE_EXHAUSTED => !message.contains("larger than max"),
                _ => true,
            },
        }
    }

    /// Whether the request had no effect because of the token, or for want of one.
    pub(super) fn is_about_token(&self) -> bool {
        self.says("invalid auth token")
            || self.says("user name is empty")
            || self.says(OLD_AUTH_REVISION)
    }

    pub(super) fn says(&self, text: &str) -> bool {
        matches!(self, Failure::Status { message, .. } if message.contains(text))
    }

    /// The error of a call, and what to do about it. `place` is the URL without credentials.
    pub(super) fn into_error(self, place: &str) -> ReplicaError {
        let remedy = self.remedy();
        let is_temporary = self.is_temporary();
        let problem = match self {
            Failure::NotSent(text) | Failure::NoHandshake(text) => {
                format!("cannot connect to etcd: {text}")
            }
            Failure::Tls(text) => format!("cannot establish a TLS session with etcd: {text}"),
            Failure::NoAnswer(text) => format!("etcd did not answer: {text}"),
            Failure::Status { code, message } => {
                format!("etcd returned an error: {message} (gRPC status {code})")
            }
        };
        let what = match remedy {
            Some(remedy) => format!("{place}: {problem}; {remedy}"),
            None => format!("{place}: {problem}"),
        };
        match is_temporary {
            true => ReplicaError::Unknown { what },
            false => ReplicaError::Refused { what },
        }
    }

    fn remedy(&self) -> Option<&'static str> {
        if let Failure::NoHandshake(_) = self {
            return Some("check that etcd serves TLS on this port");
        }
        let is_refused = match self {
            Failure::Tls(_) => true,
            Failure::NoAnswer(text) => is_about_certificate(text),
            _ => false,
        };
        if is_refused {
            return Some(
                "check that etcd serves TLS on this port, that its certificate is issued for this \
                 host by an authority in the file `ca`, and that it accepts the certificate in \
                 the file `cert`",
            );
        }
        let remedies = [
            (
                "database space exceeded",
                "compact and defragment the database, or raise --quota-backend-bytes, and then \
                 clear the alarm: etcdctl compact, etcdctl defrag, etcdctl alarm disarm; run etcd \
                 with --auto-compaction-retention=1h",
            ),
            (
                "too large",
                "use log=etcd://...,packs=s3://..., which stores large chunks elsewhere",
            ),
            (
                "larger than max",
                "use log=etcd://...,packs=s3://..., which stores large chunks elsewhere",
            ),
            (
                "invalid user ID or password",
                "correct the user name and the password, in the URL or in ETCDCTL_USER and \
                 ETCDCTL_PASSWORD",
            ),
            (
                "user name is empty",
                "set a user name and a password, in the URL or in ETCDCTL_USER and \
                 ETCDCTL_PASSWORD",
            ),
            (
                "permission denied",
                "grant the user a role with the permission to read and write all keys with this \
                 prefix: etcdctl role grant-permission --prefix=true ROLE readwrite PREFIX/",
            ),
        ];
        let known = remedies.iter().find(|(text, _)| self.says(text));
        known.map(|(_, remedy)| *remedy)
    }
}

/// Whether the server closed the connection because it does not accept the client's certificate.
/// After the handshake, h2 passes on only the text.
fn is_about_certificate(text: &str) -> bool {
    let alerts = [
        "AccessDenied",
        "BadCertificate",
        "CertificateExpired",
        "CertificateRequired",
        "CertificateRevoked",
        "CertificateUnknown",
        "UnknownCA",
        "UnsupportedCertificate",
    ];
    text.split_once("received fatal alert: ")
        .is_some_and(|(_, alert)| alerts.iter().any(|known| alert.starts_with(known)))
}

/// Whether the connection was closed before the request was sent.
fn is_canceled(error: &(dyn Error + 'static)) -> bool {
    let hyper = error.downcast_ref::<hyper::Error>();
    hyper.is_some_and(hyper::Error::is_canceled) || error.source().is_some_and(is_canceled)
}

/// Whether the other side closed the connection.
fn is_closed(error: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        let kinds = [
            BrokenPipe,
            ConnectionAborted,
            ConnectionReset,
            UnexpectedEof,
        ];
        return kinds.contains(&io.kind()) || io.get_ref().is_some_and(|inner| is_closed(inner));
    }
    error.source().is_some_and(is_closed)
}

fn is_tls_error(error: &(dyn Error + 'static)) -> bool {
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        // The source of an `io::Error` is the source of what it contains.
        return io.get_ref().is_some_and(|inner| is_tls_error(inner));
    }
    error.is::<rustls::Error>() || error.source().is_some_and(is_tls_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_certificate_is_reported_with_its_remedy() {
        let alert = |description| std::io::Error::other(rustls::Error::AlertReceived(description));
        let refusal = alert(rustls::AlertDescription::BadCertificate);
        let closed = || "connection closed".to_owned();
        let error = Failure::NotSent(closed()).with_new_connection(&refusal);
        match error.into_error("etcds://a:2379/p") {
            ReplicaError::Refused { what } => {
                assert!(what.contains("alert: BadCertificate; check that"), "{what}");
            }
            other => panic!("{other:?}"),
        }
        // The request may have been executed before the node refused this client.
        let error = Failure::NoAnswer(closed()).with_new_connection(&refusal);
        match error.into_error("etcds://a:2379/p") {
            ReplicaError::Unknown { what } => {
                assert!(what.contains("alert: BadCertificate; check that"), "{what}");
            }
            other => panic!("{other:?}"),
        }
        // This node cannot be reached, or has a problem of its own.
        for problem in [
            std::io::ErrorKind::ConnectionRefused.into(),
            std::io::ErrorKind::UnexpectedEof.into(),
            alert(rustls::AlertDescription::InternalError),
        ] {
            let error = Failure::NotSent(closed()).with_new_connection(&problem);
            let expected = "etcds://a:2379/p: cannot connect to etcd: connection closed".to_owned();
            let expected = ReplicaError::Unknown { what: expected };
            assert_eq!(error.into_error("etcds://a:2379/p"), expected);
        }
    }

    #[test]
    fn only_a_definite_refusal_is_one() {
        let error = |code, message: &str| {
            let message = message.to_owned();
            Failure::Status { code, message }.into_error("etcd://a:2379/p")
        };
        for (code, message, remedy) in [
            (3, "etcdserver: request is too large", "packs="),
            (
                8,
                "grpc: received message larger than max (3 vs. 2)",
                "packs=",
            ),
            (7, "etcdserver: permission denied", "grant"),
            (
                3,
                "etcdserver: authentication failed, invalid user ID or password",
                "correct",
            ),
            (3, "etcdserver: user name is empty", "set a user name"),
            (12, "unknown service etcdserverpb.KV", ""),
        ] {
            match error(code, message) {
                ReplicaError::Refused { what } => assert!(what.contains(remedy), "{what}"),
                other => panic!("{message}: {other:?}"),
            }
        }
        for (code, message, remedy) in [
            (14, "etcdserver: leader changed", ""),
            (14, "etcdserver: request timed out", ""),
            (14, "etcdserver: no leader", ""),
            (8, "etcdserver: mvcc: database space exceeded", "defragment"),
            (8, "etcdserver: too many requests", ""),
            (2, "anything", ""),
            (15, "etcdserver: corrupt cluster", ""),
            (4, "context deadline exceeded", ""),
            (16, "etcdserver: invalid auth token", ""),
            (3, "etcdserver: revision of auth store is old", ""),
        ] {
            match error(code, message) {
                ReplicaError::Unknown { what } => assert!(what.contains(remedy), "{what}"),
                other => panic!("{message}: {other:?}"),
            }
        }
    }
}
