//! Who holds a replica: the text of a claim.

use std::fmt;
use std::time::{Duration, SystemTime};

/// The process that made a claim, which is only shown, and what it does with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) host: String,
    pub(crate) process: u32,
    /// By the holder's system clock.
    pub(crate) since_ms: u64,
    /// Whether the log before the claim is replaced by the checkpoint that follows it.
    pub(crate) reseeds: bool,
}

/// A longer text in a claim is not shown.
const HOST_BYTES_MAX: usize = 256;

impl Holder {
    /// This process.
    pub(crate) fn here(now_ms: u64) -> Holder {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        Holder {
            host: printable(&host),
            process: std::process::id(),
            since_ms: now_ms,
            reseeds: false,
        }
    }

    pub(crate) fn text(&self) -> String {
        let Holder {
            host,
            process,
            since_ms,
            reseeds,
        } = self;
        let reseeds = if *reseeds { "reseeds\n" } else { "" };
        format!("host {host}\nprocess {process}\nsince {since_ms}\n{reseeds}")
    }

    /// Reads a claim's text. What cannot be read is shown as unknown.
    pub(crate) fn parse(text: &[u8]) -> Holder {
        let text = String::from_utf8_lossy(text);
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        let number = |name| field(name).and_then(|number| number.parse().ok());
        Holder {
            host: field("host").map_or_else(|| "an unknown host".to_owned(), printable),
            process: number("process").unwrap_or(0) as u32,
            since_ms: number("since").unwrap_or(0),
            reseeds: text.lines().any(|line| line == "reseeds"),
        }
    }

    pub(crate) fn since(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(self.since_ms))
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

fn printable(host: &str) -> String {
    let shown = host.chars().filter(|c| !c.is_control());
    let mut shown: String = shown.collect();
    let mut end = shown.len().min(HOST_BYTES_MAX);
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    shown.truncate(end);
    shown
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            0 => f.write_str("an unknown process"),
            process => write!(f, "process {process} on {}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_comes_back_and_any_bytes_are_read() {
        let mut holder = Holder::here(1_700_000_000_000);
        for reseeds in [false, true] {
            holder.reseeds = reseeds;
            assert_eq!(Holder::parse(holder.text().as_bytes()), holder);
        }
        assert_eq!(holder.process, std::process::id());
        let strange = Holder::parse(b"host a\x1b[1m\nprocess x\nsince 99999999999999999999\n\xff");
        assert_eq!(strange.host, "a[1m");
        assert_eq!((strange.process, strange.since_ms), (0, 0));
        assert_eq!(strange.to_string(), "an unknown process");
        strange.since();
        let far = Holder {
            since_ms: u64::MAX,
            ..strange
        };
        assert_eq!(far.since(), far.since());
    }
}
