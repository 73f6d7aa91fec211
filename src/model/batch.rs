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

/// What a batch takes room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// Each sequence filled up to the longest.
    ToLongest,
    /// The tokens alone.
    None,
}

/// Groups sequences, given by length, into batches whose size is at most `budget` tokens.
///
/// The longest come first, and neighbours in length share a batch, so that little is padded and the last batches to be done are
/// short. A sequence longer than the budget is a batch of its own. Returns indices into `lengths`; each is in one batch.
pub(super) fn pack(lengths: &[usize], budget: usize, padding: Padding) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(lengths[index]), index));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    let mut longest = 0;
    for index in order {
        let length = lengths[index].max(1);
        let needed = if padding == Padding::ToLongest { longest } else { length };
        match batches.last_mut() {
            Some(batch) if needed <= room => {
                batch.push(index);
                room -= needed;
            }
            _ => {
                longest = length;
                room = budget.saturating_sub(length);
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
        assert_eq!(pack(&[10, 100, 12, 98], 200, Padding::ToLongest), [vec![1, 3], vec![2, 0]]);
    }

    #[test]
    fn what_is_not_padded_shares_a_batch_with_what_is_shorter() {
        assert_eq!(pack(&[10, 100, 12, 98], 210, Padding::None), [vec![1, 3, 2], vec![0]]);
    }

    #[test]
    fn nothing_makes_no_batch() {
        assert!(pack(&[], 100, Padding::None).is_empty());
    }

    proptest! {
        #[test]
        fn every_sequence_is_in_one_batch_within_the_budget(lengths in prop::collection::vec(0usize..600, 0..80), budget in 1usize..4096, padded in any::<bool>()) {
            let padding = if padded { Padding::ToLongest } else { Padding::None };
            let batches = pack(&lengths, budget, padding);
            let mut seen: Vec<usize> = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for batch in batches {
                let lengths = batch.iter().map(|&index| lengths[index].max(1));
                let size = if padded { lengths.max().unwrap() * batch.len() } else { lengths.sum() };
                prop_assert!(batch.len() == 1 || size <= budget);
            }
        }
    }
}
