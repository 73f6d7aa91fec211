//! The files that a generation is made of, with what is needed to notice damage: length and checksum of each.
//!
//! Lance and tantivy write a file once, so a file that was found sound with a checksum need not be looked at again for it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bincode::{Decode, Encode};
use rayon::prelude::*;

use crate::error::StorageError;
use crate::parallel;

/// Bytes that are read at once for a checksum.
const BLOCK: usize = 256 << 10;

/// One file, as it was when its generation was published.
// The order of the fields is the file format.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub(crate) struct FileRecord {
    /// The path from the part's directory, with slashes.
    pub(crate) path: String,
    pub(crate) length: u64,
    /// crc32c of the content.
    pub(crate) checksum: u32,
}

/// The files of one generation, by part; each path is relative to the part's directory.
// The order of the fields is the file format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FileList {
    pub(crate) documents: Vec<FileRecord>,
    pub(crate) passages: Vec<FileRecord>,
    pub(crate) words: Vec<FileRecord>,
}

impl FileList {
    /// Bytes in all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.all().map(|file| file.length).sum()
    }

    /// The names of the words' files.
    pub(crate) fn word_files(&self) -> Vec<String> {
        self.words.iter().map(|file| file.path.clone()).collect()
    }

    /// Whether a path is not one below its part's directory, as somebody's foreign index may have it.
    pub(super) fn leads_outside(&self) -> bool {
        let below =
            |path: &str| !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        self.all().any(|file| !below(&file.path))
    }

    fn all(&self) -> impl Iterator<Item = &FileRecord> {
        [&self.documents, &self.passages, &self.words].into_iter().flatten()
    }
}

impl FileRecord {
    /// Measures a file.
    pub(crate) fn measure(root: &Path, relative: &str) -> Result<Self, StorageError> {
        let path = root.join(relative);
        let mut file = File::open(&path).map_err(StorageError::io(&path, "reading the file for its checksum"))?;
        let (length, checksum) = checksum(&mut file).map_err(StorageError::io(&path, "reading the file for its checksum"))?;
        Ok(Self { path: relative.to_owned(), length, checksum })
    }

    /// What is wrong with the file by its name and length alone.
    pub(crate) fn fault_of_length(&self, root: &Path) -> Option<Fault> {
        let path = root.join(&self.path);
        let (found, refusal) = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() && metadata.len() == self.length => return None,
            Ok(metadata) if metadata.is_file() => (format!("{} bytes", metadata.len()), None),
            Ok(_) => ("a directory".to_owned(), None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => ("no such file".to_owned(), None),
            Err(e) => (format!("that it cannot be read ({e})"), refusal(e)),
        };
        Some(Fault { path, expected: format!("{} bytes", self.length), found, refusal })
    }

    /// What is wrong with the file, all of it read.
    pub(crate) fn fault(&self, root: &Path) -> Option<Fault> {
        let short = self.fault_of_length(root);
        if short.is_some() {
            return short;
        }
        let path = root.join(&self.path);
        let (found, refusal) = match File::open(&path).and_then(|mut file| checksum(&mut file)) {
            Ok((_, found)) if found == self.checksum => return None,
            Ok((_, found)) => (format!("{found:#010x}"), None),
            Err(e) => (format!("that it cannot be read ({e})"), refusal(e)),
        };
        Some(Fault { path, expected: format!("crc32c {:#010x}", self.checksum), found, refusal })
    }
}

/// A file that is not what its generation says.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: PathBuf,
    pub(crate) expected: String,
    pub(crate) found: String,
    /// Set where the system refused for a reason that says nothing about the file.
    pub(crate) refusal: Option<io::Error>,
}

impl From<Fault> for StorageError {
    fn from(Fault { path, expected, found, refusal }: Fault) -> Self {
        match refusal {
            Some(source) => Self::Io { path, doing: "reading", source },
            None => Self::Damaged { path, expected, found },
        }
    }
}

/// The error again, if it is about rights, memory or handles; none if the disk could not read the file.
fn refusal(error: io::Error) -> Option<io::Error> {
    use io::ErrorKind::{OutOfMemory, PermissionDenied, TimedOut, WouldBlock};
    let too_many_files = if cfg!(windows) { &[4][..] } else { &[23, 24] };
    let passing = matches!(error.kind(), OutOfMemory | PermissionDenied | TimedOut | WouldBlock)
        || error.raw_os_error().is_some_and(|code| too_many_files.contains(&code));
    passing.then_some(error)
}

