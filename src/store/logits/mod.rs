//! What the cross-encoder has said, kept so that nobody pays for it twice.
//!
//! A key covers the model, its precision, the query and all that the model reads of a passage, so an entry is never out of
//! date, whatever a commit changes; documents' numbers are kept only to drop what can no longer be asked for. The newest
//! logits are in memory, and in the one file `logits` beside the tables (`storage-format.md`), which any process may append
//! to when nobody else is at it, and which anybody may delete at any time: no handle to it is kept.
//! **Invariant:** a lookup gives the logit that was put under its key, or nothing; no failure here is a search's failure.

mod file;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, ErrorKind};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use self::file::{ENTRY, Entry, LogitFile, Place, SMALLEST, size};
use super::Layout;
use crate::model::ModelIdentity;

/// To be raised when the same model, precision, query and passage give another logit than before.
const COMPUTATION: u8 = 1;

/// What a logit is of: the first half of a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LogitKey([u8; 16]);

/// A key is a hash already.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first_chunk().map_or(self.0, |bytes| u64::from_le_bytes(*bytes));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Logits = HashMap<LogitKey, f32, BuildHasherDefault<KeyHasher>>;

/// The keys of one query's passages.
#[derive(Clone)]
pub(crate) struct LogitKeys(Sha256);

impl LogitKeys {
    /// `precision` names all beside the model that decides its numbers.
    pub(crate) fn new(model: &ModelIdentity, precision: &str, query: &str) -> Self {
        let mut keys = Self(Sha256::new_with_prefix([COMPUTATION]));
        for part in [model.hash(), precision, query] {
            keys.add(part);
        }
        keys
    }

    /// `passage` is all that the model reads beside the query, its heading included.
    pub(crate) fn key(&self, passage: &str) -> LogitKey {
        let mut keys = self.clone();
        keys.add(passage);
        let hash = keys.0.finalize();
        LogitKey(std::array::from_fn(|at| hash[at]))
    }

    /// With its length before it, so that no two sequences of parts are one.
    fn add(&mut self, part: &str) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }
}

/// The logits that are known in an index. Shared by threads.
pub(crate) struct LogitCache {
    path: PathBuf,
    /// Bytes on disk; 0 when there is no cache.
    most: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest half at most of what may be known.
    young: Logits,
    /// What was `young` when that was last full.
    old: Logits,
    /// What is not in the file yet.
    pending: Vec<Entry>,
    /// How far the file has been read.
    seen: Place,
    loaded: bool,
    warned: bool,
}

impl LogitCache {
    /// Of some 600,000 logits.
    pub(crate) const DEFAULT: u64 = 16 << 20;

    /// Looks at nothing yet: the file is read at the first lookup. With 0 bytes, or too few for one logit, nothing is kept.
    pub(crate) fn open(layout: &Layout, most: u64) -> Self {
        let most = if most < SMALLEST { 0 } else { most };
        Self { path: layout.logits(), most, state: Mutex::default() }
    }

    pub(crate) fn get(&self, key: &LogitKey) -> Option<f32> {
        if self.most == 0 {
            return None;
        }
        let mut state = self.state();
        if !state.loaded {
            let read = state.load(self);
            Self::told(state, &self.path, read);
            state = self.state();
        }
        state.known(key)
    }

    /// Notes a logit, for this process at once and for others with the next [`LogitCache::flush`]. The first one stays.
    pub(crate) fn put(&self, document: u64, key: LogitKey, logit: f32) {
        if self.most == 0 || !logit.is_finite() {
            return;
        }
        let mut state = self.state();
        // The second condition matters where somebody else is at the file for very long.
        if state.remember(key, logit, self.half()) && state.pending.len() < self.half() {
            state.pending.push(Entry { document, key, logit });
        }
    }

    /// Writes what is new, unless somebody else is at the file just now: then the next call does. Nothing waits for the disk;
    /// what a power cut takes is computed again.
    pub(crate) fn flush(&self) {
        let mut state = self.state();
        if !state.pending.is_empty() {
            let written = state.write(self);
            Self::told(state, &self.path, written);
        }
    }

    /// Says once that the file is of no use; what was to be written stays in memory.
    fn told(mut state: MutexGuard<'_, State>, path: &Path, result: io::Result<()>) {
        let Err(error) = result else { return };
        state.pending.clear();
        let again = mem::replace(&mut state.warned, true);
        // Whoever listens may search with this cache.
        drop(state);
        if !again {
            tracing::warn!(path = %path.display(), %error, "logits are kept in memory only");
        }
    }

