//! The keys of all documents, in as little memory as they need, for a reader that names hits and orders those that tie.

use std::cmp::Ordering;

/// Many short texts, one after the other in one piece of memory.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: String,
    ends: Vec<usize>,
}

impl Texts {
    pub(super) fn with_capacity(texts: usize) -> Self {
        Self { all: String::new(), ends: Vec::with_capacity(texts) }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.all.push_str(text);
        self.ends.push(self.all.len());
    }

    /// Gives back what was held for more of them.
    pub(super) fn shrink(&mut self) {
        self.all.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.all[start..end])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|at| self.get(at))
    }
}

impl<'a> FromIterator<&'a str> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut all = Self::default();
        texts.into_iter().for_each(|text| all.push(text));
        all
    }
}

/// Texts, and of each the eight bytes behind those that all begin with. Most are told apart by these alone, without a look at two texts that
/// may lie anywhere: where all that a prefix finds ties, comparing them is much of what a search takes.
#[derive(Debug)]
pub(super) struct Keys {
    texts: Texts,
    heads: Vec<u64>,
}

impl From<Texts> for Keys {
    fn from(texts: Texts) -> Self {
        let first = texts.get(0).unwrap_or_default().as_bytes();
        let alike = |text: &str| first.iter().zip(text.as_bytes()).take_while(|(a, b)| a == b).count();
        let common = texts.iter().map(alike).min().unwrap_or_default();
        let mut heads = Vec::with_capacity(texts.len());
        heads.extend(texts.iter().map(|text| head(text.as_bytes().get(common..).unwrap_or_default())));
        Self { texts, heads }
    }
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&str> {
        self.texts.get(at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts.iter()
    }

    /// A key to compare with others of these.
    pub(super) fn ordered(&self, at: usize) -> Option<OrderedKey<'_>> {
        self.heads.get(at).map(|head| OrderedKey { head: *head, at, texts: &self.texts })
    }
}

/// The first bytes of a text as a number. A shorter text is filled up with zeros, so it is never behind one that goes on.
fn head(text: &[u8]) -> u64 {
    text.first_chunk().map_or_else(
        || text.iter().rev().fold(0, |head, byte| head >> 8 | u64::from(*byte) << 56),
        |first| u64::from_be_bytes(*first),
    )
}

/// A key of an index, in the order of keys: that of their bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderedKey<'a> {
    head: u64,
    at: usize,
    texts: &'a Texts,
}

impl Ord for OrderedKey<'_> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.head.cmp(&other.head).then_with(|| self.texts.get(self.at).cmp(&other.texts.get(other.at)))
    }
}

impl PartialOrd for OrderedKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OrderedKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OrderedKey<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_in_the_order_of_their_bytes(begin in "[a\0]{0,3}", ends in prop::collection::vec("[ab\0ü]{0,11}", 0..20)) {
            let texts: Vec<String> = ends.iter().map(|end| format!("{begin}{end}")).collect();
            let keys = Keys::from(texts.iter().map(String::as_str).collect::<Texts>());
            for (a, of_a) in texts.iter().enumerate() {
                for (b, of_b) in texts.iter().enumerate() {
                    prop_assert_eq!(keys.ordered(a).cmp(&keys.ordered(b)), of_a.cmp(of_b), "{:?} and {:?}", of_a, of_b);
                }
            }
        }
    }

    #[test]
    fn texts_are_what_was_pushed_empty_ones_included() {
        let texts: Texts = ["a", "", "bcd", "ü"].into_iter().collect();
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["a", "", "bcd", "ü"]);
        assert_eq!((texts.get(2), texts.get(4)), (Some("bcd"), None));
    }
}
