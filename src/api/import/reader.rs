// Reads lines of bounded length.

use std::io::BufRead;

use crate::model::error::{Error, Result};

#[derive(PartialEq, Eq)]
pub(super) enum Read {
    Line,
    TooLong,
    End,
}

/// Reads up to the next line feed. If a line is too long, the part beyond the limit is discarded.
pub(super) fn read_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
    longest: u64,
) -> Result<Read> {
    line.clear();
    let mut is_too_long = false;
    loop {
        let there = reader.fill_buf().map_err(|e| Error::input(&e))?;
        if there.is_empty() {
            let is_end = line.is_empty() && !is_too_long;
            return Ok(match (is_end, is_too_long) {
                (true, _) => Read::End,
                (false, true) => Read::TooLong,
                (false, false) => Read::Line,
            });
        }
        let end = there.iter().position(|&byte| byte == b'\n');
        let (part, taken) = match end {
            Some(end) => (&there[..end], end + 1),
            None => (there, there.len()),
        };
        is_too_long |= (line.len() + part.len()) as u64 > longest;
        if !is_too_long {
            line.extend_from_slice(part);
        }
        reader.consume(taken);
        if end.is_some() {
            return Ok(if is_too_long {
                Read::TooLong
            } else {
                Read::Line
            });
        }
    }
}
