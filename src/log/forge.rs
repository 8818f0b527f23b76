//! Forged files with valid checksums, for testing the code that reads them.
//!
//! Nearly all inputs of a fuzzer fail the checksum and never reach the decoder behind it. This
//! module supplies valid checksums for any contents. It is not part of the library.

use crate::base::codec;
use crate::log::block::{Scratch, Seed};
use crate::log::fingerprint::Fingerprint;
use crate::log::fingerprints::{FingerprintEntry, PAGE_ENTRIES, PagePlace, seal_page};
use crate::log::frame::{Binding, Builder, HEADER_BYTES};
use crate::log::pack::{
    BlockPlace, ChunkPlace, Footer, GraphBlocks, MAGIC, encode_header, footer_crc,
};
use crate::log::segment::SegmentHeader;
use crate::model::store_id::StoreId;

/// Returns a frame with any payload.
pub(crate) fn frame(
    binding: Binding,
    payload: &[u8],
    count: u32,
    first_lsn: u64,
    synced_lsn: u64,
) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(payload);
    let mut builder = Builder {
        bytes,
        count,
        ..Builder::default()
    };
    builder.finish(binding, first_lsn, synced_lsn).to_vec()
}

/// Returns a segment's header with any fields.
pub(crate) fn segment_header(store: StoreId, header: SegmentHeader) -> Vec<u8> {
    header.encode(store).to_vec()
}

/// Returns a sealed piece with any bytes as its compressed contents, and any uncompressed length.
pub(crate) fn piece(seed: Seed, packed: &[u8], raw_len: u32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(packed.len() as u32).to_le_bytes());
    out.extend_from_slice(&raw_len.to_le_bytes());
    let crc = seed.crc(&out, packed);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(packed);
    out
}

/// Returns any string, followed by its checksum.
pub(crate) fn checked_text(text: &[u8]) -> Vec<u8> {
    let mut content = text.to_vec();
    let crc = format!("crc {:08x}\n", crc32fast::hash(text));
    content.extend_from_slice(crc.as_bytes());
    content
}

/// Returns a pack that consists of `body` and any bytes as its footer.
pub(crate) fn pack_around(store: StoreId, body: &[u8], footer: &[u8]) -> Vec<u8> {
    let mut file = encode_header(store).to_vec();
    file.extend_from_slice(body);
    let footer_at = file.len() as u64;
    file.extend_from_slice(footer);
    file.extend_from_slice(&footer_at.to_le_bytes());
    file.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    file.extend_from_slice(&footer_crc(store, footer_at, footer).to_le_bytes());
    file.extend_from_slice(MAGIC);
    file
}

/// Returns the first and last LSN in these bytes if the bytes are a footer.
pub(crate) fn footer_range(footer: &[u8]) -> Option<(u64, u64)> {
    let footer: Footer = codec::decode(footer)?;
    Some((footer.first_lsn, footer.last_lsn))
}

/// A pack that is assembled from any parts.
pub(crate) struct AnyPack {
    store: StoreId,
    body: Vec<u8>,
    footer: Footer,
}

impl AnyPack {
    pub(crate) fn new(store: StoreId, first_lsn: u64, last_lsn: u64) -> AnyPack {
        AnyPack {
            store,
            body: Vec::new(),
            footer: Footer {
                first_lsn,
                last_lsn,
                graphs: Vec::new(),
                chunks: Vec::new(),
                event_sizes: Vec::new(),
                clock: None,
            },
        }
    }

    fn place(&mut self, sealed: &[u8]) -> (u64, u32) {
        let offset = (encode_header(self.store).len() + self.body.len()) as u64;
        self.body.extend_from_slice(sealed);
        (offset, sealed.len() as u32)
    }

    pub(crate) fn chunk(&mut self, first_lsn: u64, sealed: &[u8]) {
        let (offset, len) = self.place(sealed);
        self.footer.chunks.push(ChunkPlace {
            first_lsn,
            offset,
            len,
        });
    }

    pub(crate) fn graph(&mut self, graph: u32) {
        self.footer.graphs.push(GraphBlocks {
            graph,
            blocks: Vec::new(),
            fingerprints: Vec::new(),
        });
    }

    /// Adds a block to the graph that was begun last. Fills in its position in the file.
    pub(crate) fn block(&mut self, place: BlockPlace, sealed: &[u8]) {
        let (offset, len) = self.place(sealed);
        if let Some(graph) = self.footer.graphs.last_mut() {
            graph.blocks.push(BlockPlace {
                offset,
                len,
                ..place
            });
        }
    }

    /// Adds a page to the graph that was begun last. Fills in its position in the file.
    pub(crate) fn page(&mut self, first: Fingerprint, sealed: &[u8]) {
        let (offset, len) = self.place(sealed);
        if let Some(graph) = self.footer.graphs.last_mut() {
            graph.fingerprints.push(PagePlace { first, offset, len });
        }
    }

    /// Adds the fingerprints of the jobs of the graph that was begun last.
    pub(crate) fn fingerprints(&mut self, mut entries: Vec<FingerprintEntry>) {
        entries.sort_unstable();
        let graph = self.footer.graphs.last();
        let first = graph.and_then(|g| Some((g.graph, g.blocks.first()?.first_sequence)));
        let Some((graph, first_sequence)) = first else {
            return;
        };
        for (n, page) in entries.chunks(PAGE_ENTRIES).enumerate() {
            let (mut sealed, scratch) = (Vec::new(), &mut Scratch::default());
            seal_page((graph, first_sequence, n), page, scratch, &mut sealed);
            self.page(page[0].0, &sealed);
        }
    }

    pub(crate) fn footer(&self) -> Vec<u8> {
        codec::encode(&self.footer)
    }

    pub(crate) fn finish(&self) -> Vec<u8> {
        pack_around(self.store, &self.body, &self.footer())
    }
}
