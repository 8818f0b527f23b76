//! A checkpoint: a blob that lists the blobs which, together, replace all chunks up to a number.

use crate::log::file_names;
use crate::log::segment::SEGMENT_HEADER_BYTES;
use crate::model::error::Result;
use crate::model::store_id::StoreId;
use crate::replica::calls::Calls;
use crate::replica::chunk::REPLICA_FORMAT;

/// Where checkpoints are.
pub(crate) const CHECKPOINTS: &str = "cp/";
/// Where packs are.
pub(crate) const PACKS: &str = "packs/";
/// Where parts of segments are.
pub(crate) const PARTS: &str = "parts/";
/// A checkpoint that is longer than this is damaged.
const BYTES_MAX: u64 = 256 << 20;

/// A copy of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackBlob {
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    pub(crate) len: u64,
    /// The last bytes of the file, which identify it among all packs with the same events.
    pub(crate) tail: u128,
    /// The XXH3 hash (128 bits) of the contents.
    pub(crate) hash: u128,
    pub(crate) name: String,
}

/// A copy of some bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartBlob {
    pub(crate) epoch: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) hash: u128,
    pub(crate) name: String,
}

/// The contents of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) store: StoreId,
    pub(crate) reign: u128,
    /// The number of the last chunk that the checkpoint replaces.
    pub(crate) through: u64,
    /// The number of the checkpoint among those of its writer, from 1 on.
    pub(crate) serial: u64,
    /// The LSN after the last event.
    pub(crate) end_lsn: u64,
    pub(crate) packs: Vec<PackBlob>,
    /// In order: the parts of a segment are contiguous, and begin at offset 0.
    pub(crate) parts: Vec<PartBlob>,
    /// The numbers of all claims up to the last chunk that the checkpoint replaces.
    pub(crate) claims: Vec<u64>,
    /// The text of `SECRET-KEYS`, if the store has that file.
    pub(crate) secret_keys: Option<String>,
    /// Whether it replaces the log before its writer's claim by other contents. It counts only once
    /// the writer's next chunk exists.
    pub(crate) reseeds: bool,
}

/// The place of a checkpoint in the order of all checkpoints: the highest is the newest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CheckpointName {
    pub(crate) through: u64,
    serial: u64,
    reign: u128,
}

impl CheckpointName {
    /// Parses the name of a checkpoint's blob.
    pub(crate) fn parse(name: &str) -> Option<CheckpointName> {
        let mut parts = name.strip_prefix(CHECKPOINTS)?.split('.');
        let parsed = CheckpointName {
            through: parts.next()?.parse().ok()?,
            serial: parts.next()?.parse().ok()?,
            reign: u128::from_str_radix(parts.next()?, 16).ok()?,
        };
        (parsed.name() == name).then_some(parsed)
    }

    pub(crate) fn name(&self) -> String {
        let CheckpointName {
            through,
            serial,
            reign,
        } = self;
        format!("{CHECKPOINTS}{through:020}.{serial:020}.{reign:032x}")
    }
}

impl Checkpoint {
    pub(crate) fn name(&self) -> CheckpointName {
        CheckpointName {
            through: self.through,
            serial: self.serial,
            reign: self.reign,
        }
    }

