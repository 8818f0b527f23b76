//! The encoders of a response.
//!
//! Contains [`Encoder`], which encodes a text piece by piece, and [`EncodedText`], a text that was
//! encoded by itself and can be inserted into any response with the same encoding. A zstd response
//! consists of one or more frames (RFC 8878, section 3). A gzip response is always a single member,
//! because many clients read only the first: the deflate blocks of an inserted text refer to no
//! other text and end at a byte boundary, so they can follow any others, and the checksums of the
//! texts are combined.

use std::io::{self, Write};

use axum::body::Bytes;
use flate2::Crc;
use flate2::write::DeflateEncoder;

use crate::http::encoding::Encoding;

/// The compression levels are low for speed, because a list is read at hundreds of MB/s.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// The window of an encoder: 128 KiB. It stays allocated until the client has read the whole
/// response, even if the client is slow.
const ZSTD_WINDOW_LOG: u32 = 17;

/// The header of a member: deflate, no time, the fastest level, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
/// A last deflate block, without text.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// An encoder for the pieces of a stream.
pub(crate) enum Encoder {
    Plain,
    Gzip(GzipEncoder),
    Zstd(ZstdEncoder),
}

/// A text that was encoded by itself.
pub(crate) struct EncodedText {
    pub(crate) bytes: Bytes,
    pub(crate) text_len: usize,
    crc: Crc,
}

impl Encoder {
    pub(crate) fn new(encoding: Encoding) -> Encoder {
        match encoding {
            Encoding::Plain => Encoder::Plain,
            Encoding::Gzip => Encoder::Gzip(GzipEncoder {
                ready: GZIP_HEADER.to_vec(),
                live: None,
                crc: Crc::new(),
            }),
            Encoding::Zstd => Encoder::Zstd(ZstdEncoder(None)),
        }
    }

    /// Encodes `text` and returns the encoded bytes that are ready. If `at_once` is set, returns
    /// all of them.
    pub(crate) fn piece(&mut self, text: Vec<u8>, at_once: bool) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Plain => Ok(text),
            Encoder::Gzip(encoder) => encoder.piece(&text, at_once),
            Encoder::Zstd(encoder) => encoder.piece(&text, at_once),
        }
    }

    /// Inserts a text that was encoded with the same encoding. Returns the bytes that precede those
    /// of the text.
    pub(crate) fn insert(&mut self, text: &EncodedText) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Plain => Ok(Vec::new()),
            Encoder::Gzip(encoder) => encoder.insert(text),
            Encoder::Zstd(encoder) => encoder.end_frame(),
        }
    }

    /// Returns the remaining bytes, after the last piece.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Plain => Ok(Vec::new()),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(mut encoder) => encoder.end_frame(),
        }
    }
}

impl EncodedText {
    pub(crate) fn new(encoding: Encoding, text: &[u8]) -> io::Result<EncodedText> {
        let mut crc = Crc::new();
        let bytes = match encoding {
            Encoding::Plain => text.to_vec(),
            Encoding::Gzip => {
                crc.update(text);
                let mut encoder = deflate(Vec::with_capacity(text.len() / 4));
                encoder.write_all(text)?;
                end_blocks(encoder)?
            }
            Encoding::Zstd => zstd::bulk::compress(text, ZSTD_LEVEL)?,
        };
        Ok(EncodedText {
            // Exactly as large as the bytes.
            bytes: Bytes::from(bytes.into_boxed_slice()),
            text_len: text.len(),
            crc,
        })
    }
}

/// Encodes one gzip member.
pub(crate) struct GzipEncoder {
    /// Bytes that precede those of the next text.
    ready: Vec<u8>,
    /// Encodes the text since the last inserted one.
    live: Option<DeflateEncoder<Vec<u8>>>,
    /// The checksum of the whole text.
    crc: Crc,
}

impl GzipEncoder {
    fn piece(&mut self, text: &[u8], at_once: bool) -> io::Result<Vec<u8>> {
        self.crc.update(text);
        let ready = &mut self.ready;
        let live = self
            .live
            .get_or_insert_with(|| deflate(std::mem::take(ready)));
        live.write_all(text)?;
        if at_once {
            live.flush()?;
        }
        Ok(std::mem::take(live.get_mut()))
    }

