//! Who writes, and which generations are being read.
//!
//! Both are locks on files that the kernel releases when their holder dies, whatever it dies of.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use super::Layout;
use crate::error::{OpenError, StorageError};

/// A file with a lock on it. Let go of by name: a process that is just being started holds a copy of every open file until it runs
/// its own program, and where locks belong to the opening they would last until then.
pub(super) struct LockedFile(File);

impl LockedFile {
    /// Of a file that the caller has locked.
    pub(super) fn of(file: File) -> Self {
        Self(file)
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for LockedFile {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

/// Held by the one writer.
pub(super) struct WriterLock {
    _file: LockedFile,
}

impl WriterLock {
    pub(super) fn take(layout: &Layout) -> Result<Self, crate::Error> {
        let path = layout.lock();
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(StorageError::io(&path, "opening the lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Windows does not let others read a locked file.
                let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let holder = if known { holder.trim().to_owned() } else { "unknown".to_owned() };
                return Err(OpenError::Locked { path, holder }.into());
            }
            Err(TryLockError::Error(source)) => return Err(StorageError::Io { path, doing: "locking", source }.into()),
        }
        let mut file = LockedFile::of(file);
        let name = std::process::id().to_string();
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(name.as_bytes()));
        written.map_err(StorageError::io(&path, "writing the process id"))?;
        Ok(Self { _file: file })
    }
}

/// Announces to writers in any process that a generation is being read; they leave its files alone.
pub(super) struct ReaderPin {
    _file: LockedFile,
}

/// What came of the wish to announce a reader.
pub(super) enum Announced {
    /// Writers see it.
    Pinned(ReaderPin),
    /// A writer was just looking, or removing the file: look at `CURRENT` again.
    Again,
    /// Nothing can be written here, as on read-only media.
    ReadOnly,
}

impl ReaderPin {
    /// The caller must look at `CURRENT` again afterwards: a writer looks for pins after it has published, so a pin for the
    /// generation that is still current is one that every later writer sees.
    pub(super) fn take(layout: &Layout, generation: u64) -> Result<Announced, StorageError> {
        let readers = layout.readers();
        let path = pin_path(&readers, generation);
        let opened = fs::create_dir_all(&readers)
            .and_then(|()| File::options().read(true).write(true).create(true).truncate(false).open(&path));
        let file = match opened {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) => {
                return Ok(Announced::ReadOnly);
            }
            Err(e) => return Err(StorageError::io(&path, "announcing a reader")(e)),
        };
        match file.try_lock_shared() {
            // A writer may have removed it between the opening and the lock.
            Ok(()) if is_gone(&file, &path) => Ok(Announced::Again),
            Ok(()) => Ok(Announced::Pinned(Self { _file: LockedFile::of(file) })),
            Err(TryLockError::WouldBlock) => Ok(Announced::Again),
            Err(TryLockError::Error(e)) => Err(StorageError::io(&path, "announcing a reader")(e)),
        }
    }

    /// Which generations older than `current` are being read; pins that nobody holds are removed. `None` where it cannot be told.
    pub(super) fn older(layout: &Layout, current: u64) -> Option<Vec<u64>> {
        let entries = match fs::read_dir(layout.readers()) {
            Ok(entries) => entries,
            Err(e) => return (e.kind() == ErrorKind::NotFound).then(Vec::new),
        };
        let mut held = Vec::new();
        for entry in entries {
            let Ok(entry) = entry else { return None };
            let path = entry.path();
            let generation = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            let Some(generation) = generation.filter(|generation| *generation < current) else { continue };
            // Held until the file is gone, so that nobody locks it in between.
            let free = File::options()
                .read(true)
                .write(true)
                .open(&path)
                .ok()
                .filter(|file| file.try_lock().is_ok())
                .map(LockedFile::of);
            if free.is_some() {
                // Windows refuses while somebody is just opening it; the next commit tries again.
                let _ = fs::remove_file(&path);
            } else {
                held.push(generation);
            }
        }
        Some(held)
    }
}

/// Whether a file that is open has no name any more.
fn is_gone(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    let gone = file.metadata().is_ok_and(|metadata| std::os::unix::fs::MetadataExt::nlink(&metadata) == 0);
    #[cfg(not(unix))]
    let gone = file.metadata().is_err();
    gone || !path.exists()
}

fn pin_path(readers: &Path, generation: u64) -> std::path::PathBuf {
    readers.join(format!("{generation}.pin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_when_its_holder_lets_go_though_a_process_being_started_still_has_a_copy_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path()).unwrap();
        let held = WriterLock::take(&layout).unwrap();
        let copy = held._file.try_clone().unwrap();
        drop(held);
        assert!(WriterLock::take(&layout).is_ok());
        drop(copy);
    }
}
