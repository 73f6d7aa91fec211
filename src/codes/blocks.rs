//! Where codes lie: a scan reads the first half of each code and nothing else, so first halves lie together.
//!
//! Rows lie in blocks of 32, blocks in stripes of 64, of which the last may have fewer. A stripe is the first halves of its blocks, one after the
//! other, and then their second halves. A first half has the signs of the first half of the components and numbers of 2 bytes, a second half the other
//! signs and numbers of 4 bytes. A processor fetches ahead what lies in order, so what is not to be read has to lie elsewhere.

/// Rows in a block.
pub(crate) const BLOCK: usize = 32;
/// Bytes of one group of four components in a block.
pub(super) const GROUP: usize = 16;
/// Bytes of the numbers beside the signs, in the halves of a block.
pub(super) const FIRST_NUMBERS: usize = 3 * 2 * BLOCK;
pub(super) const SECOND_NUMBERS: usize = 3 * 4 * BLOCK;
/// Blocks in a stripe.
pub(crate) const STRIPE: usize = 64;

/// Bytes of the signs that one half of a block has.
pub(super) fn sign_bytes(padded: usize) -> usize {
    padded / 8 * GROUP
}

/// Bytes of the first and of the second half of a block, of rotated vectors of so many components.
fn half_bytes(padded: usize) -> [usize; 2] {
    [FIRST_NUMBERS, SECOND_NUMBERS].map(|numbers| sign_bytes(padded) + numbers)
}

/// Bytes of a block.
pub(crate) fn block_bytes(padded: usize) -> usize {
    half_bytes(padded).into_iter().sum()
}

/// The codes of rows, as they lie in a file.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<'a> {
    bytes: &'a [u8],
    blocks: usize,
    padded: usize,
}

impl<'a> Blocks<'a> {
    /// `bytes`: [`block_bytes`] for each [`BLOCK`] rows, or part of so many.
    pub(crate) fn new(bytes: &'a [u8], padded: usize) -> Self {
        Self { bytes, blocks: bytes.len() / block_bytes(padded), padded }
    }

    /// The first half of a block.
    #[inline]
    pub(crate) fn first(&self, block: usize) -> &'a [u8] {
        let [first, _] = half_bytes(self.padded);
        &self.bytes[self.stripe(block).0 + block % STRIPE * first..][..first]
    }

    /// The second half of a block.
    #[inline]
    pub(crate) fn second(&self, block: usize) -> &'a [u8] {
        let [first, second] = half_bytes(self.padded);
        let (start, blocks) = self.stripe(block);
        &self.bytes[start + blocks * first + block % STRIPE * second..][..second]
    }

    /// Where the stripe of a block begins, and how many blocks it has.
    fn stripe(&self, block: usize) -> (usize, usize) {
        let before = block / STRIPE * STRIPE;
        (before * block_bytes(self.padded), STRIPE.min(self.blocks - before))
    }
}

/// Both halves of the block that a row of a stripe is in, and its place there.
pub(super) fn place_in_stripe(stripe: &mut [u8], padded: usize, row: usize) -> ([&mut [u8]; 2], usize) {
    let [first, second] = half_bytes(padded);
    let (firsts, seconds) = stripe.split_at_mut(stripe.len() / (first + second) * first);
    let block = row / BLOCK;
    ([&mut firsts[block * first..][..first], &mut seconds[block * second..][..second]], row % BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_belongs_to_one_half_of_one_block_and_first_halves_lie_together() {
        let padded = 64;
        for blocks in [1, STRIPE - 1, STRIPE, STRIPE + 1, 3 * STRIPE + 7] {
            let bytes = vec![0_u8; blocks * block_bytes(padded)];
            let all = Blocks::new(&bytes, padded);
            let place = |half: &[u8]| half.as_ptr() as usize - bytes.as_ptr() as usize;
            let mut seen = vec![0; bytes.len()];
            for block in 0..blocks {
                for half in [all.first(block), all.second(block)] {
                    seen[place(half)..][..half.len()].iter_mut().for_each(|times| *times += 1);
                }
                if block % STRIPE > 0 {
                    let before = all.first(block - 1);
                    assert_eq!(place(all.first(block)), place(before) + before.len());
                }
            }
            assert!(seen.into_iter().all(|times| times == 1), "{blocks} blocks");
        }
    }

    #[test]
    fn rows_are_written_where_they_are_read() {
        let (padded, blocks) = (128, STRIPE + 3);
        let mut bytes = vec![0_u8; blocks * block_bytes(padded)];
        for (stripe, bytes) in bytes.chunks_mut(STRIPE * block_bytes(padded)).enumerate() {
            for block in 0..bytes.len() / block_bytes(padded) {
                let ([first, second], row) = place_in_stripe(bytes, padded, block * BLOCK + 5);
                assert_eq!(row, 5);
                first.fill((stripe * STRIPE + block) as u8);
                second.fill((stripe * STRIPE + block) as u8 + 100);
            }
        }
        let all = Blocks::new(&bytes, padded);
        for block in 0..blocks {
            assert!(all.first(block).iter().all(|byte| *byte == block as u8));
            assert!(all.second(block).iter().all(|byte| *byte == block as u8 + 100));
        }
    }
}