    /// The names of the blobs that it needs.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = (&str, u64)> {
        let packs = self.packs.iter().map(|pack| (pack.name.as_str(), pack.len));
        let parts = self.parts.iter();
        packs.chain(parts.map(|part| (part.name.as_str(), part.to - part.from)))
    }

    /// The parts up to the last segment that has a frame.
    ///
    /// The header of a segment is sent to the log together with the first frame. Until then, another
    /// writer that does not see this checkpoint may continue the log with another segment.
    pub(crate) fn parts_with_frames(&self) -> &[PartBlob] {
        let has_frames = |part: &PartBlob| part.to > SEGMENT_HEADER_BYTES as u64;
        let count = self.parts.iter().rposition(has_frames).map_or(0, |n| n + 1);
        &self.parts[..count]
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "jobstore checkpoint\nformat {REPLICA_FORMAT}\nstore {:032x}\nreign {:032x}\nthrough \
             {}\nserial {}\nend {}\n",
            self.store.0, self.reign, self.through, self.serial, self.end_lsn
        );
        for pack in &self.packs {
            let PackBlob {
                first_lsn,
                last_lsn,
                len,
                tail,
                hash,
                name,
            } = pack;
            text += &format!("pack {first_lsn} {last_lsn} {len} {tail:032x} {hash:032x} {name}\n");
        }
        for part in &self.parts {
            let PartBlob {
                epoch,
                from,
                to,
                hash,
                name,
            } = part;
            text += &format!("part {epoch} {from} {to} {hash:032x} {name}\n");
        }
        text += "claims";
        for claim in &self.claims {
            text += &format!(" {claim}");
        }
        text.push('\n');
        if let Some(keys) = &self.secret_keys {
            let quoted = serde_json::Value::from(keys.as_str());
            text += &format!("secret-keys {quoted}\n");
        }
        if self.reseeds {
            text += "reseeds\n";
        }
        let crc = crc32fast::hash(text.as_bytes());
        text + &format!("crc {crc:08x}\n")
    }

    /// Reads a checkpoint. Returns the format instead if it is newer than this release's.
    fn parse(text: &str) -> Result<Checkpoint, Option<u32>> {
        let mut lines = text.lines();
        if lines.next() != Some("jobstore checkpoint") {
            return Err(None);
        }
        let format = lines.next().and_then(|line| line.strip_prefix("format "));
        match format.and_then(|format| format.parse::<u32>().ok()) {
            Some(REPLICA_FORMAT) => {}
            Some(newer) if newer > REPLICA_FORMAT => return Err(Some(newer)),
            _ => return Err(None),
        }
        // Anything but the exact text that would be written is treated as damaged.
        match Checkpoint::fields(lines) {
            Some(parsed) if parsed.text() == text && parsed.is_possible() => Ok(parsed),
            _ => Err(None),
        }
    }

    fn fields<'t>(mut lines: impl Iterator<Item = &'t str>) -> Option<Checkpoint> {
        fn hex(text: &str) -> Option<u128> {
            u128::from_str_radix(text, 16).ok()
        }
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let mut parsed = Checkpoint {
            store: StoreId(hex(value("store")?)?),
            reign: hex(value("reign")?)?,
            through: value("through")?.parse().ok()?,
            serial: value("serial")?.parse().ok()?,
            end_lsn: value("end")?.parse().ok()?,
            packs: Vec::new(),
            parts: Vec::new(),
            claims: Vec::new(),
            secret_keys: None,
            reseeds: false,
        };
        for line in lines {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let mut words = rest.split(' ');
            match name {
                "pack" => parsed.packs.push(PackBlob {
                    first_lsn: words.next()?.parse().ok()?,
                    last_lsn: words.next()?.parse().ok()?,
                    len: words.next()?.parse().ok()?,
                    tail: hex(words.next()?)?,
                    hash: hex(words.next()?)?,
                    name: words.next()?.to_owned(),
                }),
                "part" => parsed.parts.push(PartBlob {
                    epoch: words.next()?.parse().ok()?,
                    from: words.next()?.parse().ok()?,
                    to: words.next()?.parse().ok()?,
                    hash: hex(words.next()?)?,
                    name: words.next()?.to_owned(),
                }),
                "claims" => {
                    let claims = words.filter(|word| !word.is_empty());
                    let claims: Result<_, _> = claims.map(str::parse).collect();
                    parsed.claims = claims.ok()?;
                }
                "secret-keys" => parsed.secret_keys = serde_json::from_str(rest).ok()?,
                "reseeds" => parsed.reseeds = true,
                "crc" => {}
                _ => return None,
            }
        }
        Some(parsed)
    }

    /// Whether the lists are consistent: packs and parts in order, without gaps.
    fn is_possible(&self) -> bool {
        let mut next_lsn = 1;
        let packs = self.packs.iter().all(|pack| {
            let joins = pack.first_lsn == next_lsn && pack.last_lsn >= pack.first_lsn;
            next_lsn = pack.last_lsn.saturating_add(1);
            joins && pack.len < u64::MAX / 2
        });
        let mut end: Option<(u64, u64)> = None;
        let parts = self.parts.iter().all(|part| {
            let begins = part.from == 0 && end.is_none_or(|(epoch, _)| epoch < part.epoch);
            let adjoins = end == Some((part.epoch, part.from));
            end = Some((part.epoch, part.to));
            (begins || adjoins) && part.from < part.to && part.to < u64::MAX / 2
        });
        let claims = self.claims.is_sorted() && self.claims.last() <= Some(&self.through);
        packs && parts && claims && next_lsn <= self.end_lsn
    }

    /// Reads a checkpoint. `None` if it does not exist (anymore).
    pub(crate) fn read(
        calls: &Calls<'_>,
        name: &CheckpointName,
        len: u64,
    ) -> Result<Option<Checkpoint>> {
        let blob = name.name();
        let damaged = || calls.damaged(&format!("checkpoint {blob} is corrupt"));
        if len > BYTES_MAX {
            return Err(damaged());
        }
        let Some(bytes) = calls.blob(&blob, len)? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
        match Checkpoint::parse(text) {
            Ok(parsed) if parsed.name() == *name => Ok(Some(parsed)),
            Err(Some(newer)) => Err(calls.newer(newer)),
            Ok(_) | Err(None) => Err(damaged()),
        }
    }

    /// The checkpoints that exist, the newest first, each with its length.
    pub(crate) fn list(calls: &Calls<'_>) -> Result<Vec<(CheckpointName, u64)>> {
        let names = calls.repeat(|replica| replica.names(CHECKPOINTS))?;
        let parsed = names
            .iter()
            .filter_map(|(name, len)| Some((CheckpointName::parse(name)?, *len)));
        let mut all: Vec<_> = parsed.collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        Ok(all)
    }
}

