//! Requests and outcomes, and their expected text in the store.

use jobstore::{Body, Outcome, OutcomeKind, Request};
use jobstore_trials::random::Random;

use crate::secrets::{ACCESS_KEY, Keys, PASSWORD, SECRET_KEY, TOKEN, detail};

/// The variable parts of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub kind: u8,
    pub number: u16,
    pub filler: u32,
}

const COMMANDS: [&str; 3] = ["import_graph", "clear_graph", "pagerank"];
impl Content {
    pub fn draw(random: &mut Random) -> Content {
        let filler = match random.below(40) {
            // Some requests are so large that they are stored in pieces.
            0 if random.one_in(8) => 280_000 + random.below(100_000),
            0 => 20_000 + random.below(60_000),
            1..=4 => random.below(8_000),
            _ => random.below(200),
        };
        Content {
            kind: random.below(32) as u8,
            number: random.below(40) as u16,
            filler: filler as u32,
        }
    }

    pub fn command(self) -> &'static str {
        COMMANDS[usize::from(self.kind % 3)]
    }

    pub fn url(self) -> String {
        format!("/ges/v1.0/10001/action?n={}", self.number % 7)
    }

    /// Returns the body, with the values under these keys masked.
    fn body(self, masked: Keys) -> String {
        let text = filler(u64::from(self.number), self.filler as usize);
        let of = |key, value: &str| masked.shown(key, value);
        let secret = format!("\"secret-{}\"", self.number);
        let members = match self.kind >> 2 {
            3 => format!(r#""accessKey":{},"#, of(ACCESS_KEY, &secret)),
            4 => {
                let inner = of(ACCESS_KEY, &secret);
                let value = format!(r#"{{"accessKey":{inner},"a":[1,"x\"}}"]}}"#);
                format!(r#""token":{},"#, of(TOKEN, &value))
            }
            5 => format!(
                r#""password":{},"secretKey":{},"#,
                of(PASSWORD, &secret),
                of(SECRET_KEY, "1.50")
            ),
            6 => format!(
                r#""list":[{{"ACCESSKEY":{}}},"accessKey"],"#,
                of(ACCESS_KEY, "null")
            ),
            _ => String::new(),
        };
        format!(r#"{{"n":{},{members}"t":"{text}"}}"#, self.number)
    }

    /// Returns the keys in the body that may be secret.
    fn keys(self) -> Keys {
        Keys(match self.kind >> 2 {
            3 | 6 => ACCESS_KEY,
            4 => TOKEN | ACCESS_KEY,
            5 => PASSWORD | SECRET_KEY,
            _ => 0,
        })
    }

    pub fn has_any(self, keys: Keys) -> bool {
        self.keys().0 & keys.0 != 0
    }

    /// Returns the origin, if the request has one.
    pub fn origin(self) -> Option<String> {
        let user = self.number % 5;
        (user > 0).then(|| format!("user {user}"))
    }

    pub fn request(self) -> Request {
        let body = Body::from_json(self.body(Keys(0))).expect("a body");
        let request = Request::new(self.command(), self.url(), body).expect("a request");
        let origin = self.origin().unwrap_or_default();
        request.with_origin(origin).expect("a request")
    }

    /// Returns the request as it is imported.
    pub fn imported_text(self) -> String {
        let mut text = self.text(Keys(0));
        if let Some(origin) = self.origin() {
            text.pop();
            text.push_str(&format!(r#","origin":"{origin}"}}"#));
        }
        text
    }

    /// Returns the whole request, with the values under these keys masked.
    pub fn text(self, masked: Keys) -> String {
        format!(
            r#"{{"command":"{}","url":"{}","body":{}}}"#,
            self.command(),
            self.url(),
            self.body(masked)
        )
    }

    pub fn bytes(self) -> u64 {
        u64::from(self.filler) + 96
    }
}

/// Returns text that cannot be compressed.
pub fn filler(seed: u64, len: usize) -> String {
    let mut random = Random(seed.wrapping_mul(77).wrapping_add(len as u64));
    let digits = b"0123456789abcdefghijklmnopqrstuv";
    (0..len)
        .map(|_| char::from(digits[random.below(32) as usize]))
        .collect()
}

/// How a job is to be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub kind: u8,
    pub message: u32,
    pub detail: u32,
    pub result_ref: bool,
    /// Whether the detail has a value under a secret key.
    pub has_secret: bool,
}

/// The size of a message that every release accepts unchanged.
pub const MESSAGE_BYTES_SAFE: usize = 8 << 10;

impl End {
    pub fn draw(random: &mut Random) -> End {
        let message = match random.below(30) {
            0 => 8_000 + random.below(3_000),
            _ => random.below(60),
        };
        let detail = match random.below(12) {
            0 => random.below(60_000),
            1..=3 => random.below(300),
            _ => 0,
        };
        End {
            kind: random.below(5) as u8,
            message: message as u32,
            detail: detail as u32,
            result_ref: random.one_in(4),
            has_secret: random.one_in(2),
        }
    }

    pub fn outcome(self) -> Outcome {
        let message = filler(3, self.message as usize);
        let mut outcome = match self.kind {
            0 => Outcome::succeeded(),
            1 => Outcome::partially_failed("GES.1", message),
            2 => Outcome::failed("GES.2", message),
            3 => Outcome::cancelled(),
            _ => Outcome::interrupted(),
        };
        if self.detail > 0 {
            let text = filler(4, self.detail as usize);
            let detail = match self.has_secret {
                true => detail(&text),
                false => format!("\"{text}\""),
            };
            outcome = outcome.with_detail_json(detail).expect("a detail");
        }
        if self.result_ref {
            outcome = outcome.with_result_ref("s3://bucket/key").expect("a ref");
        }
        outcome
    }

    /// Returns whether a release may refuse the outcome, or truncate its message.
    pub fn is_long(self) -> bool {
        matches!(self.kind, 1 | 2) && self.message as usize > MESSAGE_BYTES_SAFE
    }
}

/// An outcome as plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeFact {
    pub kind: OutcomeKind,
    pub code: Option<String>,
    pub message: Option<String>,
    pub detail: Option<String>,
    pub result_ref: Option<String>,
    pub boot: Option<u64>,
}

impl OutcomeFact {
    pub fn of(outcome: &Outcome) -> OutcomeFact {
        OutcomeFact {
            kind: outcome.kind(),
            code: outcome.code().map(str::to_owned),
            message: outcome.message().map(str::to_owned),
            detail: outcome.detail().map(str::to_owned),
            result_ref: outcome.result_ref().map(str::to_owned),
            boot: outcome.recovered_at_open(),
        }
    }

    pub fn plain(kind: OutcomeKind, boot: Option<u64>) -> OutcomeFact {
        OutcomeFact {
            kind,
            code: None,
            message: None,
            detail: None,
            result_ref: None,
            boot,
        }
    }

    /// Returns whether this is the expected outcome. If the expected message is longer than every
    /// release accepts, the message may be truncated.
    pub fn is(&self, expected: &OutcomeFact) -> bool {
        if self == expected {
            return true;
        }
        let shortened = |seen: &str, whole: &str| {
            whole.len() > MESSAGE_BYTES_SAFE
                && seen.len() >= MESSAGE_BYTES_SAFE / 2
                && seen.get(..1024) == whole.get(..1024)
        };
        match (&self.message, &expected.message) {
            (Some(seen), Some(whole)) if shortened(seen, whole) => {
                let mut same = self.clone();
                same.message.clone_from(&expected.message);
                same == *expected
            }
            _ => false,
        }
    }

    pub fn bytes(&self) -> u64 {
        let texts = [&self.code, &self.message, &self.detail, &self.result_ref];
        texts
            .iter()
            .filter_map(|t| t.as_ref())
            .map(|t| t.len() as u64)
            .sum()
    }
}
