//! The file `SECRET-KEYS`: which keys of a store are secret, whichever engine or tool opens it.
//!
//! Keys that one engine declared secret remain secret for the next engine and for the CLI. If the
//! file cannot be read, no value is treated as public.

use crate::log::checked_text::{self, field};
use crate::log::disk::{self, Disk};
use crate::log::file_names;
use crate::log::preallocation::Preallocation;
use crate::model::error::{Error, Result};
use crate::model::secrets::{Keys, SecretKeys, Secrets};
use crate::model::store_id::StoreId;

/// More than the size of 64 keys of 256 bytes in which every byte needs an escape.
const FILE_BYTES_MAX: u64 = 128 << 10;

/// Durably writes the file.
pub(crate) fn write(disk: &dyn Disk, store: StoreId, keys: &SecretKeys) -> Result<()> {
    checked_text::write(disk, file_names::SECRET_KEYS, &text_of(store, keys))
}

/// Durably writes the file. On a full disk, uses the scratch file.
pub(crate) fn write_in(
    (disk, preallocation): (&dyn Disk, &Preallocation),
    store: StoreId,
    keys: &SecretKeys,
) -> Result<()> {
    let place = (None, Some(preallocation));
    checked_text::write_in(disk, place, file_names::SECRET_KEYS, &text_of(store, keys))
}

/// Returns what the file contains if these keys are recorded.
pub(crate) fn contents(store: StoreId, keys: &SecretKeys) -> String {
    checked_text::sealed(&text_of(store, keys))
}

/// Durably writes the file with these contents, which come from another copy of the store.
pub(crate) fn write_contents(disk: &dyn Disk, contents: &str) -> Result<()> {
    let name = file_names::SECRET_KEYS;
    disk::write_whole(disk, name, contents.as_bytes())
        .map_err(|e| Error::io("write", disk.path(name), &e))
}

/// Reads the file. `None` if it does not exist, which means that the default keys are secret.
pub(crate) fn read(disk: &dyn Disk, store: StoreId) -> Result<Option<SecretKeys>> {
    let Some(text) = checked_text::read(disk, file_names::SECRET_KEYS, FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    // Anything but the exact text that would be written is treated as unreadable.
    match parse(&text).filter(|keys| text_of(store, keys) == text) {
        Some(keys) => Ok(Some(keys)),
        None => Err(Error::damaged(
            disk.path(file_names::SECRET_KEYS),
            0,
            "invalid contents, or the file belongs to another store",
        )),
    }
}

/// Reads and verifies the file, and returns its contents. `None` if it does not exist.
pub(crate) fn read_contents(disk: &dyn Disk, store: StoreId) -> Result<Option<String>> {
    let keys = read(disk, store)?;
    Ok(keys.map(|keys| contents(store, &keys)))
}

/// Replaces a damaged file. Every key is then secret until an open sets the keys and the policy
/// again. Values are masked at submission unless the damaged file shows that they were kept.
pub(crate) fn replace_damaged(disk: &dyn Disk, store: StoreId) -> Result<()> {
    let found = disk::read_whole(disk, file_names::SECRET_KEYS, FILE_BYTES_MAX).unwrap_or_default();
    let kept = head(store, Secrets::MaskOnOutput);
    let policy = match found.starts_with(kept.as_bytes()) {
        true => Secrets::MaskOnOutput,
        false => Secrets::MaskAtSubmit,
    };
    let keys = Keys::Every;
    write(disk, store, &SecretKeys { keys, policy })
}

fn head(store: StoreId, policy: Secrets) -> String {
    let policy = policy_word(policy);
    format!("secret keys\nid {:032x}\npolicy {policy}\n", store.0)
}

fn policy_word(policy: Secrets) -> &'static str {
    match policy {
        Secrets::MaskOnOutput => "mask-on-output",
        Secrets::MaskAtSubmit => "mask-at-submit",
    }
}

fn text_of(store: StoreId, keys: &SecretKeys) -> String {
    let mut text = head(store, keys.policy);
    match &keys.keys {
        Keys::Every => text += "every key\n",
        Keys::These(keys) => {
            for key in keys.iter() {
                // A key may contain any character, including line feeds.
                let quoted = serde_json::Value::from(key.as_str());
                text += &format!("key {quoted}\n");
            }
        }
    }
    text
}

fn parse(text: &str) -> Option<SecretKeys> {
    let mut lines = text.lines().skip(2);
    let word = field(lines.next(), "policy")?;
    let policies = [Secrets::MaskOnOutput, Secrets::MaskAtSubmit];
    let policy = policies.into_iter().find(|&p| policy_word(p) == word)?;
    let keys = match lines.clone().next() {
        Some("every key") => Keys::Every,
        _ => Keys::these(
            lines
                .map(|line| serde_json::from_str::<String>(field(Some(line), "key")?).ok())
                .collect::<Option<Vec<_>>>()?,
        ),
    };
    keys.check().ok()?;
    Some(SecretKeys { keys, policy })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::memory::MemoryDisk;

    const STORE: StoreId = StoreId(7);

    fn these(keys: &[&str]) -> Keys {
        Keys::these(keys.iter().copied())
    }

    #[test]
    fn a_record_comes_back_and_nothing_else_is_taken_for_it() {
        let disk = MemoryDisk::default();
        assert!(read(&disk, STORE).unwrap().is_none());
        let longest = "\u{1}".repeat(256);
        for keys in [
            these(&[]),
            these(&["Password", "a \"key\"\nof \\ lines\r", "ÜNÏ"]),
            these(&[&*longest; 64]),
            Keys::Every,
        ] {
            for policy in [Secrets::MaskOnOutput, Secrets::MaskAtSubmit] {
                let keys = keys.clone();
                let recorded = SecretKeys { keys, policy };
                write(&disk, STORE, &recorded).unwrap();
                let contents = contents(STORE, &recorded);
                assert!(read_contents(&disk, STORE).unwrap() == Some(contents.clone()));
                assert!(read(&disk, STORE).unwrap() == Some(recorded));
                let copy = MemoryDisk::default();
                write_contents(&copy, &contents).unwrap();
                assert!(read_contents(&copy, STORE).unwrap() == Some(contents));
                assert!(read(&disk, StoreId(8)).is_err(), "another store's");
            }
        }
        let (keys, policy) = (these(&["password"]), Secrets::MaskAtSubmit);
        let text = text_of(STORE, &SecretKeys { keys, policy });
        for (from, to) in [
            ("secret keys\n", "public keys\n"),
            ("at-submit", "never"),
            ("key \"password\"", "key \"Password\""),
            ("key \"password\"", "key  \"password\""),
            ("key \"password\"", "key \"pass\\u0077ord\""),
            ("key \"password\"", "key \"\""),
            ("key \"password\"", "every key\nkey \"password\""),
            ("key \"password\"\n", "key \"password\""),
            ("key \"password\"\n", "key \"password\"\n\n"),
            ("\nkey", "\r\nkey"),
        ] {
            // The altered text gets a valid checksum.
            assert!(text.contains(from), "{from:?}");
            checked_text::write(&disk, file_names::SECRET_KEYS, &text.replace(from, to)).unwrap();
            assert!(read(&disk, STORE).is_err(), "{from:?} as {to:?}");
        }
    }
}