impl PackBlob {
    /// The name of the pack's file in a store's directory.
    pub(crate) fn file_name(&self) -> String {
        file_names::pack(self.first_lsn, self.last_lsn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let pack = |first_lsn, last_lsn| PackBlob {
            first_lsn,
            last_lsn,
            len: 100,
            tail: 7,
            hash: u128::MAX,
            name: format!("packs/{:032x}-{first_lsn}-{last_lsn}-5", 3),
        };
        let part = |epoch, from, to| PartBlob {
            epoch,
            from,
            to,
            hash: 9,
            name: format!("parts/{:032x}-{epoch}-{from}-{to}", 3),
        };
        Checkpoint {
            store: StoreId(1),
            reign: 3,
            through: 12,
            serial: 15,
            end_lsn: 40,
            packs: vec![pack(1, 10), pack(11, 20)],
            parts: vec![part(4, 0, 64), part(4, 64, 80), part(6, 0, 100)],
            claims: vec![1, 7],
            secret_keys: Some("key \"a\"\n".to_owned()),
            reseeds: true,
        }
    }

    #[test]
    fn a_checkpoint_comes_back_and_no_altered_one_is_accepted() {
        let checkpoint = sample();
        let text = checkpoint.text();
        assert_eq!(Checkpoint::parse(&text), Ok(checkpoint.clone()));
        let name = checkpoint.name();
        assert_eq!(CheckpointName::parse(&name.name()), Some(name));
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] ^= 1;
            if let Ok(altered) = String::from_utf8(altered) {
                assert!(Checkpoint::parse(&altered).is_err(), "byte {at}");
            }
            assert!(Checkpoint::parse(&text[..at]).is_err());
        }
        let newer = text.replacen("format 1", "format 2", 1);
        assert_eq!(Checkpoint::parse(&newer), Err(Some(2)));
        let wrongs: [fn(&mut Checkpoint); 5] = [
            |c| c.packs[1].first_lsn = 12,
            |c| c.parts[1].from = 65,
            |c| c.parts[2].epoch = 4,
            |c| c.end_lsn = 20,
            |c| c.claims = vec![1, 13],
        ];
        for wrong in wrongs {
            let mut wrong_one = sample();
            wrong(&mut wrong_one);
            assert!(Checkpoint::parse(&wrong_one.text()).is_err());
        }
    }
}
