//! The keys of all documents, in as little memory as they need: a writer has them all at hand, and a reader that names hits.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Removed keys that are too few to be worth moving the others for.
const FEW: usize = if cfg!(test) { 16 } else { 1024 };

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

/// What the index has under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// The document's number.
    pub(crate) number: u64,
    /// The digest of its values.
    pub(crate) digest: u64,
}

/// What is under each key. A hash map of owned keys would add a pointer, a length and an allocation for each.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    keys: Texts,
    /// By the places of their keys, those of removed keys included.
    contents: Vec<Content>,
    /// Places by the hashes of keys.
    places: HashTable<usize>,
    hasher: RandomState,
}

impl Contents {
    pub(super) fn with_capacity(keys: usize) -> Self {
        Self {
            keys: Texts::with_capacity(keys),
            contents: Vec::with_capacity(keys),
            places: HashTable::with_capacity(keys),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// In no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.places.iter().filter_map(|place| self.keys.get(*place))
    }

    pub(crate) fn get(&self, key: &str) -> Option<Content> {
        let place = self.places.find(self.hasher.hash_one(key), |place| self.keys.get(*place) == Some(key))?;
        self.contents.get(*place).copied()
    }

    /// Gives what was there before.
    pub(crate) fn insert(&mut self, key: &str, content: Content) -> Option<Content> {
        let Self { keys, contents, places, hasher } = self;
        let rehash = |place: &usize| hasher.hash_one(keys.get(*place).unwrap_or_default());
        match places.entry(hasher.hash_one(key), |place| keys.get(*place) == Some(key), rehash) {
            Entry::Occupied(entry) => Some(std::mem::replace(contents.get_mut(*entry.get())?, content)),
            Entry::Vacant(entry) => {
                entry.insert(contents.len());
                keys.push(key);
                contents.push(content);
                None
            }
        }
    }

    /// Gives what was there.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Content> {
        let found = self.places.find_entry(self.hasher.hash_one(key), |place| self.keys.get(*place) == Some(key));
        let (place, _) = found.ok()?.remove();
        let content = self.contents.get(place).copied();
        let removed = self.contents.len() - self.places.len();
        if removed > FEW.max(self.places.len()) {
            self.forget_removed();
        }
        content
    }

    /// Moves what is left together.
    fn forget_removed(&mut self) {
        let mut left = Self { hasher: self.hasher.clone(), ..Self::with_capacity(self.len()) };
        for place in &self.places {
            if let (Some(key), Some(content)) = (self.keys.get(*place), self.contents.get(*place)) {
                left.insert(key, *content);
            }
        }
        *self = left;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_what_was_pushed_empty_ones_included() {
        let texts: Texts = ["a", "", "bcd", "ü"].into_iter().collect();
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["a", "", "bcd", "ü"]);
        assert_eq!((texts.get(2), texts.get(4)), (Some("bcd"), None));
    }

    #[test]
    fn removed_keys_do_not_keep_their_memory() {
        let mut contents = Contents::default();
        for number in 0..100_000 {
            contents.insert(&number.to_string(), Content { number, digest: 0 });
            if let Some(earlier) = number.checked_sub(10) {
                assert_eq!(contents.remove(&earlier.to_string()), Some(Content { number: earlier, digest: 0 }));
            }
        }
        assert_eq!(contents.len(), 10);
        assert!(contents.keys.len() <= 2 * FEW);
    }

    proptest! {
        #[test]
        fn contents_are_a_map(steps in prop::collection::vec((0u8..3, 0u64..400), 0..1000)) {
            let (mut contents, mut map) = (Contents::default(), HashMap::new());
            for (at, (step, key)) in steps.into_iter().enumerate() {
                let (key, content) = (key.to_string(), Content { number: at as u64, digest: key });
                match step {
                    0 => prop_assert_eq!(contents.insert(&key, content), map.insert(key, content)),
                    1 => prop_assert_eq!(contents.remove(&key), map.remove(&key)),
                    _ => prop_assert_eq!(contents.get(&key), map.get(&key).copied()),
                }
            }
            let mut keys: Vec<&str> = contents.keys().collect();
            let mut expected: Vec<&str> = map.keys().map(String::as_str).collect();
            keys.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!((contents.len(), keys), (map.len(), expected));
        }
    }
}
