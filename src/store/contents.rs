//! What is under each key, for the writer, who asks for it with each document.

use std::hash::{BuildHasher, RandomState};
use std::iter::{from_fn, once};
use std::path::Path;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::scratch::Scratch;
use crate::error::StorageError;

/// Records that nobody needs any more and that are too few to be worth writing the others anew.
const FEW: u64 = if cfg!(test) { 16 } else { 1 << 16 };

/// Keys that are found by a hash table, until they become a run.
const RECENT: usize = if cfg!(test) { 32 } else { 1 << 17 };

/// Bits of a slot that say where its record is: a terabyte of keys. The others are its mark.
const PLACE: u32 = 40;

/// A record before its key: number, digest, length of the key.
const HEAD: usize = 20;

/// In place of the number of a document where there is none any more.
const GONE: u64 = u64::MAX;

/// What the index has under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// The document's number.
    pub(crate) number: u64,
    /// The digest of its values.
    pub(crate) digest: u64,
}

/// Part of a key's hash, and the place of its record; in the order of the former.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// A map from keys to contents, in memory that does not grow with it: a log-structured merge tree. Each change adds a record to a [`Scratch`]. The slots
/// of the last ones are in a hash table, those of the others in runs, which are files, too. What was said of a key last is what counts.
#[derive(Debug)]
pub(crate) struct Contents {
    records: Scratch,
    recent: HashTable<Slot>,
    /// Oldest first, each more than twice as long as the next.
    runs: Vec<Run>,
    keys: usize,
    /// Records of removed and replaced contents.
    gone: u64,
    hasher: RandomState,
}

/// Slots in the order of their marks, one of each key.
#[derive(Debug)]
struct Run {
    slots: Scratch,
    count: usize,
}

impl Run {
    fn new(directory: &Path, slots: impl Iterator<Item = Slot>) -> Result<Self, StorageError> {
        let mut run = Self { slots: Scratch::new(directory), count: 0 };
        for slot in slots {
            run.slots.push(&[&slot.0.to_le_bytes()])?;
            run.count += 1;
        }
        run.slots.finish()?;
        Ok(run)
    }

    fn slot(&self, place: usize) -> Option<Slot> {
        let bytes = self.slots.get(place as u64 * size_of::<u64>() as u64).filter(|_| place < self.count)?;
        bytes.first_chunk().map(|bytes| Slot(u64::from_le_bytes(*bytes)))
    }

    fn from(&self, place: usize) -> impl Iterator<Item = Slot> {
        (place..self.count).map_while(|place| self.slot(place))
    }

    /// The slots with a mark.
    fn of(&self, mark: u64) -> impl Iterator<Item = Slot> {
        let before = |place: usize| self.slot(place).is_some_and(|slot| slot.mark() < mark);
        // Marks are spread evenly, so the first of them is not far from where it would be if they were so exactly.
        let guess = ((mark as u128 * self.count as u128) >> (u64::BITS - PLACE)) as usize;
        let (mut low, mut high, mut step) = (0, self.count, 32);
        if before(guess) {
            low = guess + 1;
            while before(low + step) {
                low += step + 1;
                step *= 2;
            }
            high = high.min(low + step);
        } else {
            high = guess;
            while let Some(place) = high.checked_sub(step).filter(|place| !before(*place)) {
                high = place;
                step *= 2;
            }
            low = low.max(high.saturating_sub(step));
        }
        while low < high {
            let middle = low.midpoint(high);
            if before(middle) { low = middle + 1 } else { high = middle }
        }
        self.from(low).take_while(move |slot| slot.mark() == mark)
    }
}

