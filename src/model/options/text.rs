// Options as text, for command lines, configuration files, and other languages.

use std::time::Duration;

use super::{Durability, Options, Recovery};
use crate::model::error::{Error, Result, excerpt, invalid_value};
use crate::model::replica::TakeOver;
use crate::model::secrets::Secrets;

/// The names of all options that can be set as text.
const NAMES: [&str; 17] = [
    "cache_bytes",
    "segment_bytes",
    "max_request_bytes",
    "max_queue_bytes",
    "page_threads",
    "durability",
    "recovery",
    "close_timeout_ms",
    "snapshot_timeout_ms",
    "create",
    "read_only",
    "secret_keys",
    "secrets",
    "take_over",
    "replica_timeout_ms",
    "reseed",
    "detach_replica",
];

impl Options {
    /// Sets an option as text. The names are those of the other methods. Times are in milliseconds,
    /// and the names of these options end in `_ms`. A range is checked when the store is opened.
    ///
    /// | option | values |
    /// |---|---|
    /// | `cache_bytes`, `segment_bytes`, `max_request_bytes`, `max_queue_bytes`, `page_threads`, `close_timeout_ms`, `snapshot_timeout_ms`, `replica_timeout_ms` | a number |
    /// | `create`, `read_only`, `reseed`, `detach_replica` | `true`, `false` |
    /// | `durability` | `synced`; `interval:50` for [`Durability::Interval`] of 50 ms |
    /// | `recovery` | `interrupt`, `requeue`, `leave` |
    /// | `secret_keys` | keys, separated by commas; the empty string for none |
    /// | `secrets` | `mask_on_output`, `mask_at_submit` |
    /// | `take_over` | `now`; `if_quiet:5000` for [`TakeOver::IfQuiet`] of 5 s |
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] names the option and the allowed values.
    ///
    /// # Examples
    /// ```
    /// use jobstore::JobStore;
    /// let options = JobStore::options().set("recovery", "requeue")?.set("page_threads", "1")?;
    /// let store = options.in_memory()?;
    /// let error = JobStore::options().set("recovery", "restart").unwrap_err();
    /// assert!(error.to_string().contains("interrupt, requeue, or leave"));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn set(self, name: &str, value: &str) -> Result<Options> {
        let refused = |allowed| {
            let problem = invalid_value(name, value, allowed, "correct it");
            let problem = problem.replacen(" for parameter ", " for option ", 1);
            Error::InvalidParameter { problem }
        };
        let number = || number(value).ok_or_else(|| refused("a number"));
        let time = || Ok(Duration::from_millis(number()?));
        let flag = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(refused("true or false")),
        };
        Ok(match name {
            "cache_bytes" => self.cache_bytes(number()?),
            "segment_bytes" => self.segment_bytes(number()?),
            "max_request_bytes" => self.max_request_bytes(number()?),
            "max_queue_bytes" => self.max_queue_bytes(number()?),
            "page_threads" => self.page_threads(usize::try_from(number()?).unwrap_or(usize::MAX)),
            "close_timeout_ms" => self.close_timeout(time()?),
            "snapshot_timeout_ms" => self.snapshot_timeout(time()?),
            "replica_timeout_ms" => self.replica_timeout(time()?),
            "create" => self.create(flag()?),
            "read_only" => self.read_only(flag()?),
            "reseed" => self.reseed(flag()?),
            "detach_replica" => self.detach_replica(flag()?),
            "durability" => self.durability(match (value, after(value, "interval:")) {
                ("synced", _) => Durability::Synced,
                (_, Some(interval)) => Durability::Interval(interval),
                _ => return Err(refused("synced or interval:MILLISECONDS")),
            }),
            "take_over" => self.take_over(match (value, after(value, "if_quiet:")) {
                ("now", _) => TakeOver::Now,
                (_, Some(time)) => TakeOver::IfQuiet(time),
                _ => return Err(refused("now or if_quiet:MILLISECONDS")),
            }),
            "recovery" => self.recovery(match value {
                "interrupt" => Recovery::Interrupt,
                "requeue" => Recovery::Requeue,
                "leave" => Recovery::Leave,
                _ => return Err(refused("interrupt, requeue, or leave")),
            }),
            "secrets" => self.secrets(match value {
                "mask_on_output" => Secrets::MaskOnOutput,
                "mask_at_submit" => Secrets::MaskAtSubmit,
                _ => return Err(refused("mask_on_output or mask_at_submit")),
            }),
            "secret_keys" => self.secret_keys(value.split(',').filter(|_| !value.is_empty())),
            _ => {
                let (name, known) = (excerpt(name), NAMES.join(", "));
                let problem = format!("unknown option {name:?}; known options: {known}");
                return Err(Error::InvalidParameter { problem });
            }
        })
    }
}

/// Parses digits only; `parse` would accept a sign.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

/// The milliseconds after a prefix.
fn after(text: &str, prefix: &str) -> Option<Duration> {
    Some(Duration::from_millis(number(text.strip_prefix(prefix)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_name_and_rejects_other_values() {
        for name in NAMES {
            let given = if name == "secret_keys" { "" } else { "-1" };
            let refused = Options::default().set(name, given);
            let problem = refused.err().map(|error| error.to_string());
            match (name, problem) {
                ("secret_keys", None) => {}
                (_, Some(problem)) => {
                    let start = format!("invalid value \"-1\" for option {name}: it must be ");
                    assert!(problem.starts_with(&start), "{problem}");
                }
                (_, None) => panic!("{name} was accepted"),
            }
        }
        let unknown = Options::default()
            .set("cache", "1")
            .unwrap_err()
            .to_string();
        assert!(unknown.starts_with("unknown option \"cache\"; known options: cache_bytes, "));
    }

    #[test]
    fn values_arrive_where_the_methods_put_them() {
        let set = |name: &str, value: &str| Options::default().set(name, value).unwrap();
        let same = |a: Options, b: Options| assert_eq!(format!("{a:?}"), format!("{b:?}"));
        let default = Options::default;
        same(set("cache_bytes", "7"), default().cache_bytes(7));
        same(set("create", "false"), default().create(false));
        same(set("read_only", "true"), default().read_only(true));
        let ms = Duration::from_millis;
        same(set("close_timeout_ms", "9"), default().close_timeout(ms(9)));
        same(
            set("durability", "interval:50"),
            default().durability(Durability::Interval(ms(50))),
        );
        same(
            set("take_over", "if_quiet:5"),
            default().take_over(TakeOver::IfQuiet(ms(5))),
        );
        same(
            set("secret_keys", "password,token"),
            default().secret_keys(["password", "token"]),
        );
        same(
            set("secrets", "mask_at_submit"),
            default().secrets(Secrets::MaskAtSubmit),
        );
    }
}
