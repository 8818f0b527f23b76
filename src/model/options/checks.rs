// The ranges of the options.

use std::time::Duration;

use super::{Durability, Options};
use crate::model::error::{Error, Result};
use crate::model::secrets::Keys;

impl Options {
    pub(crate) fn check(&self) -> Result<()> {
        self.named_secrets
            .keys
            .as_ref()
            .map_or(Ok(()), Keys::check)?;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let interval_ms = match self.durability {
            Durability::Interval(interval) => ms(interval),
            Durability::Synced => 1,
        };
        for (option, given, min, max, allowed) in [
            (
                "cache_bytes",
                self.cache_bytes,
                4 << 20,
                1 << 40,
                "4 MiB to 1 TiB",
            ),
            (
                "segment_bytes",
                self.segment_bytes,
                64 << 10,
                1 << 30,
                "64 KiB to 1 GiB",
            ),
            (
                "max_request_bytes",
                self.max_request_bytes,
                1 << 10,
                256 << 20,
                "1 KiB to 256 MiB",
            ),
            (
                "max_queue_bytes",
                self.max_queue_bytes,
                64 << 10,
                16 << 30,
                "64 KiB to 16 GiB",
            ),
            ("page_threads", self.page_threads as u64, 1, 64, "1 to 64"),
            (
                "durability interval in ms",
                interval_ms,
                1,
                60_000,
                "1 ms to 60 s",
            ),
            (
                "close_timeout in ms",
                ms(self.close_timeout),
                1,
                3_600_000,
                "1 ms to 1 h",
            ),
            (
                "replica_timeout in ms",
                ms(self.replica_timeout),
                100,
                3_600_000,
                "100 ms to 1 h",
            ),
            (
                "snapshot_timeout in ms",
                ms(self.snapshot_timeout),
                1_000,
                86_400_000,
                "1 s to 1 day",
            ),
        ] {
            if !(min..=max).contains(&given) {
                return Err(Error::InvalidOption {
                    option,
                    given,
                    allowed,
                });
            }
        }
        Ok(())
    }
}
