// Credentials in requests. They are found once, at submit, and stored apart from the text.
//
// The text that is stored, listed, compared, and searched contains no secrets. A worker receives
// the request exactly as submitted.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::model::error::{Error, Result};
use crate::model::json::{end_of_string, end_of_value};
use crate::model::request::Request;
use crate::model::unlisted::{Unlisted, Values};

/// The text that replaces a secret value of any kind.
pub(crate) const MASK: &str = r#""******""#;

/// The maximum length of a secret key, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// The maximum number of secret keys.
const KEYS_MAX: usize = 64;

/// What happens to the values under secret keys
/// ([`Options::secret_keys`](crate::Options::secret_keys)) in the bodies of requests and the
/// details of outcomes.
///
/// # What is not masked
/// A value is found only by its key, regardless of case. The following are not found, so they are
/// stored and shown as they are:
/// - A key in another spelling: `access_key` is not `accessKey`. List every spelling.
/// - JSON inside a string, and secrets that are part of a longer string. List the key of the whole
///   string.
/// - An element of an array that is not under a secret key.
/// - Everything outside of bodies and details: URLs with their queries, commands, origins, ids,
///   names, codes, messages, references to results, and progress texts. Do not put credentials
///   there.
/// - In requests, values under keys that were not yet secret when the request was submitted.
///
/// # Examples
/// ```
/// use jobstore::{Body, JobStore, Request, Secrets};
/// let store = JobStore::options().secrets(Secrets::MaskAtSubmit).in_memory()?;
/// let movie = store.create_graph("10001", "movie")?;
/// let body = Body::from_json(r#"{"path": "obs/a.csv", "secretKey": "hunter2"}"#)?;
/// let id = movie.submit(Request::new("import_graph", "/ges", body)?)?;
/// let job = movie.job(&id)?.ok_or("it was just submitted")?;
/// assert_eq!(job.request().body(), r#"{"path":"obs/a.csv","secretKey":"******"}"#);
/// assert!(job.secrets_lost());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Secrets {
    /// Stores the values apart from the request's text. In this process, these calls return the
    /// values: [`Job::request`](crate::Job::request), [`Run::request`](crate::Run::request),
    /// [`Outcome::detail`](crate::Outcome::detail). All output (lists, exports, archives) shows
    /// `"******"` instead.
    #[default]
    MaskOnOutput,
    /// Never writes the values to disk. The request and the outcome's detail are recorded with
    /// `"******"` instead of the values. For a job whose request contained such values,
    /// [`Job::secrets_lost`](crate::Job::secrets_lost) returns `true`.
    MaskAtSubmit,
}

/// Which keys are secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// In lower case.
    These(Arc<[String]>),
    /// All keys, because the record of the secret keys is lost.
    Every,
}

impl Keys {
    pub(crate) fn these<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Keys {
        let keys = keys.into_iter().map(|key| key.into().to_lowercase());
        Keys::These(keys.collect())
    }

    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |given: usize, allowed| Error::InvalidOption {
            option: "secret_keys",
            given: given as u64,
            allowed,
        };
        let Keys::These(keys) = self else {
            return Ok(());
        };
        if keys.len() > KEYS_MAX {
            return Err(invalid(keys.len(), "at most 64 keys"));
        }
        let mut lengths = keys.iter().map(String::len);
        match lengths.find(|len| *len == 0 || *len > KEY_BYTES_MAX) {
            Some(len) => Err(invalid(len, "keys of 1 to 256 bytes")),
            None => Ok(()),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Keys::These(keys) if keys.is_empty())
    }

    /// Whether a key, given as a JSON string with its quotes, is secret.
    fn has(&self, token: &str) -> bool {
        let Keys::These(keys) = self else {
            return true;
        };
        let unescaped: String;
        let mut key = token.get(1..token.len() - 1).unwrap_or_default();
        if key.contains('\\') {
            unescaped = serde_json::from_str(token).unwrap_or_default();
            key = &unescaped;
        }
        match key.is_ascii() {
            true => keys.iter().any(|k| k.eq_ignore_ascii_case(key)),
            false => keys.contains(&key.to_lowercase()),
        }
    }
}

