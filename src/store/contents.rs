//! What is under each key, for the writer, who asks for it with each document.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::scratch::Scratch;
use crate::error::StorageError;

/// Records that nobody needs any more and that are too few to be worth writing the others anew.
const FEW: u64 = if cfg!(test) { 16 } else { 1 << 16 };

/// Tables that the slots are shared out among, so that one grows at a time.
const TABLES: usize = 256;

/// Bits of a slot that say where its record is: a terabyte of keys.
const PLACE: u32 = 40;

/// A record before its key: number, digest, length of the key.
const HEAD: usize = 20;

/// What the index has under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// The document's number.
    pub(crate) number: u64,
    /// The digest of its values.
    pub(crate) digest: u64,
}

/// Part of a key's hash, and the place of its record.
#[derive(Clone, Copy, Debug)]
struct Slot(u64);

impl Slot {
    fn new(mark: u64, at: u64) -> Self {
        Self(mark << PLACE | at)
    }

    fn mark(self) -> u64 {
        self.0 >> PLACE
    }

    fn at(self) -> u64 {
        self.0 & ((1 << PLACE) - 1)
    }
}

/// A map from keys to contents. In memory are 8 bytes for each key and what a hash table leaves free; the keys themselves are in a [`Scratch`],
/// where each change adds a record.
#[derive(Debug)]
pub(crate) struct Contents {
    records: Scratch,
    tables: Vec<HashTable<Slot>>,
    keys: usize,
    /// Records of removed and replaced contents.
    gone: u64,
    hasher: RandomState,
}

impl Contents {
    /// An empty one, which may write into a file in that directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            records: Scratch::new(directory),
            tables: vec![HashTable::new(); TABLES],
            keys: 0,
            gone: 0,
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys
    }

    /// In no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let slots = self.tables.iter().flatten();
        slots.filter_map(|slot| read(&self.records, *slot)).filter_map(|(key, _)| std::str::from_utf8(key).ok())
    }

    pub(crate) fn get(&self, key: &str) -> Option<Content> {
        let (table, mark) = self.place(key);
        let slot = self.tables[table].find(spread(mark), |slot| is(&self.records, *slot, mark, key))?;
        read(&self.records, *slot).map(|(_, content)| content)
    }

    /// Gives what was there before.
    ///
    /// # Errors
    /// [`StorageError::Io`] and [`StorageError::Full`]; what is there then is not to be relied on.
    pub(crate) fn insert(&mut self, key: &str, content: Content) -> Result<Option<Content>, StorageError> {
        let (table, mark) = self.place(key);
        let record = [content.number.to_le_bytes(), content.digest.to_le_bytes()];
        let length = (key.len() as u32).to_le_bytes();
        let at = self.records.push(&[&record[0], &record[1], &length, key.as_bytes()])?;
        if at >> PLACE != 0 {
            let path = self.records.directory().to_path_buf();
            return Err(StorageError::Full { path, what: "bytes of keys", most: 1 << PLACE });
        }
        let records = &self.records;
        let found = |slot: &Slot| is(records, *slot, mark, key);
        let earlier = match self.tables[table].entry(spread(mark), found, |slot| spread(slot.mark())) {
            Entry::Occupied(mut entry) => std::mem::replace(entry.get_mut(), Slot::new(mark, at)),
            Entry::Vacant(entry) => {
                entry.insert(Slot::new(mark, at));
                self.keys += 1;
                return Ok(None);
            }
        };
        let earlier = read(records, earlier).map(|(_, content)| content);
        self.forget_one()?;
        Ok(earlier)
    }

    /// Gives what was there.
    ///
    /// # Errors
    /// [`StorageError::Io`]; what is there then is not to be relied on.
    pub(crate) fn remove(&mut self, key: &str) -> Result<Option<Content>, StorageError> {
        let (table, mark) = self.place(key);
        let records = &self.records;
        let Ok(entry) = self.tables[table].find_entry(spread(mark), |slot| is(records, *slot, mark, key)) else {
            return Ok(None);
        };
        let (slot, _) = entry.remove();
        let content = read(records, slot).map(|(_, content)| content);
        self.keys -= 1;
        self.forget_one()?;
        Ok(content)
    }

    /// Notes that a record is of no use, and writes the others anew where most are like it.
    fn forget_one(&mut self) -> Result<(), StorageError> {
        self.gone += 1;
        if self.gone <= FEW.max(self.keys as u64) {
            return Ok(());
        }
        let mut records = Scratch::new(self.records.directory());
        for table in &mut self.tables {
            for slot in table.iter_mut() {
                let Some((key, _)) = read(&self.records, *slot) else { continue };
                let record = self.records.get(slot.at()).and_then(|record| record.get(..HEAD + key.len()));
                *slot = Slot::new(slot.mark(), records.push(&[record.unwrap_or_default()])?);
            }
            // Hash tables do not give memory back by themselves.
            table.shrink_to_fit(|slot| spread(slot.mark()));
        }
        (self.records, self.gone) = (records, 0);
        Ok(())
    }

    /// The table that a key belongs to, and its mark there.
    fn place(&self, key: &str) -> (usize, u64) {
        let hash = self.hasher.hash_one(key);
        ((hash % TABLES as u64) as usize, hash >> PLACE)
    }
}