    fn insert(&mut self, text: &EncodedText) -> io::Result<Vec<u8>> {
        self.crc.combine(&text.crc);
        match self.live.take() {
            Some(live) => end_blocks(live),
            None => Ok(std::mem::take(&mut self.ready)),
        }
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        let mut end = match self.live.take() {
            Some(live) => live.finish()?,
            None => {
                self.ready.extend_from_slice(&LAST_BLOCK);
                self.ready
            }
        };
        end.extend_from_slice(&self.crc.sum().to_le_bytes());
        end.extend_from_slice(&self.crc.amount().to_le_bytes());
        Ok(end)
    }
}

fn deflate(out: Vec<u8>) -> DeflateEncoder<Vec<u8>> {
    DeflateEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))
}

/// Ends the last block at a byte boundary, but not the member.
fn end_blocks(mut encoder: DeflateEncoder<Vec<u8>>) -> io::Result<Vec<u8>> {
    encoder.flush()?;
    Ok(std::mem::take(encoder.get_mut()))
}

/// Encodes zstd frames: `None` between two frames.
pub(crate) struct ZstdEncoder(Option<zstd::stream::write::Encoder<'static, Vec<u8>>>);

impl ZstdEncoder {
    fn piece(&mut self, text: &[u8], at_once: bool) -> io::Result<Vec<u8>> {
        let mut frame = match self.0.take() {
            Some(frame) => frame,
            None => {
                let mut frame = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                frame.window_log(ZSTD_WINDOW_LOG)?;
                frame
            }
        };
        frame.write_all(text)?;
        if at_once {
            frame.flush()?;
        }
        let ready = std::mem::take(frame.get_mut());
        self.0 = Some(frame);
        Ok(ready)
    }

    fn end_frame(&mut self) -> io::Result<Vec<u8>> {
        self.0.take().map_or(Ok(Vec::new()), |frame| frame.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A text that depends on `n` and compresses well.
    fn text(n: usize, len: usize) -> Vec<u8> {
        let lines = (0..).map(|line| format!("{{\"line\":{line},\"of\":{n}}},"));
        let text = lines.flat_map(String::into_bytes).take(len);
        text.collect()
    }

    #[test]
    fn inserted_texts_are_decoded_with_the_others() {
        let sizes = [0, 1, 2, 100, 40_000, 200_000];
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            // Each kind of piece follows each: texts, flushed texts, and inserted texts.
            for seed in 0..200usize {
                let mut encoder = Encoder::new(encoding);
                let (mut plain, mut encoded) = (Vec::new(), Vec::new());
                for n in 0..6 {
                    let choice = ((seed + 1) * (n + 7) * 2_654_435_761) >> 7;
                    let piece = text(n, sizes[choice / 3 % sizes.len()]);
                    plain.extend_from_slice(&piece);
                    if choice % 3 == 0 {
                        let inserted = EncodedText::new(encoding, &piece).unwrap();
                        assert_eq!(inserted.text_len, piece.len());
                        encoded.extend(encoder.insert(&inserted).unwrap());
                        encoded.extend_from_slice(&inserted.bytes);
                    } else {
                        encoded.extend(encoder.piece(piece, choice % 3 == 1).unwrap());
                    }
                }
                encoded.extend(encoder.finish().unwrap());
                let mut decoded = Vec::new();
                match encoding {
                    // Reads only the first member.
                    Encoding::Gzip => {
                        let mut decoder = flate2::bufread::GzDecoder::new(&encoded[..]);
                        decoder.read_to_end(&mut decoded).unwrap();
                        assert!(decoder.into_inner().is_empty());
                    }
                    _ => decoded = zstd::decode_all(&encoded[..]).unwrap(),
                }
                assert!(decoded == plain, "{encoding:?} {seed}");
            }
        }
    }

    #[test]
    fn flushed_bytes_contain_the_whole_text() {
        let mut gzip = Encoder::new(Encoding::Gzip);
        let ready = gzip.piece(b"early".to_vec(), true).unwrap();
        let mut text = [0; 5];
        let mut decoder = flate2::read::GzDecoder::new(&ready[..]);
        decoder.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"early");
        let mut zstd = Encoder::new(Encoding::Zstd);
        let ready = zstd.piece(b"early".to_vec(), true).unwrap();
        let mut decoder = zstd::stream::read::Decoder::new(&ready[..]).unwrap();
        decoder.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"early");
    }
}
