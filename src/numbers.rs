//! A set of document numbers, as a filter makes it and both legs of a search use it; and a writer, of all that are there.

/// Numbers of documents, a bit each: numbers are given out one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NumberSet {
    words: Vec<u64>,
    count: usize,
}

impl NumberSet {
    pub(crate) fn insert(&mut self, number: u64) {
        self.add((number / 64) as usize, 1 << (number % 64));
    }

    /// Puts in those bits of a word.
    fn add(&mut self, at: usize, word: u64) {
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        self.count += (word & !self.words[at]).count_ones() as usize;
        self.words[at] |= word;
    }

    pub(crate) fn remove(&mut self, number: u64) {
        if self.contains(number) {
            self.words[(number / 64) as usize] &= !(1 << (number % 64));
            self.count -= 1;
        }
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.words.get((number / 64) as usize).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// A bit for each of 32 numbers, the lowest for `first`.
    pub(crate) fn bits_from(&self, first: u64) -> u32 {
        let word = |at: u64| self.words.get(at as usize).copied().unwrap_or_default();
        let (at, shift) = (first / 64, first % 64);
        let both = u128::from(word(at)) | u128::from(word(at + 1)) << 64;
        (both >> shift) as u32
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        let bits = |(at, word): (usize, &u64)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest = if rest == 0 { return None } else { rest & (rest - 1) };
                Some(at as u64 * 64 + u64::from(bit))
            })
        };
        self.words.iter().enumerate().flat_map(bits)
    }
}

impl Extend<u64> for NumberSet {
    /// Quick where numbers ascend: those of a word are put in together.
    fn extend<I: IntoIterator<Item = u64>>(&mut self, numbers: I) {
        let (mut at, mut word) = (0, 0);
        for number in numbers {
            let place = (number / 64) as usize;
            if place != at && word != 0 {
                self.add(at, word);
                word = 0;
            }
            at = place;
            word |= 1 << (number % 64);
        }
        if word != 0 {
            self.add(at, word);
        }
    }
}

impl FromIterator<u64> for NumberSet {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut set = Self::default();
        set.extend(numbers);
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_put_in_and_not_taken_out(
            numbers in prop::collection::vec(0u64..500, 0..60), removed in prop::collection::vec(0u64..600, 0..60),
        ) {
            let (first, second) = numbers.split_at(numbers.len() / 3);
            let mut set: NumberSet = first.iter().copied().collect();
            let mut each = NumberSet::default();
            second.iter().for_each(|number| each.insert(*number));
            set.extend(each.iter());
            let mut plain: BTreeSet<u64> = numbers.into_iter().collect();
            for number in removed {
                set.remove(number);
                plain.remove(&number);
            }
            prop_assert_eq!(set.len(), plain.len());
            prop_assert!(set.iter().eq(plain.iter().copied()));
            prop_assert!((0..600).all(|number| set.contains(number) == plain.contains(&number)));
            let bits = |first: u64| (0..32).fold(0, |bits, at| bits | u32::from(plain.contains(&(first + at))) << at);
            prop_assert!((0..600).all(|first| set.bits_from(first) == bits(first)));
        }
    }
}