/// The hash by which a table sorts a mark: tables look at the highest bits and at the lowest.
fn spread(mark: u64) -> u64 {
    mark.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Whether a slot has that key.
fn is(records: &Scratch, slot: Slot, mark: u64, key: &str) -> bool {
    slot.mark() == mark && read(records, slot).is_some_and(|(found, _)| found == key.as_bytes())
}

/// Key and content of a slot.
fn read(records: &Scratch, slot: Slot) -> Option<(&[u8], Content)> {
    let record = records.get(slot.at())?;
    let (number, rest) = record.split_first_chunk()?;
    let (digest, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let key = rest.get(..u32::from_le_bytes(*length) as usize)?;
    Some((key, Content { number: u64::from_le_bytes(*number), digest: u64::from_le_bytes(*digest) }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn removed_and_replaced_keys_do_not_keep_their_room() {
        let directory = tempfile::tempdir().unwrap();
        let mut contents = Contents::new(directory.path());
        for number in 0..100_000 {
            contents.insert(&number.to_string(), Content { number, digest: 0 }).unwrap();
            contents.insert("always", Content { number, digest: 1 }).unwrap();
            if let Some(earlier) = number.checked_sub(10) {
                let content = Content { number: earlier, digest: 0 };
                assert_eq!(contents.remove(&earlier.to_string()).unwrap(), Some(content));
            }
        }
        assert_eq!(contents.len(), 11);
        assert!(contents.gone <= FEW && contents.records.get(4096).is_none());
        let room: usize = contents.tables.iter().map(HashTable::capacity).sum();
        assert!(room < 1000, "{room}");
    }

    #[test]
    fn keys_of_one_mark_and_one_table_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let mut contents = Contents::new(directory.path());
        for number in 0..400_000 {
            contents.insert(&number.to_string(), Content { number, digest: !number }).unwrap();
        }
        let mut seen = HashMap::new();
        let twins = (0..400_000).filter(|number: &u64| seen.insert(contents.place(&number.to_string()), *number).is_some());
        assert!(twins.count() > 0, "400,000 keys over 2^32 places meet some 19 times");
        for number in 0..400_000 {
            assert_eq!(contents.get(&number.to_string()), Some(Content { number, digest: !number }));
        }
        assert_eq!(contents.get("400000"), None);
    }

    proptest! {
        #[test]
        fn contents_are_a_map(steps in prop::collection::vec((0u8..3, 0u64..400), 0..1000)) {
            let directory = tempfile::tempdir().unwrap();
            let (mut contents, mut map) = (Contents::new(directory.path()), HashMap::new());
            for (at, (step, key)) in steps.into_iter().enumerate() {
                let (key, content) = (key.to_string(), Content { number: at as u64, digest: key });
                match step {
                    0 => prop_assert_eq!(contents.insert(&key, content).unwrap(), map.insert(key, content)),
                    1 => prop_assert_eq!(contents.remove(&key).unwrap(), map.remove(&key)),
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