impl Contents {
    /// An empty one, which may write into files in that directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            records: Scratch::new(directory),
            recent: HashTable::new(),
            runs: Vec::new(),
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
        let records = self.live().filter_map(|slot| read(&self.records, slot));
        records.filter_map(|(key, _)| std::str::from_utf8(key).ok())
    }

    pub(crate) fn get(&self, key: &str) -> Option<Content> {
        self.look_up(self.mark(key), key)
    }

    /// Gives what was there before.
    ///
    /// # Errors
    /// [`StorageError::Io`] and [`StorageError::Full`]; what is there then is not to be relied on.
    pub(crate) fn insert(&mut self, key: &str, content: Content) -> Result<Option<Content>, StorageError> {
        let mark = self.mark(key);
        let earlier = self.look_up(mark, key);
        self.keys += usize::from(earlier.is_none());
        self.gone += u64::from(earlier.is_some());
        self.note(mark, key, content)?;
        Ok(earlier)
    }

    /// Gives what was there.
    ///
    /// # Errors
    /// [`StorageError::Io`] and [`StorageError::Full`]; what is there then is not to be relied on.
    pub(crate) fn remove(&mut self, key: &str) -> Result<Option<Content>, StorageError> {
        let mark = self.mark(key);
        let Some(earlier) = self.look_up(mark, key) else { return Ok(None) };
        self.keys -= 1;
        // What says so is of no use either, once the runs that have the key are joined.
        self.gone += 2;
        self.note(mark, key, Content { number: GONE, digest: 0 })?;
        Ok(Some(earlier))
    }

    fn mark(&self, key: &str) -> u64 {
        self.hasher.hash_one(key) >> PLACE
    }

    fn look_up(&self, mark: u64, key: &str) -> Option<Content> {
        let has_key = |slot: &Slot| is(&self.records, *slot, mark, key);
        let recent = self.recent.find(spread(mark), has_key).copied();
        let slot = recent.or_else(|| self.runs.iter().rev().flat_map(|run| run.of(mark)).find(has_key))?;
        read(&self.records, slot).map(|(_, content)| content).filter(|content| content.number != GONE)
    }

    /// Adds a record, which is the last word on its key.
    fn note(&mut self, mark: u64, key: &str, content: Content) -> Result<(), StorageError> {
        let record = [content.number.to_le_bytes(), content.digest.to_le_bytes()];
        let length = (key.len() as u32).to_le_bytes();
        let at = self.records.push(&[&record[0], &record[1], &length, key.as_bytes()])?;
        if at >> PLACE != 0 {
            let path = self.records.directory().to_path_buf();
            return Err(StorageError::Full { path, what: "bytes of keys", most: 1 << PLACE });
        }
        let (records, slot) = (&self.records, Slot::new(mark, at));
        let found = |slot: &Slot| is(records, *slot, mark, key);
        match self.recent.entry(spread(mark), found, |slot| spread(slot.mark())) {
            Entry::Occupied(mut entry) => *entry.get_mut() = slot,
            Entry::Vacant(entry) => drop(entry.insert(slot)),
        }
        if self.gone > FEW.max(self.keys as u64) {
            return self.rewrite();
        }
        if self.recent.len() >= RECENT { self.put_away() } else { Ok(()) }
    }

    /// Makes the recent slots a run, joined with those that would not be more than twice as long.
    fn put_away(&mut self) -> Result<(), StorageError> {
        let (mut first, mut size) = (self.runs.len(), self.recent.len());
        while let Some(run) = first.checked_sub(1).and_then(|last| self.runs.get(last)).filter(|run| run.count <= 2 * size) {
            size += run.count;
            first -= 1;
        }
        let run = Run::new(self.records.directory(), self.newest(first))?;
        self.runs.truncate(first);
        self.runs.push(run);
        self.recent.clear();
        Ok(())
    }

    /// Writes the records that are of use anew.
    fn rewrite(&mut self) -> Result<(), StorageError> {
        let mut records = Scratch::new(self.records.directory());
        let mut failed = None;
        let copied = self.live().filter_map(|slot| {
            let (key, _) = read(&self.records, slot)?;
            let record = self.records.get(slot.at())?.get(..HEAD + key.len())?;
            match records.push(&[record]) {
                Ok(at) => Some(Slot::new(slot.mark(), at)),
                Err(error) => {
                    failed.get_or_insert(error);
                    None
                }
            }
        });
        let run = Run::new(self.records.directory(), copied)?;
        if let Some(error) = failed {
            return Err(error);
        }
        (self.records, self.runs, self.gone) = (records, vec![run], 0);
        self.recent = HashTable::new();
        Ok(())
    }

    /// The slots of the keys that are there.
    fn live(&self) -> impl Iterator<Item = Slot> {
        self.newest(0)
    }

    /// The newest slot of each key that the recent ones or the runs from one on have, in the order of their marks. Those that say that there
    /// is nothing are left out where no older run can have the key.
    fn newest(&self, first: usize) -> impl Iterator<Item = Slot> {
        let mut recent: Vec<Slot> = self.recent.iter().copied().collect();
        recent.sort_unstable();
        let runs = self.runs[first..].iter().rev();
        let mut sources: Vec<_> = once(Box::new(recent.into_iter()) as Box<dyn Iterator<Item = Slot>>)
            .chain(runs.map(|run| Box::new(run.from(0)) as Box<dyn Iterator<Item = Slot>>))
            .map(Iterator::peekable)
            .collect();
        let mut of_mark: Vec<Slot> = Vec::new();
        let key = |slot: Slot| read(&self.records, slot).map(|(key, _)| key);
        let is_gone = |slot: &Slot| read(&self.records, *slot).is_none_or(|(_, content)| content.number == GONE);
        let next = move || {
            loop {
                if let Some(slot) = of_mark.pop() {
                    return Some(slot);
                }
                let mark = sources.iter_mut().filter_map(|source| source.peek().map(|slot| slot.mark())).min()?;
                for source in &mut sources {
                    while let Some(slot) = source.next_if(|slot| slot.mark() == mark) {
                        if !of_mark.iter().any(|newer| key(*newer) == key(slot)) {
                            of_mark.push(slot);
                        }
                    }
                }
            }
        };
        from_fn(next).filter(move |slot| first > 0 || !is_gone(slot))
    }
}

/// The hash by which the table sorts a mark: tables look at the highest bits and at the lowest.
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
        let slots: usize = contents.runs.iter().map(|run| run.count).sum();
        assert!(contents.recent.capacity() < 1000 && slots < 1000, "{slots}");
    }

    #[test]
    fn keys_of_one_mark_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let mut contents = Contents::new(directory.path());
        for number in 0..20_000 {
            contents.insert(&number.to_string(), Content { number, digest: !number }).unwrap();
        }
        let mut seen = HashMap::new();
        let twins = (0..20_000).filter(|number: &u64| seen.insert(contents.mark(&number.to_string()), *number).is_some());
        assert!(twins.count() > 0, "20,000 keys meet some 12 times at one of 2^24 marks");
        for number in 0..20_000 {
            assert_eq!(contents.get(&number.to_string()), Some(Content { number, digest: !number }));
        }
        assert_eq!(contents.get("20000"), None);
        let lengths: Vec<usize> = contents.runs.iter().map(|run| run.count).collect();
        assert!(lengths.len() > 2 && lengths.windows(2).all(|pair| pair[0] > 2 * pair[1]), "{lengths:?}");
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