/// The keys whose values are secret, and what happens to the values.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretKeys {
    pub(crate) keys: Keys,
    pub(crate) policy: Secrets,
}

impl Default for SecretKeys {
    fn default() -> SecretKeys {
        SecretKeys {
            keys: Keys::these(["accessKey", "secretKey"]),
            policy: Secrets::default(),
        }
    }
}

/// The secret keys and the policy that an open sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    pub(crate) keys: Option<Keys>,
    pub(crate) policy: Option<Secrets>,
}

impl Named {
    /// The keys and the policy that were set, or those that the store has recorded if none was set.
    pub(crate) fn over(&self, recorded: &SecretKeys) -> SecretKeys {
        SecretKeys {
            keys: self.keys.clone().unwrap_or_else(|| recorded.keys.clone()),
            policy: self.policy.unwrap_or(recorded.policy),
        }
    }
}

impl SecretKeys {
    /// Separates a request into its masked form and its unlisted part.
    pub(crate) fn keep(&self, request: Request) -> MaskedRequest {
        let body = request.body();
        let mut values = Values::default();
        let (mut masked, mut shown) = (String::new(), 0);
        let mut last_mask = 0;
        self.each_value(body, |value| {
            if body[value.clone()] == *MASK {
                // The value was masked before it was submitted.
                values.secrets_lost = true;
                return;
            }
            masked.push_str(&body[shown..value.start]);
            match self.policy {
                Secrets::MaskAtSubmit => values.secrets_lost = true,
                Secrets::MaskOnOutput => {
                    values.push(masked.len() - last_mask, &body[value.clone()]);
                    last_mask = masked.len() + MASK.len();
                }
            }
            masked.push_str(MASK);
            shown = value.end;
        });
        let unlisted = values.with_origin(request.origin()).to_bytes();
        let request = match shown {
            0 => request,
            _ => {
                masked.push_str(&body[shown..]);
                request.with_body(&masked)
            }
        };
        MaskedRequest { request, unlisted }
    }

    /// The masked form of a request, for comparison with stored requests.
    pub(crate) fn masked(&self, request: &Request) -> Request {
        self.keep(request.clone()).request
    }

    /// The masked form of compact JSON.
    pub(crate) fn masked_json<'a>(&self, json: &'a str) -> Cow<'a, str> {
        let (mut masked, mut shown) = (String::new(), 0);
        self.each_value(json, |value| {
            masked.push_str(&json[shown..value.start]);
            masked.push_str(MASK);
            shown = value.end;
        });
        match shown {
            0 => Cow::Borrowed(json),
            _ => Cow::Owned(masked + &json[shown..]),
        }
    }

    /// Calls `each` with the position of every value under a secret key, in order. For nested
    /// values, only the outermost is passed. `json` must be compact.
    fn each_value(&self, json: &str, mut each: impl FnMut(Range<usize>)) {
        if self.keys.is_empty() {
            return;
        }
        let bytes = json.as_bytes();
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'"', bytes.get(at..).unwrap_or_default()) {
            let start = at + found;
            at = end_of_string(bytes, start + 1);
            if bytes.get(at) == Some(&b':') && self.keys.has(&json[start..at]) {
                let value = at + 1..end_of_value(bytes, at + 1);
                at = value.end;
                each(value);
            }
        }
    }
}

/// A request as it is stored: its masked form, and its unlisted part.
#[derive(Clone)]
pub(crate) struct MaskedRequest {
    /// The masked form.
    pub(crate) request: Request,
    /// See [`Unlisted`].
    pub(crate) unlisted: Box<[u8]>,
}

