//! A Bloom filter for hashes.

const FILTER_BITS_PER_KEY: u64 = 10;

const FILTER_PROBES: u32 = 6;

/// A Bloom filter (Bloom 1970) with 10 bits per key and 6 probes, all in one block of 512 bits, so
/// that a lookup touches one cache line. The false positive rate is about 1 in 80.
pub(super) struct BloomFilter {
    pub(super) blocks: Vec<[u64; 8]>,
}

impl BloomFilter {
    pub(super) fn for_keys(keys: u64) -> BloomFilter {
        // The count comes from a checked row. Nevertheless, the allocation is bounded.
        let bits = keys.min(1 << 32) * FILTER_BITS_PER_KEY;
        let blocks = usize::try_from(bits.div_ceil(512)).unwrap_or(1).max(1);
        BloomFilter {
            blocks: vec![[0; 8]; blocks],
        }
    }

    fn block(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.blocks.len() as u128) >> 64) as usize
    }

    fn bits(hash: u64) -> impl Iterator<Item = usize> {
        // The high bits select the block. Spread the low ones.
        let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..FILTER_PROBES).map(move |n| ((spread >> (9 * n)) & 511) as usize)
    }

    pub(super) fn insert(&mut self, hash: u64) {
        let block = self.block(hash);
        for bit in BloomFilter::bits(hash) {
            self.blocks[block][bit / 64] |= 1 << (bit % 64);
        }
    }

    pub(super) fn may_contain(&self, hash: u64) -> bool {
        let block = &self.blocks[self.block(hash)];
        BloomFilter::bits(hash).all(|bit| block[bit / 64] >> (bit % 64) & 1 == 1)
    }
}
