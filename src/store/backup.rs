//! A generation copied to another directory.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use super::files::FileRecord;
use super::layout::sync_directory;
use super::lock::WriterLock;
use super::{Durability, Generation, Header, Layout};
use crate::error::{Error, OpenError, StorageError};

/// Bytes that are copied at once.
const BLOCK: usize = 1 << 20;

/// Copies a generation, whole, into a directory that is empty or not there; gives its number. `CURRENT` is written last, so what is
/// cut short is no index.
pub(crate) fn copy_generation(generation: &Generation, to: &Path) -> Result<u64, Error> {
    let target = Layout::new(to)?;
    if fs::read_dir(target.root()).is_ok_and(|mut entries| entries.next().is_some()) || target.root().is_file() {
        let fact = "a copy is made in an empty or new directory, and it holds something".to_owned();
        return Err(OpenError::NotAnIndex { path: target.root().to_path_buf(), fact }.into());
    }
    fs::create_dir_all(target.root()).map_err(StorageError::io(target.root(), "creating the directory"))?;
    let _lock = WriterLock::take(&target)?;
    let (source, header) = (&generation.layout, &generation.header);
    let epoch = header.words.epoch;
    copy_files(&source.documents(), &target.documents(), &header.files.documents)?;
    copy_files(&source.passages(), &target.passages(), &header.files.passages)?;
    copy_files(&source.words(epoch), &target.words(epoch), &header.files.words)?;
    let meta = target.words(epoch).join("meta.json");
    fs::write(&meta, &header.words.meta).map_err(StorageError::io(&meta, "writing"))?;
    sync_directory(target.root())?;
    let header = Header { durable: true, fallback: None, kept: Vec::new(), tags: Vec::new(), ..header.clone() };
    header.publish(&target, Durability::EveryCommit)?;
    if let Some(parent) = target.root().parent() {
        sync_directory(parent)?;
    }
    Ok(header.generation)
}

fn copy_files(from: &Path, to: &Path, files: &[FileRecord]) -> Result<(), StorageError> {
    fs::create_dir_all(to).map_err(StorageError::io(to, "creating the directory"))?;
    let mut directories = vec![to.to_path_buf()];
    for file in files {
        let target = to.join(&file.path);
        if let Some(parent) = target.parent().filter(|parent| !directories.iter().any(|known| known == parent)) {
            fs::create_dir_all(parent).map_err(StorageError::io(parent, "creating the directory"))?;
            directories.push(parent.to_path_buf());
        }
        copy_file(&from.join(&file.path), &target, file)?;
    }
    directories.iter().rev().try_for_each(|directory| sync_directory(directory))
}

/// Copies one file, holding what is read against its record.
fn copy_file(from: &Path, to: &Path, record: &FileRecord) -> Result<(), StorageError> {
    let mut source = File::open(from).map_err(StorageError::io(from, "reading"))?;
    let mut target = File::create(to).map_err(StorageError::io(to, "creating the file"))?;
    let mut block = vec![0; BLOCK];
    let (mut length, mut checksum) = (0, 0);
    loop {
        let read = match source.read(&mut block) {
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(StorageError::io(from, "reading")(e)),
        };
        let part = block.get(..read).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        length += part.len() as u64;
        checksum = crc32c::crc32c_append(checksum, part);
        target.write_all(part).map_err(StorageError::io(to, "writing"))?;
    }
    if (length, checksum) != (record.length, record.checksum) {
        return Err(StorageError::Damaged {
            path: from.to_path_buf(),
            expected: format!("{} bytes with crc32c {:#010x}", record.length, record.checksum),
            found: format!("{length} bytes with {checksum:#010x}"),
        });
    }
    target.sync_all().map_err(StorageError::io(to, "making the file durable"))
}
