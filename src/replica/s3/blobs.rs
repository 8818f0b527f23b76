// Blobs that are transferred piece by piece, in bounded memory.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::ops::Range;

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt};

use super::client::{Answer, Client};
use super::failure::{Failure, observed};

/// S3 requires at least 5 MiB.
const PART_BYTES: u64 = 8 << 20;
/// While these are uploaded, one more part is read: 24 MiB in total.
const PARTS_IN_FLIGHT: usize = 2;
const MAX_PARTS: u64 = 10_000;
/// How many bytes of a download are in memory, at least one piece of the network.
const PIECE_BYTES: usize = 1 << 20;

/// Uploads `len` bytes: small blobs in one request, large ones in parts.
pub(crate) fn put(
    client: &Client,
    key: &Path,
    len: u64,
    from: &mut dyn Read,
) -> Result<(), Failure> {
    if len <= PART_BYTES {
        let (store, key, part) = (client.store.clone(), key.clone(), read_part(from, len)?);
        let put = async move { store.put(&key, part.into()).await };
        return client.run(len, observed(put)).map(drop);
    }
    if len > PART_BYTES * MAX_PARTS {
        return Err(Failure::Refused(format!(
            "it has {len} bytes; at most {} are allowed",
            PART_BYTES * MAX_PARTS
        )));
    }
    let (store, begun) = (client.store.clone(), key.clone());
    let begin = async move { store.put_multipart(&begun).await };
    let mut upload = client.run(0, observed(begin))?;
    let sent = send_parts(client, &mut upload, len, from);
    client.run(0, async move {
        let result = match sent {
            Ok(()) => observed(upload.complete()).await.map(drop),
            Err(failure) => Err(failure),
        };
        if result.is_err() {
            // Otherwise, the parts would be stored, and billed, forever.
            let _ = observed(upload.abort()).await;
        }
        result
    })
}

fn send_parts(
    client: &Client,
    upload: &mut Box<dyn MultipartUpload>,
    len: u64,
    from: &mut dyn Read,
) -> Result<(), Failure> {
    let (mut in_flight, mut result) = (VecDeque::new(), Ok(()));
    let mut left = len;
    while left > 0 && result.is_ok() {
        if in_flight.len() == PARTS_IN_FLIGHT {
            result = in_flight.pop_front().map_or(Ok(()), Answer::wait);
        }
        match read_part(from, left.min(PART_BYTES)) {
            Ok(part) => {
                left -= part.len() as u64;
                let bytes = part.len() as u64;
                let part = upload.put_part(part.into());
                in_flight.push_back(client.begin(bytes, observed(part)));
            }
            Err(failure) => result = Err(failure),
        }
    }
    // Also after a failure, because each part in flight is in memory.
    for part in in_flight {
        result = part.wait().and(result);
    }
    result
}

fn read_part(from: &mut dyn Read, len: u64) -> Result<Vec<u8>, Failure> {
    let mut part = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    match from.take(len).read_to_end(&mut part) {
        Ok(read) if read as u64 == len => Ok(part),
        Ok(_) => Err(Failure::Refused("its contents end too early".to_owned())),
        Err(error) => Err(Failure::Refused(format!(
            "cannot read its contents: {error}"
        ))),
    }
}

/// Downloads a range.
pub(crate) fn get(
    client: &Client,
    key: &Path,
    range: Range<u64>,
    to: &mut dyn Write,
) -> Result<(), Failure> {
    let (store, key, part) = (client.store.clone(), key.clone(), range.clone());
    let beyond = || {
        let (from, to) = (range.start, range.end);
        Failure::Refused(format!("bytes {from} to {to} are not all within it"))
    };
    if range.is_empty() {
        // HTTP has no empty ranges.
        let head = client.run(0, observed(async move { store.head(&key).await }))?;
        let is_within = range.start == range.end && range.end <= head.size;
        return is_within.then_some(()).ok_or_else(beyond);
    }
    let result = client.run(
        0,
        observed(async move {
            let options = GetOptions::default().with_range(Some(GetRange::Bounded(part)));
            store.get_opts(&key, options).await
        }),
    )?;
    if result.range != range {
        return Err(beyond());
    }
    let (mut stream, mut left) = (result.into_stream(), range.end - range.start);
    while left > 0 {
        let (pieces, rest) = client.run(
            PIECE_BYTES as u64,
            observed(async move {
                let (mut pieces, mut bytes) = (Vec::new(), 0);
                while bytes < PIECE_BYTES {
                    let Some(piece) = stream.try_next().await? else {
                        break;
                    };
                    bytes += piece.len();
                    pieces.push(piece);
                }
                Ok((pieces, stream))
            }),
        )?;
        stream = rest;
        if pieces.is_empty() {
            return Err(Failure::NoAnswer("the answer ended too early".to_owned()));
        }
        for piece in pieces {
            left = left.checked_sub(piece.len() as u64).ok_or_else(beyond)?;
            let written = to.write_all(&piece);
            written.map_err(|e| Failure::Refused(format!("cannot write its contents: {e}")))?;
        }
    }
    Ok(())
}
