//! Reads input of unknown size.
//!
//! Contains [`read_to_string`]. Input larger than the limit is refused and never truncated, because
//! part of a text can have a different meaning than the whole.

use std::io::{self, Read};

/// Reads all of `from`. It must be valid UTF-8 and at most `max_bytes` bytes long.
pub(crate) fn read_to_string(from: impl Read, max_bytes: u64) -> io::Result<String> {
    let mut text = Vec::new();
    from.take(max_bytes + 1).read_to_end(&mut text)?;
    if text.len() as u64 > max_bytes {
        let what = format!("larger than the allowed {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "not valid UTF-8");
    String::from_utf8(text).map_err(not_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_refused_and_not_cut() {
        assert_eq!(read_to_string(&b"1234"[..], 4).unwrap(), "1234");
        let error = read_to_string(&b"12345"[..], 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        // The limit is checked first, so a character that the limit truncates is not reported as
        // invalid UTF-8.
        let error = read_to_string("123\u{e9}".as_bytes(), 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let error = read_to_string(&b"\xff"[..], 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
