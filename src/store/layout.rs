//! Names of files and directories, and what makes them durable.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Durability;
use crate::crash;
use crate::error::{OpenError, StorageError};

/// The paths of an index directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The path is made absolute, so that a later change of the working directory changes nothing.
    pub(crate) fn new(root: &Path) -> Result<Self, StorageError> {
        let absolute = std::path::absolute(root).map_err(StorageError::io(root, "finding the absolute path"))?;
        Ok(Self { root: absolute })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The commit point.
    pub(crate) fn current(&self) -> PathBuf {
        self.root.join("CURRENT")
    }

    /// The same bytes again, for repair.
    pub(crate) fn copy_of_current(&self) -> PathBuf {
        self.root.join("CURRENT.copy")
    }

    /// The small files of the tables again, for repair.
    pub(crate) fn copies_of_small_files(&self) -> PathBuf {
        self.root.join("FILES.copy")
    }

    /// An earlier generation that is kept, or still read.
    pub(crate) fn kept(&self, generation: u64) -> PathBuf {
        self.kept_directory().join(generation.to_string())
    }

    pub(crate) fn kept_directory(&self) -> PathBuf {
        self.root.join("kept")
    }

    /// Held locked by a writer.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    pub(crate) fn documents(&self) -> PathBuf {
        self.root.join("documents.lance")
    }

    pub(crate) fn passages(&self) -> PathBuf {
        self.root.join("passages.lance")
    }

    /// The words' directory; a rebuild makes a new epoch.
    pub(crate) fn words(&self, epoch: u64) -> PathBuf {
        self.root.join(format!("words-{epoch}"))
    }

    /// Compact codes of vectors, a file for each large data file of the passages; no part of any generation.
    pub(crate) fn codes(&self) -> PathBuf {
        self.root.join("codes")
    }

    /// What the cross-encoder has said; no part of any generation.
    pub(crate) fn logits(&self) -> PathBuf {
        self.root.join("logits")
    }

    /// One small file for each generation that a reader holds.
    pub(crate) fn readers(&self) -> PathBuf {
        self.root.join("readers")
    }

    /// The epochs of the words' directories that are there.
    pub(crate) fn words_epochs(&self) -> Vec<u64> {
        let names = fs::read_dir(&self.root).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.strip_prefix("words-")?.parse().ok()).collect()
    }

    /// A number for a new directory of words.
    pub(crate) fn next_epoch(&self) -> u64 {
        self.words_epochs().into_iter().max().unwrap_or(0).saturating_add(1)
    }

    /// Where repair puts what it takes away: a name that is free.
    pub(crate) fn set_aside(&self) -> PathBuf {
        let names = (1..).map(|number| self.root.join(format!("set-aside-{number}")));
        names.into_iter().find(|path| !path.exists()).unwrap_or_else(|| self.root.join("set-aside"))
    }

    /// Refuses a path that is a file, or a directory with content that is no index.
    pub(crate) fn check_free(&self) -> Result<(), OpenError> {
        // Another process may have made the index since the caller looked.
        if self.current().exists() {
            return Ok(());
        }
        let not_an_index = |fact: String| OpenError::NotAnIndex { path: self.root.clone(), fact };
        if self.root.is_file() {
            return Err(not_an_index("it is a file".to_owned()));
        }
        let Ok(entries) = fs::read_dir(&self.root) else { return Ok(()) };
        // What a creation that was cut short, or a desktop, may have left here.
        let known = [
            "LOCK",
            "CURRENT.tmp",
            "CURRENT.copy",
            "FILES.copy",
            "documents.lance",
            "passages.lance",
            "readers",
            "kept",
            "logits",
            "codes",
            ".DS_Store",
            "Thumbs.db",
            "desktop.ini",
        ];
        let numbered = |name: &std::ffi::OsStr| {
            name.to_str().is_some_and(|name| name.starts_with("words-") || name.starts_with("set-aside-"))
        };
        let mut names = entries.flatten().map(|entry| entry.file_name());
        let stranger = names.find(|name| !numbered(name) && !known.iter().any(|known| name == known));
        if let Some(name) = stranger {
            return if self.current().exists() {
                Ok(())
            } else {
                Err(not_an_index(format!("it holds {name:?} and no file CURRENT")))
            };
        }
        // Rows are only written after the first CURRENT: this is an index that lost it, not one that was never finished.
        for table in [self.documents(), self.passages()] {
            if fs::read_dir(table.join("data")).is_ok_and(|mut files| files.next().is_some()) && !self.current().exists() {
                return Err(OpenError::Damaged {
                    path: self.current(),
                    expected: "the commit point of the tables beside it".to_owned(),
                    found: "no such file".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Writes a file so that after a crash either the old content or the new is there, whole.
pub(super) fn replace_file(path: &Path, content: &[u8], durability: Durability) -> Result<(), StorageError> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(StorageError::io(&temporary, "creating the file"))?;
    file.write_all(content).map_err(StorageError::io(&temporary, "writing"))?;
    crash::point("replace: written")?;
    // Always: there are file systems on which a power cut leaves an empty file in place of both.
    file.sync_all().map_err(StorageError::io(&temporary, "making the file durable"))?;
    drop(file);
    crash::point("replace: before the rename")?;
    fs::rename(&temporary, path).map_err(StorageError::io(path, "renaming the new file over the old"))?;
    if durability == Durability::System {
        return Ok(());
    }
    match crash::point("replace: after the rename").and_then(|()| sync_name(path)) {
        Err(StorageError::Io { source, .. }) => Err(StorageError::NotDurable { path: path.to_path_buf(), source }),
        other => other,
    }
}

/// Makes a file's name durable after a rename.
fn sync_name(path: &Path) -> Result<(), StorageError> {
    // Windows flushes no directories; a flush of the file takes what was noted before it, its rename included, to the disk.
    if cfg!(windows) {
        let file = File::options().write(true).open(path).and_then(|file| file.sync_all());
        return file.map_err(StorageError::io(path, "making the name durable"));
    }
    path.parent().map_or(Ok(()), sync_directory)
}

/// How many flushes are under way at once: a disk makes one of several that wait.
const FLUSHES: usize = 8;

/// Makes files and directories durable.
pub(super) fn flush(files: &[PathBuf], directories: &HashSet<PathBuf>) -> Result<(), StorageError> {
    let next = AtomicUsize::new(0);
    let all = files.len() + directories.len();
    let directories: Vec<&PathBuf> = directories.iter().collect();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            match (files.get(at), at.checked_sub(files.len()).and_then(|at| directories.get(at))) {
                (Some(file), _) => sync_file(file)?,
                (None, Some(directory)) => sync_directory(directory)?,
                (None, None) => return Ok(()),
            }
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..FLUSHES.min(all)).map(|_| scope.spawn(work)).collect();
        let mine = work();
        let gone = || StorageError::io(Path::new("flushing"), "flushing files")(io::Error::other("a thread panicked"));
        others.into_iter().map(|other| other.join().unwrap_or_else(|_| Err(gone()))).fold(mine, Result::and)
    })
}

fn sync_file(path: &Path) -> Result<(), StorageError> {
    // Windows flushes a file only through a handle that may write.
    let file = File::options().read(true).write(cfg!(windows)).open(path);
    file.and_then(|file| file.sync_all()).map_err(StorageError::io(path, "making the file durable"))
}

/// Makes a directory's entries durable. Windows has no such call; what is new there is noted when the files are flushed.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StorageError> {
    #[cfg(unix)]
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(StorageError::io(path, "making the directory durable"))?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