/// Which files were read whole and found sound; shared by everything that one `Index` opens.
#[derive(Clone, Debug, Default)]
pub(crate) struct SoundFiles {
    known: Arc<Mutex<HashSet<(PathBuf, u32)>>>,
}

impl SoundFiles {
    /// Reads those that have not been read yet.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] with the first file that is not what it was.
    pub(crate) fn check<'a>(&self, root: &Path, files: impl IntoIterator<Item = &'a FileRecord>) -> Result<(), StorageError> {
        let new: Vec<&FileRecord> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            files.into_iter().filter(|file| !known.contains(&(root.join(&file.path), file.checksum))).collect()
        };
        if let Some(fault) = faults(root, new.iter().copied()).into_iter().next() {
            return Err(fault.into());
        }
        self.note(root, new);
        Ok(())
    }

    /// Whether a file was read whole already and had this checksum.
    pub(super) fn knows(&self, path: &Path, checksum: u32) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&(path.to_path_buf(), checksum))
    }

    /// Takes a file for sound that the caller has read.
    pub(super) fn learn(&self, path: &Path, checksum: u32) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert((path.to_path_buf(), checksum));
    }

    /// Takes files for sound that the caller has read.
    pub(crate) fn note<'a>(&self, root: &Path, files: impl IntoIterator<Item = &'a FileRecord>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(files.into_iter().map(|file| (root.join(&file.path), file.checksum)));
    }

    /// Forgets files that are gone.
    pub(crate) fn keep(&self, root: &Path, needed: &HashSet<String>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(path, _)| {
            let relative = path.strip_prefix(root).ok().and_then(slashed);
            relative.is_none_or(|relative| needed.contains(&relative))
        });
    }
}

/// The damaged ones among these files.
///
/// # Errors
/// [`StorageError::Io`] where one cannot be judged: nobody must take that for damage.
pub(crate) fn damaged<'a>(root: &Path, files: impl IntoIterator<Item = &'a FileRecord>) -> Result<Vec<Fault>, StorageError> {
    let mut found = faults(root, files);
    match found.iter().position(|fault| fault.refusal.is_some()) {
        Some(at) => Err(found.swap_remove(at).into()),
        None => Ok(found),
    }
}

/// The faults among these files, in their order; several are read at once.
pub(crate) fn faults<'a>(root: &Path, files: impl IntoIterator<Item = &'a FileRecord>) -> Vec<Fault> {
    let files: Vec<&FileRecord> = files.into_iter().collect();
    match files.as_slice() {
        [] => Vec::new(),
        [one] => one.fault(root).into_iter().collect(),
        many => parallel::run(|| many.par_iter().filter_map(|file| file.fault(root)).collect()),
    }
}

/// A relative path with slashes, as lists have it; `None` where it is not Unicode.
pub(crate) fn slashed(path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.components().map(|part| part.as_os_str().to_str()).collect();
    parts.map(|parts| parts.join("/"))
}

/// Length and crc32c of what a file holds.
fn checksum(file: &mut File) -> io::Result<(u64, u32)> {
    let mut block = vec![0; BLOCK];
    let (mut length, mut checksum) = (0, 0);
    loop {
        let read = match file.read(&mut block) {
            Ok(0) => return Ok((length, checksum)),
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        length += read as u64;
        checksum = crc32c::crc32c_append(checksum, block.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_held_against_its_length_and_its_checksum() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, b"0123456789").unwrap();
        let record = FileRecord::measure(directory.path(), "file").unwrap();
        assert_eq!((record.length, record.checksum), (10, crc32c::crc32c(b"0123456789")));
        assert!(record.fault(directory.path()).is_none());
        fs::write(&path, b"0123456780").unwrap();
        assert!(record.fault_of_length(directory.path()).is_none());
        assert!(record.fault(directory.path()).unwrap().expected.starts_with("crc32c"));
        fs::write(&path, b"012345678").unwrap();
        assert_eq!(record.fault_of_length(directory.path()).unwrap().found, "9 bytes");
        fs::remove_file(&path).unwrap();
        assert_eq!(record.fault(directory.path()).unwrap().found, "no such file");
    }

    #[test]
    fn a_sound_file_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), b"sound").unwrap();
        let record = FileRecord::measure(directory.path(), "file").unwrap();
        let sound = SoundFiles::default();
        sound.check(directory.path(), [&record]).unwrap();
        fs::write(directory.path().join("file"), b"worse").unwrap();
        sound.check(directory.path(), [&record]).unwrap();
        sound.keep(directory.path(), &HashSet::new());
        assert!(matches!(sound.check(directory.path(), [&record]), Err(StorageError::Damaged { .. })));
    }
}
