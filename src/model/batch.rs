//! Packs token sequences into batches.

/// A query with a passage, or a text alone, as token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// The ids, special tokens included.
    pub(super) ids: Vec<u32>,
    /// Where the tokens of type 1 begin; the length of `ids` when there are none.
    pub(super) second: usize,
    /// Whether tokens were left out because the model reads no more.
    pub(super) truncated: bool,
}

/// Groups sequences, given by length, into batches whose padded size is at most `budget` tokens.
///
/// The longest come first, and neighbours in length share a batch, so that little is padded. A sequence longer than the
/// budget is a batch of its own. Returns indices into `lengths`; each is in one batch.
pub(super) fn pack(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(lengths[index]), index));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut longest = 0;
    for index in order {
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * longest <= budget => batch.push(index),
            _ => {
                longest = lengths[index].max(1);
                batches.push(vec![index]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn like_lengths_share_a_batch() {
        assert_eq!(pack(&[10, 100, 12, 98], 200), [vec![1, 3], vec![2, 0]]);
    }

    #[test]
    fn nothing_makes_no_batch() {
        assert!(pack(&[], 100).is_empty());
    }

    proptest! {
        #[test]
        fn every_sequence_is_in_one_batch_within_the_budget(lengths in prop::collection::vec(0usize..600, 0..80), budget in 1usize..4096) {
            let batches = pack(&lengths, budget);
            let mut seen: Vec<usize> = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for batch in batches {
                let longest = batch.iter().map(|&index| lengths[index]).max().unwrap();
                prop_assert!(batch.len() == 1 || batch.len() * longest <= budget);
            }
        }
    }
}
