//! Gathers small pieces of output before they are written.

use std::io::{self, Write};

use crate::base::spare::Spare;

/// Pieces smaller than this are gathered up to this size. Larger ones are passed on without a copy.
const GATHERED_BYTES: usize = 16 << 10;

static KEPT: Spare<Vec<u8>> = Spare::new(8);

/// A writer that gathers small pieces. Unlike [`io::BufWriter`], it reuses its buffer, and writes
/// nothing when it is dropped.
pub(super) struct Gathered<W> {
    buffer: Vec<u8>,
    writer: W,
}

impl<W: Write> Gathered<W> {
    pub(super) fn new(writer: W) -> Gathered<W> {
        let mut buffer = KEPT.take().unwrap_or_default();
        buffer.clear();
        buffer.reserve_exact(GATHERED_BYTES);
        Gathered { buffer, writer }
    }

    fn write_gathered(&mut self) -> io::Result<()> {
        let written = self.writer.write_all(&self.buffer);
        self.buffer.clear();
        written
    }
}

impl<W: Write> Write for Gathered<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.write_all(piece)?;
        Ok(piece.len())
    }

    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.buffer.len() + piece.len() > GATHERED_BYTES {
            self.write_gathered()?;
        }
        if piece.len() >= GATHERED_BYTES {
            return self.writer.write_all(piece);
        }
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_gathered()?;
        self.writer.flush()
    }
}

impl<W> Drop for Gathered<W> {
    fn drop(&mut self) {
        KEPT.keep(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records each write.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn small_pieces_are_gathered_and_large_ones_passed_on() {
        let mut writes = Writes::default();
        let mut out = Gathered::new(&mut writes);
        let half = vec![b'h'; GATHERED_BYTES / 2];
        let large = vec![b'l'; GATHERED_BYTES];
        for piece in [&b"a"[..], b"b", &large, b"c", &half, &half, b"d"] {
            out.write_all(piece).unwrap();
        }
        out.flush().unwrap();
        drop(out);
        let expected = [
            b"ab".to_vec(),
            large,
            [b"c", &half[..]].concat(),
            [&half[..], b"d"].concat(),
        ];
        assert!(writes.0 == expected);
    }

    #[test]
    fn nothing_is_written_after_an_error_or_on_a_drop() {
        struct Full(u32);
        impl Write for &mut Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut full = Full(0);
        let mut out = Gathered::new(&mut full);
        out.write_all(b"a").unwrap();
        out.flush().unwrap_err();
        drop(out);
        assert_eq!(full.0, 1);
        let mut out = Gathered::new(&mut full);
        out.write_all(b"a").unwrap();
        drop(out);
        assert_eq!(full.0, 1);
    }
}