    /// How many logits half the file holds.
    fn half(&self) -> usize {
        usize::try_from(self.most / 2 / ENTRY as u64).unwrap_or(usize::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn known(&self, key: &LogitKey) -> Option<f32> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    /// Whether it was new.
    fn remember(&mut self, key: LogitKey, logit: f32, half: usize) -> bool {
        let before = self.young.len();
        if !self.old.contains_key(&key) {
            self.young.entry(key).or_insert(logit);
        }
        let new = self.young.len() > before;
        if self.young.len() >= half {
            self.old = mem::take(&mut self.young);
        }
        new
    }

    fn load(&mut self, cache: &LogitCache) -> io::Result<()> {
        match LogitFile::to_read(&cache.path) {
            Ok(Some(mut file)) => self.catch_up(&mut file, cache.half()),
            // Somebody is writing: the next lookup tries again.
            Ok(None) => Ok(()),
            Err(error) => {
                self.loaded = true;
                if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Reads what this and other processes have written since the last time.
    fn catch_up(&mut self, file: &mut LogitFile, half: usize) -> io::Result<()> {
        self.loaded = true;
        let seen = self.seen;
        self.seen = file.read(seen, |entry| {
            self.remember(entry.key, entry.logit, half);
        })?;
        Ok(())
    }

    fn write(&mut self, cache: &LogitCache) -> io::Result<()> {
        let Some(mut file) = LogitFile::to_write(&cache.path, true)? else { return Ok(()) };
        let new = mem::take(&mut self.pending);
        self.catch_up(&mut file, cache.half())?;
        let fits = self.seen.end.saturating_add(size(new.len())) <= cache.most;
        self.seen = if self.seen.is_somewhere() && fits {
            file.append(self.seen, &new)?
        } else {
            let mut all = Vec::new();
            file.read(Place::default(), |entry| all.push(entry))?;
            all.extend(new);
            file.rewrite(&all[all.len().saturating_sub(cache.half())..])?
        };
        Ok(())
    }
}

impl std::fmt::Debug for LogitCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogitCache({}, at most {} bytes)", self.path.display(), self.most)
    }
}

/// Keeps the file to documents that are there: for the writer, which knows them.
#[derive(Default)]
pub(super) struct Forgetting {
    /// Up to where the file has nothing of any other document.
    sound: Place,
}

impl Forgetting {
    /// Documents were deleted, or others are there than before: the whole file is to be looked at.
    pub(super) fn begin(&mut self) {
        self.sound = Place::default();
    }

    /// Drops the logits of documents that are not there. Looks at what is new in the file since the last time: searches of earlier generations
    /// add logits of documents that are gone since. Where somebody else is at the file or the disk refuses, the next call does it.
    pub(super) fn forget(&mut self, layout: &Layout, is_there: impl Fn(u64) -> bool) {
        let path = layout.logits();
        if let Err(error) = self.try_forget(&path, is_there)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "the logits of deleted documents are left for the next commit to drop");
        }
    }

    fn try_forget(&mut self, path: &Path, is_there: impl Fn(u64) -> bool) -> io::Result<()> {
        let Some(mut file) = LogitFile::to_read(path)? else { return Ok(()) };
        let mut gone = false;
        let end = file.read(self.sound, |entry| gone |= !is_there(entry.document))?;
        drop(file);
        if !gone {
            self.sound = end;
            return Ok(());
        }
        let Some(mut file) = LogitFile::to_write(path, false)? else { return Ok(()) };
        let mut left = Vec::new();
        file.read(Place::default(), |entry| left.extend(is_there(entry.document).then_some(entry)))?;
        self.sound = file.rewrite(&left)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::file::{HEADER, size};
    use super::*;

    fn model(hash: &str) -> ModelIdentity {
        let bytes = bincode::encode_to_vec(("a judge", hash, 1_u32), bincode::config::standard()).unwrap();
        bincode::decode_from_slice(&bytes, bincode::config::standard()).unwrap().0
    }

    fn key(number: usize) -> LogitKey {
        LogitKeys::new(&model("aa"), "int8", "a query").key(&format!("passage {number}"))
    }

    fn directory() -> (TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path()).unwrap();
        (directory, layout)
    }

    fn cache(layout: &Layout) -> LogitCache {
        LogitCache::open(layout, 1 << 20)
    }

    /// Puts the logits `n as f32` of passages, each of the document of its number.
    fn put(cache: &LogitCache, numbers: impl IntoIterator<Item = usize>) {
        numbers.into_iter().for_each(|number| cache.put(number as u64, key(number), number as f32));
        cache.flush();
    }

    /// As a writer does it that has just been opened.
    fn forget(layout: &Layout, is_there: impl Fn(u64) -> bool) {
        Forgetting::default().forget(layout, is_there);
    }

    /// Which of the first 100 are known; a logit that was never put fails.
    fn known(cache: &LogitCache) -> Vec<usize> {
        let found = (0..100).filter_map(|number| Some((number, cache.get(&key(number))?)));
        found.map(|(number, logit)| (number, assert_eq!(logit, number as f32)).0).collect()
    }

    #[test]
    fn a_logit_is_found_at_once_and_by_a_later_process() {
        let (_directory, layout) = directory();
        let first = cache(&layout);
        first.put(1, key(1), 1.0);
        assert_eq!(known(&first), [1], "before it is written");
        assert!(!layout.logits().exists());
        first.flush();
        put(&first, [2, 3]);
        assert_eq!(known(&cache(&layout)), [1, 2, 3]);
        let length = fs::metadata(layout.logits()).unwrap().len();
        put(&cache(&layout), [1, 4]);
        assert_eq!(known(&cache(&layout)), [1, 2, 3, 4]);
        assert!(fs::metadata(layout.logits()).unwrap().len() >= length + size(1));
    }

    #[test]
    fn each_part_makes_another_key_and_parts_do_not_run_together() {
        let keys =
            |hash: &str, precision: &str, query: &str, passage: &str| LogitKeys::new(&model(hash), precision, query).key(passage);
        let all = [
            keys("aa", "f32", "one", "two"),
            keys("ab", "f32", "one", "two"),
            keys("aa", "int8", "one", "two"),
            keys("aa", "f32", "on", "two"),
            keys("aa", "f32", "one", "twos"),
            keys("aa", "f32", "onet", "wo"),
            keys("aa", "f32", "on", "etwo"),
            keys("aaf", "32", "one", "two"),
            keys("aa", "f32", "onetwo", ""),
            keys("aa", "f32", "", "onetwo"),
        ];
        assert_eq!(HashSet::from(all).len(), all.len());
        assert_eq!(all[0], keys("aa", "f32", "one", "two"));
    }

    #[test]
    fn damage_of_any_byte_costs_the_entries_from_there_and_the_next_writer_cuts_them_off() {
        let (_directory, layout) = directory();
        let writer = cache(&layout);
        (0..3).for_each(|number| put(&writer, [2 * number, 2 * number + 1]));
        let sound = fs::read(layout.logits()).unwrap();
        assert_eq!(sound.len() as u64, HEADER as u64 + 3 * size(2));
        for at in 0..sound.len() {
            for bit in [0, 3, 7] {
                fs::write(layout.logits(), &sound).unwrap();
                let running = cache(&layout);
                assert_eq!(known(&running), [0, 1, 2, 3, 4, 5]);
                let mut damaged = sound.clone();
                damaged[at] ^= 1 << bit;
                fs::write(layout.logits(), damaged).unwrap();
                // Bytes 12 to 19 tell one writing of the file from another: to a process that has seen none, any will do.
                let left = match at {
                    0..12 => 0,
                    12..HEADER => 6,
                    _ => 2 * ((at - HEADER) as u64 / size(2)) as usize,
                };
                let later = cache(&layout);
                assert_eq!(known(&later), (0..left).collect::<Vec<_>>(), "byte {at}");
                put(&later, [50]);
                assert_eq!(known(&cache(&layout)), (0..left).chain([50]).collect::<Vec<_>>(), "byte {at}");
                let length = fs::metadata(layout.logits()).unwrap().len();
                assert_eq!(length, HEADER as u64 + (left as u64 / 2) * size(2) + size(1), "byte {at}");
                put(&running, [51]);
                assert_eq!(known(&cache(&layout)), (0..left).chain([50, 51]).collect::<Vec<_>>(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_file_cut_anywhere_gives_its_whole_blocks() {
        let (_directory, layout) = directory();
        let writer = cache(&layout);
        (0..3).for_each(|number| put(&writer, [number]));
        let sound = fs::read(layout.logits()).unwrap();
        for length in 0..=sound.len() {
            fs::write(layout.logits(), &sound[..length]).unwrap();
            let left = (length.saturating_sub(HEADER) as u64 / size(1)) as usize;
            let reader = cache(&layout);
            assert_eq!(known(&reader), (0..left).collect::<Vec<_>>(), "{length} bytes");
            put(&reader, [50]);
            assert_eq!(known(&cache(&layout)), (0..left).chain([50]).collect::<Vec<_>>(), "{length} bytes, written to");
        }
    }

    #[test]
    fn a_file_of_another_version_or_program_is_replaced() {
        let (_directory, layout) = directory();
        put(&cache(&layout), [1]);
        let mut newer = fs::read(layout.logits()).unwrap();
        newer[8] += 1;
        for strange in [newer, b"SQLite format 3\0 and much more".to_vec(), vec![0; 4096], Vec::new()] {
            fs::write(layout.logits(), strange).unwrap();
            let reader = cache(&layout);
            assert_eq!(known(&reader), [0_usize; 0]);
            put(&reader, [2]);
            assert_eq!(known(&cache(&layout)), [2]);
        }
    }

    #[test]
    fn two_processes_append_in_turn_and_learn_from_each_other() {
        let (_directory, layout) = directory();
        let (one, other) = (cache(&layout), cache(&layout));
        assert_eq!((known(&one), known(&other)), (vec![], vec![]));
        put(&one, [1]);
        put(&other, [2]);
        assert_eq!(known(&other), [1, 2], "read when it wrote");
        put(&one, [3]);
        assert_eq!(known(&one), [1, 2, 3]);
        assert_eq!(known(&cache(&layout)), [1, 2, 3]);
    }

    #[test]
    fn what_cannot_be_written_while_another_is_at_the_file_is_written_later() {
        let (_directory, layout) = directory();
        put(&cache(&layout), [1]);
        let ours = cache(&layout);
        let theirs = LogitFile::to_write(&layout.logits(), false).unwrap().unwrap();
        assert_eq!(known(&ours), [0_usize; 0], "nobody waits for the lock");
        put(&ours, [2]);
        forget(&layout, |_| false);
        drop(theirs);
        assert_eq!(known(&ours), [1, 2]);
        assert_eq!(known(&cache(&layout)), [1]);
        ours.flush();
        assert_eq!(known(&cache(&layout)), [1, 2]);
    }

    #[test]
    fn neither_the_file_nor_the_memory_grows_beyond_its_bound_and_the_newest_stay() {
        for most in [SMALLEST, SMALLEST + 1, 150, 1000, 5000] {
            let (_directory, layout) = directory();
            let bounded = LogitCache::open(&layout, most);
            for number in 0..100 {
                bounded.get(&key(number));
                bounded.put(0, key(number), number as f32);
                if number % 3 == 0 || bounded.half() < 3 {
                    bounded.flush();
                    assert!(fs::metadata(layout.logits()).unwrap().len() <= most);
                }
                assert_eq!(bounded.get(&key(number)), Some(number as f32));
                let state = bounded.state();
                assert!(state.young.len() + state.old.len() <= 2 * bounded.half());
            }
            let later = LogitCache::open(&layout, most);
            let known = known(&later);
            assert!(known.len() >= bounded.half().min(2), "{most} bytes: {known:?}");
            assert!(known.windows(2).all(|pair| pair[1] == pair[0] + 1) && known.ends_with(&[99]), "{most} bytes: {known:?}");
            let smaller = LogitCache::open(&layout, SMALLEST);
            put(&smaller, [7]);
            assert_eq!(fs::metadata(layout.logits()).unwrap().len(), SMALLEST, "the smallest bound holds");
        }
    }

    #[test]
    fn the_file_may_be_deleted_at_any_time() {
        let (_directory, layout) = directory();
        let (one, other) = (cache(&layout), cache(&layout));
        put(&one, [1]);
        assert_eq!(known(&other), [1]);
        fs::remove_file(layout.logits()).unwrap();
        assert_eq!((known(&one), known(&other)), (vec![1], vec![1]), "memory has it still");
        put(&one, [2]);
        put(&other, [3]);
        assert_eq!(known(&cache(&layout)), [2, 3]);
    }

    #[test]
    fn deleted_documents_are_dropped_and_the_rest_stays() {
        let (_directory, layout) = directory();
        forget(&layout, |_| false);
        assert!(!layout.logits().exists());
        let searching = cache(&layout);
        put(&searching, [1, 2, 3]);
        put(&searching, [4]);
        let before = fs::read(layout.logits()).unwrap();
        forget(&layout, |_| true);
        assert_eq!(fs::read(layout.logits()).unwrap(), before, "nothing to drop, nothing written");
        forget(&layout, |document| document % 2 == 1);
        assert_eq!(fs::metadata(layout.logits()).unwrap().len(), HEADER as u64 + size(2));
        assert_eq!(known(&cache(&layout)), [1, 3]);
        put(&searching, [5]);
        assert_eq!(known(&cache(&layout)), [1, 3, 5]);
    }

    #[test]
    fn logits_of_documents_that_are_gone_do_not_come_back_to_stay() {
        let (_directory, layout) = directory();
        let (searching, mut forgetting) = (cache(&layout), Forgetting::default());
        put(&searching, [1, 2]);
        searching.put(4, key(4), 4.0);
        let odd = |document: u64| document % 2 == 1;
        forgetting.forget(&layout, odd);
        assert_eq!(known(&cache(&layout)), [1]);
        // What waited, and what is found in an earlier generation.
        put(&searching, [3, 6]);
        put(&cache(&layout), [8]);
        assert_eq!(known(&cache(&layout)), [1, 3, 4, 6, 8]);
        forgetting.forget(&layout, odd);
        assert_eq!(known(&cache(&layout)), [1, 3]);
        let before = fs::read(layout.logits()).unwrap();
        forgetting.forget(&layout, odd);
        assert_eq!(fs::read(layout.logits()).unwrap(), before);
        // A delete makes others gone that were looked at.
        forgetting.begin();
        forgetting.forget(&layout, |document| document == 3);
        assert_eq!(known(&cache(&layout)), [3]);
    }

    #[test]
    fn where_nothing_can_be_written_logits_are_kept_in_memory() {
        let (directory, layout) = directory();
        let nowhere = cache(&Layout::new(&directory.path().join("missing")).unwrap());
        put(&nowhere, [1]);
        put(&nowhere, [2]);
        assert_eq!(known(&nowhere), [1, 2]);
        assert!(nowhere.state().pending.is_empty());
        fs::create_dir(layout.logits()).unwrap();
        let in_the_way = cache(&layout);
        assert_eq!(known(&in_the_way), [0_usize; 0]);
        put(&in_the_way, [1]);
        assert_eq!(known(&in_the_way), [1]);
        assert!(nowhere.state().warned && in_the_way.state().warned);
    }

    #[test]
    fn switched_off_it_keeps_nothing_and_logits_that_are_no_numbers_are_never_kept() {
        let (_directory, layout) = directory();
        for bytes in [0, SMALLEST - 1] {
            let off = LogitCache::open(&layout, bytes);
            put(&off, [1]);
            assert_eq!(known(&off), [0_usize; 0]);
        }
        let on = cache(&layout);
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().for_each(|logit| on.put(1, key(1), logit));
        on.flush();
        assert_eq!(known(&on), [0_usize; 0]);
        assert!(!layout.logits().exists());
    }

    #[test]
    fn threads_share_one_cache() {
        let (_directory, layout) = directory();
        put(&cache(&layout), 0..20);
        let shared = cache(&layout);
        std::thread::scope(|scope| {
            for first in 0..4 {
                let shared = &shared;
                scope.spawn(move || {
                    for number in (20 + first..100).step_by(2) {
                        assert_eq!(shared.get(&key(number % 20)), Some((number % 20) as f32));
                        put(shared, [number]);
                        assert_eq!(shared.get(&key(number)), Some(number as f32));
                    }
                });
            }
        });
        assert_eq!(known(&shared), (0..100).collect::<Vec<_>>());
        assert_eq!(known(&cache(&layout)), (0..100).collect::<Vec<_>>());
        // Each once; what two threads had ready at the same time went into one block.
        let length = fs::metadata(layout.logits()).unwrap().len() - HEADER as u64 - size(20);
        assert!((size(80)..=80 * size(1)).contains(&length), "{length} bytes");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(usize, u8),
        Flush(usize),
        Reopen(usize, u64),
        Flip(prop::sample::Index, u8),
        Cut(prop::sample::Index),
        Extend(Vec<u8>),
        Delete,
        Forget(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..2_usize, any::<u8>()).prop_map(|(cache, number)| Step::Put(cache, number)),
            4 => (0..2_usize).prop_map(Step::Flush),
            2 => (0..2_usize, 0..1500_u64).prop_map(|(cache, most)| Step::Reopen(cache, most)),
            1 => (any::<prop::sample::Index>(), 0..8_u8).prop_map(|(at, bit)| Step::Flip(at, bit)),
            1 => any::<prop::sample::Index>().prop_map(Step::Cut),
            1 => prop::collection::vec(any::<u8>(), 1..70).prop_map(Step::Extend),
            1 => Just(Step::Delete),
            1 => (0..5_u64).prop_map(Step::Forget),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_a_lookup_gives_what_was_put_or_nothing(steps in prop::collection::vec(step(), 1..80)) {
            let (_directory, layout) = directory();
            let mut caches = [LogitCache::open(&layout, 1000), LogitCache::open(&layout, 1000)];
            // Several values of one key, as two devices would give them.
            let mut put: HashMap<usize, HashSet<u32>> = HashMap::new();
            let change = |how: &dyn Fn(&mut Vec<u8>)| {
                if let Ok(mut bytes) = fs::read(layout.logits()) {
                    how(&mut bytes);
                    fs::write(layout.logits(), bytes).unwrap();
                }
            };
            for (time, step) in steps.iter().enumerate() {
                match step {
                    Step::Put(at, number) => {
                        let (number, logit) = (usize::from(*number % 40), time as f32);
                        put.entry(number).or_default().insert(logit.to_bits());
                        caches[*at].put(number as u64 % 5, key(number), logit);
                        prop_assert!(caches[*at].most == 0 || caches[*at].get(&key(number)).is_some());
                    }
                    Step::Flush(at) => {
                        caches[*at].flush();
                        prop_assert!(caches[*at].state().pending.is_empty());
                    }
                    Step::Reopen(at, most) => caches[*at] = LogitCache::open(&layout, *most),
                    Step::Flip(at, bit) => change(&|bytes| {
                        if !bytes.is_empty() {
                            let at = at.index(bytes.len());
                            bytes[at] ^= 1 << bit;
                        }
                    }),
                    Step::Cut(at) => change(&|bytes| bytes.truncate(at.index(bytes.len() + 1))),
                    Step::Extend(rubbish) => change(&|bytes| bytes.extend(rubbish)),
                    Step::Delete => drop(fs::remove_file(layout.logits())),
                    Step::Forget(document) => forget(&layout, |other| other != *document),
                }
                for number in 0..40 {
                    for cache in &caches {
                        if let Some(logit) = cache.get(&key(number)) {
                            prop_assert!(put.get(&number).is_some_and(|values| values.contains(&logit.to_bits())));
                        }
                    }
                }
            }
        }
    }

    /// `cargo test --lib logits -- --ignored --nocapture` prints what a full file and a usual search cost.
    #[test]
    #[allow(clippy::print_stdout)]
    #[ignore = "measures"]
    fn time_of_a_full_file() {
        let (_directory, layout) = directory();
        let full = LogitCache::open(&layout, LogitCache::DEFAULT);
        let keys = LogitKeys::new(&model("aa"), "int8", "a query");
        let count = 2 * full.half() - 1000;
        for batch in 0..count / 500 {
            (0..500).for_each(|at| full.put(1, keys.key(&(batch * 500 + at).to_string()), 1.0));
            full.flush();
        }
        let time = |what: &str, task: &mut dyn FnMut()| {
            let begun = std::time::Instant::now();
            task();
            println!("{what}: {:?}", begun.elapsed());
        };
        let later = LogitCache::open(&layout, LogitCache::DEFAULT);
        let length = fs::metadata(layout.logits()).unwrap().len();
        time(&format!("first lookup, {length} bytes"), &mut || assert!(later.get(&keys.key("1000")).is_some()));
        let passage = "word ".repeat(140);
        time("100 keys of 700 bytes", &mut || (0..100).for_each(|_| assert_ne!(keys.key(&passage), key(1))));
        let new: Vec<_> = (0..100).map(|at| keys.key(&format!("new {at}"))).collect();
        time("100 lookups", &mut || new.iter().for_each(|key| assert!(later.get(key).is_none())));
        time("100 puts", &mut || new.iter().for_each(|key| later.put(1, *key, 1.0)));
        time("flush", &mut || later.flush());
        let mut forgetting = Forgetting::default();
        time("nothing to drop", &mut || forgetting.forget(&layout, |_| true));
        time("nothing new since", &mut || forgetting.forget(&layout, |_| true));
        time("one to drop", &mut || forget(&layout, |document| document != 1));
        put(&later, [1]);
        (0..2 * later.half()).for_each(|at| later.put(1, keys.key(&format!("more {at}")), 1.0));
        time("a full file written anew", &mut || later.flush());
        assert!(fs::metadata(layout.logits()).unwrap().len() <= LogitCache::DEFAULT);
    }
}