impl MaskedRequest {
    /// Reads a masked request from its stored parts. `None` if they are invalid.
    pub(crate) fn from_stored(wire: &str, unlisted: &[u8]) -> Option<MaskedRequest> {
        let origin = Unlisted::read(unlisted)?.origin;
        Some(MaskedRequest {
            request: Request::from_stored(wire)?.with_valid_origin(origin),
            unlisted: unlisted.into(),
        })
    }

    /// The parts of the unlisted part, which was valid when the request was created.
    pub(crate) fn parts(&self) -> Unlisted<'_> {
        Unlisted::read(&self.unlisted).unwrap_or_default()
    }

    /// Marks the request as one whose secrets were masked before it was submitted.
    pub(crate) fn lose_secrets(mut self) -> MaskedRequest {
        let parts = Unlisted {
            secrets_lost: true,
            ..self.parts()
        };
        self.unlisted = parts.to_bytes();
        self
    }

    /// Whether secrets are stored with the request.
    pub(crate) fn has_values(&self) -> bool {
        self.parts().has_values()
    }

    /// The size of the request and its masked values, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (self.request.as_json().len() + self.parts().values.len()) as u64
    }

    /// Whether any of the values submitted in the request is unknown.
    pub(crate) fn secrets_lost(&self) -> bool {
        self.parts().secrets_lost
    }

    /// The request as submitted, as far as it is known. `None` if the stored parts are
    /// inconsistent.
    pub(crate) fn revealed(&self) -> Option<Request> {
        let parts = self.parts();
        if !parts.has_values() {
            return Some(self.request.clone());
        }
        let body = self.request.body();
        let mut real = String::with_capacity(body.len() + self.unlisted.len());
        let mut at = 0usize;
        parts.each_value(|distance, value| {
            let mask_at = at.checked_add(distance)?;
            real.push_str(body.get(at..mask_at)?);
            at = mask_at.checked_add(MASK.len())?;
            (body.get(mask_at..at)? == MASK).then_some(())?;
            real.push_str(value);
            Some(())
        })?;
        real.push_str(body.get(at..)?);
        let real = self.request.with_body(&real);
        Some(Request::from_stored(real.as_json())?.with_valid_origin(parts.origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::Body;

    fn request(body: &str) -> Request {
        Request::new("c", "/ges?a=1", Body::from_json(body).unwrap()).unwrap()
    }

    fn keys(names: &[&str]) -> SecretKeys {
        SecretKeys {
            keys: Keys::these(names.iter().copied()),
            ..SecretKeys::default()
        }
    }

    #[test]
    fn values_under_secret_keys_are_masked_and_come_back() {
        for (body, masked) in [
            (r#"{"accessKey":"AK"}"#, r#"{"accessKey":"******"}"#),
            (
                r#"{"a":[{"SECRETKEY":"x\"y,}"},2],"b":1}"#,
                r#"{"a":[{"SECRETKEY":"******"},2],"b":1}"#,
            ),
            (
                r#"{"secretKey":{"accessKey":[1,"}",{}]},"z":"secretKey"}"#,
                r#"{"secretKey":"******","z":"secretKey"}"#,
            ),
            (
                r#"{"secretKey":1.50,"accesskey":null,"AccessKey":[],"x":true}"#,
                r#"{"secretKey":"******","accesskey":"******","AccessKey":"******","x":true}"#,
            ),
            (
                r#"{"access\u004bey":"AK","accessKey ":"no"}"#,
                r#"{"access\u004bey":"******","accessKey ":"no"}"#,
            ),
            (
                r#"{"secretKey":"a","secretKey":"b"}"#,
                r#"{"secretKey":"******","secretKey":"******"}"#,
            ),
        ] {
            let real = request(body);
            let masked_request = SecretKeys::default().keep(real.clone());
            assert_eq!(masked_request.request.body(), masked);
            assert_eq!(masked_request.revealed().unwrap().as_json(), real.as_json());
            assert!(!masked_request.secrets_lost());
            let stored = MaskedRequest::from_stored(
                masked_request.request.as_json(),
                &masked_request.unlisted,
            )
            .unwrap();
            assert_eq!(stored.revealed().unwrap().as_json(), real.as_json());
        }
    }

    #[test]
    fn nothing_is_kept_of_a_request_without_secrets() {
        let plain = request(r#"{"key":"accessKey","access":{"Key":1}}"#);
        let masked_request = SecretKeys::default().keep(plain.clone());
        assert_eq!(masked_request.request.as_json(), plain.as_json());
        assert!(masked_request.unlisted.is_empty());
        let secret = request(r#"{"accessKey":1}"#);
        let masked_request = keys(&[]).keep(secret.clone());
        assert_eq!(masked_request.request.as_json(), secret.as_json());
    }

    /// Tests the behavior documented at [`Secrets`].
    #[test]
    fn what_is_not_under_a_secret_key_is_not_found() {
        let body =
            r#"{"access_key":"AK","json":"{\"secretKey\":\"SK\"}","list":["secretKey","SK"]}"#;
        let request = Request::new("c", "/ges?secretKey=SK", Body::from_json(body).unwrap());
        let masked_request = SecretKeys::default().keep(request.unwrap());
        assert_eq!(masked_request.request.body(), body);
        assert_eq!(masked_request.request.url(), "/ges?secretKey=SK");
        let masked_request = keys(&["access_key", "json", "list"]).keep(masked_request.request);
        let masked = r#"{"access_key":"******","json":"******","list":"******"}"#;
        assert_eq!(masked_request.request.body(), masked);
    }

    #[test]
    fn keys_are_compared_without_case_in_any_script() {
        let masked_request = keys(&["Passwört"]).keep(request(r#"{"PASSWÖRT":1,"passwort":2}"#));
        assert_eq!(
            masked_request.request.body(),
            r#"{"PASSWÖRT":"******","passwort":2}"#
        );
    }

    #[test]
    fn where_nobody_knows_the_keys_every_one_is_secret() {
        let real = request(r#"[{"a":1},{"b":{"c":"d"}},"e"]"#);
        let every = SecretKeys {
            keys: Keys::Every,
            ..SecretKeys::default()
        };
        let masked_request = every.keep(real.clone());
        assert_eq!(
            masked_request.request.body(),
            r#"[{"a":"******"},{"b":"******"},"e"]"#
        );
        assert_eq!(masked_request.revealed().unwrap().as_json(), real.as_json());
    }

    #[test]
    fn what_is_masked_at_submit_is_not_kept() {
        let keys = SecretKeys {
            policy: Secrets::MaskAtSubmit,
            ..SecretKeys::default()
        };
        let masked_request = keys.keep(request(r#"{"secretKey":"hunter2","a":1}"#));
        assert_eq!(&*masked_request.unlisted, [1]);
        assert!(masked_request.secrets_lost());
        let shown = masked_request.revealed().unwrap();
        assert_eq!(shown.body(), r#"{"secretKey":"******","a":1}"#);
    }

    #[test]
    fn what_comes_masked_is_known_to_have_lost_secrets_and_the_rest_is_kept() {
        let body = r#"{"accessKey":"******","secretKey":"s"}"#;
        let masked_request = SecretKeys::default().keep(request(body));
        assert!(masked_request.secrets_lost());
        assert_eq!(masked_request.revealed().unwrap().body(), body);
        assert!(!masked_request.request.body().contains("\"s\""));
    }

    #[test]
    fn secrets_that_do_not_fit_are_refused() {
        let masked_request = SecretKeys::default().keep(request(r#"{"accessKey":"AK"}"#));
        let wire = masked_request.request.as_json();
        for secrets in [
            &[0u8, 200][..],
            &[0, 1, 1, b'x'],
            &[0, 0, 9, b'x'],
            &[0, 13, 1, 0xff],
            &[0, 13, 1, b'{'],
            &[0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0],
        ] {
            let stored = MaskedRequest::from_stored(wire, secrets).unwrap();
            assert!(stored.revealed().is_none(), "{secrets:?}");
        }
    }
}
