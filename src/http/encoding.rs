//! The negotiation of a response's encoding.
//!
//! Contains [`Encoding`] and [`Wanted`]. Only encodings that the client accepts are used.

use axum::http::{HeaderMap, HeaderValue, header};

/// Responses shorter than this are not compressed, because they would not become smaller.
const SMALL_BYTES: usize = 1024;

/// The encoding of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

/// The encodings that a client accepts best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// By the client's weights, then by compression ratio.
    pub(crate) encoding: Encoding,
    /// By the client's weights, then gzip before zstd: for a response that is assembled from
    /// encoded texts. In zstd, it would have several frames, and clients that read only the first
    /// are common. Nearly all of them accept gzip as well.
    pub(crate) assembled: Encoding,
}

impl Wanted {
    pub(crate) fn of(headers: &HeaderMap) -> Wanted {
        let mut known = [
            (Encoding::Zstd, None),
            (Encoding::Gzip, None),
            (Encoding::Plain, None),
        ];
        let mut others = None;
        let values = headers.get_all(header::ACCEPT_ENCODING).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        for item in values.flat_map(|value| value.split(',')) {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| match part.split_once('=') {
                Some(("q" | "Q", weight)) => Some(weight),
                _ => None,
            });
            // Weights are in thousandths. An invalid weight excludes the encoding.
            let weight = weight.map_or(1000, |q| q.parse::<f32>().map_or(0, |q| (q * 1e3) as u32));
            let of = match name.as_str() {
                "zstd" => &mut known[0].1,
                "gzip" | "x-gzip" => &mut known[1].1,
                "identity" => &mut known[2].1,
                "*" => &mut others,
                _ => continue,
            };
            *of = Some(weight);
        }
        let weight = |(encoding, own): (Encoding, Option<u32>)| match encoding {
            // The identity encoding is always acceptable, but least preferred by default.
            Encoding::Plain => own.or(others.filter(|&q| q == 0)).unwrap_or(1),
            Encoding::Gzip | Encoding::Zstd => own.or(others).unwrap_or(0),
        };
        let best = |known: [(Encoding, Option<u32>); 3]| {
            let accepted = known.into_iter().filter(|&one| weight(one) > 0);
            let best = accepted.rev().max_by_key(|&one| weight(one));
            best.map_or(Encoding::Plain, |(encoding, _)| encoding)
        };
        let [zstd, gzip, plain] = known;
        Wanted {
            encoding: best([zstd, gzip, plain]),
            assembled: best([gzip, zstd, plain]),
        }
    }
}

impl Encoding {
    /// The value of `Content-Encoding`.
    pub(crate) fn header(self) -> Option<HeaderValue> {
        match self {
            Encoding::Plain => None,
            Encoding::Gzip => Some(HeaderValue::from_static("gzip")),
            Encoding::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    /// The encoding for a whole text of this length.
    pub(crate) fn for_whole(self, text_len: usize) -> Encoding {
        match text_len < SMALL_BYTES {
            true => Encoding::Plain,
            false => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_what_it_takes_and_nothing_else() {
        for (accepted, encoding) in [
            ("", Encoding::Plain),
            ("gzip", Encoding::Gzip),
            ("zstd", Encoding::Zstd),
            ("br, deflate", Encoding::Plain),
            ("gzip, deflate, br, zstd", Encoding::Zstd),
            ("gzip;q=1.0, zstd;q=0.5", Encoding::Gzip),
            ("GZIP ; q=0.2", Encoding::Gzip),
            ("gzip;q=0", Encoding::Plain),
            ("gzip;Q=0", Encoding::Plain),
            ("gzip;Q=0.4, zstd; Q=0.3", Encoding::Gzip),
            ("gzip;q=nonsense", Encoding::Plain),
            ("identity, gzip;q=0.5", Encoding::Plain),
            ("identity;q=0.5, gzip;q=0.5", Encoding::Gzip),
            ("*", Encoding::Zstd),
            ("*, zstd;q=0", Encoding::Gzip),
            ("*;q=0", Encoding::Plain),
            ("identity;q=0, gzip", Encoding::Gzip),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
            let wanted = Wanted::of(&headers);
            assert_eq!(wanted.encoding, encoding, "{accepted:?}");
            // Only a tie between the two is decided differently.
            let is_tie = ["gzip, deflate, br, zstd", "*"].contains(&accepted);
            let assembled = if is_tie { Encoding::Gzip } else { encoding };
            assert_eq!(wanted.assembled, assembled, "{accepted:?}");
        }
        let wanted = Wanted::of(&HeaderMap::new());
        assert_eq!(wanted.encoding, Encoding::Plain);
        assert_eq!(wanted.assembled, Encoding::Plain);
    }
}
