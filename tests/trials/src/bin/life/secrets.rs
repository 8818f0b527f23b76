//! Which values in a life's requests and outcomes are secret, and how they are shown.

use jobstore::{Options, Secrets};
use jobstore_trials::random::Random;

use crate::requests::Content;

/// Keys that may be secret. Each bit stands for one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys(pub u8);

pub const ACCESS_KEY: u8 = 1;
pub const SECRET_KEY: u8 = 2;
pub const TOKEN: u8 = 4;
pub const PASSWORD: u8 = 8;
const NAMES: [&str; 4] = ["accessKey", "SecretKey", "token", "password"];

/// The replacement for a value under a secret key.
const MASK: &str = r#""******""#;

impl Keys {
    pub fn has(self, key: u8) -> bool {
        self.0 & key != 0
    }

    pub fn and(self, further: Keys) -> Keys {
        Keys(self.0 | further.0)
    }

    /// Returns a value under a key as it is shown.
    pub fn shown(self, key: u8, value: &str) -> String {
        match self.has(key) {
            true => MASK.to_owned(),
            false => value.to_owned(),
        }
    }
}

/// The keys that a store masks, and whether it masks them at submission or on output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretKeys {
    pub keys: Keys,
    pub at_submit: bool,
}

impl SecretKeys {
    pub fn draw(random: &mut Random) -> SecretKeys {
        SecretKeys {
            keys: Keys(random.below(16) as u8),
            at_submit: random.one_in(3),
        }
    }

    pub fn apply(self, options: Options) -> Options {
        let names = (0..NAMES.len()).filter(|n| self.keys.has(1 << n));
        options
            .secret_keys(names.map(|n| NAMES[n]))
            .secrets(match self.at_submit {
                true => Secrets::MaskAtSubmit,
                false => Secrets::MaskOnOutput,
            })
    }

    /// Returns the keys whose values are not stored.
    pub fn lost(self) -> Keys {
        match self.at_submit {
            true => self.keys,
            false => Keys(0),
        }
    }
}

/// What is hidden of a request's secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// The keys whose values are masked in lists.
    pub masked: Keys,
    /// The keys whose values are masked even in the request that a worker gets.
    pub lost: Keys,
    /// Whether a value of the original request is lost.
    pub secrets_lost: bool,
}

impl Hidden {
    /// Returns the state of a submitted request.
    pub fn at_submit(content: Content, secrets: SecretKeys) -> Hidden {
        Hidden {
            masked: secrets.keys,
            lost: secrets.lost(),
            secrets_lost: secrets.at_submit && content.has_any(secrets.keys),
        }
    }

    /// Returns the state of this request after it is imported in the form that a worker gets.
    pub fn again(self, content: Content, secrets: SecretKeys) -> Hidden {
        Hidden {
            masked: secrets.keys.and(self.lost),
            lost: secrets.lost().and(self.lost),
            secrets_lost: self.secrets_lost || secrets.at_submit && content.has_any(secrets.keys),
        }
    }
}

const DETAIL_START: &str = r#"{"accessKey":"#;
const DETAIL_SECRET: &str = r#""detail-secret""#;

/// Returns a detail that contains a secret.
pub fn detail(text: &str) -> String {
    format!(r#"{DETAIL_START}{DETAIL_SECRET},"d":"{text}"}}"#)
}

/// Returns a detail as it is shown.
pub fn masked_detail(detail: &str, keys: Keys) -> String {
    let secret = format!("{DETAIL_START}{DETAIL_SECRET}");
    match keys.has(ACCESS_KEY) {
        true => detail.replacen(&secret, &format!("{DETAIL_START}{MASK}"), 1),
        false => detail.to_owned(),
    }
}
