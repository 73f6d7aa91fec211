//! The file `logits`: a header, and blocks of entries with checksums.
//!
//! A handle lives for one operation, under a lock that nobody waits for. Whatever is not a sound block ends the file, for readers
//! at once and on disk with the next write. Nothing is flushed to the disk: any prefix of what was written is a valid file.

use std::fs::{File, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::SystemTime;

use super::LogitKey;
use crate::store::lock::LockedFile;

const MAGIC: [u8; 8] = *b"flogits\n";
const VERSION: [u8; 4] = 1_u32.to_le_bytes();
/// Magic, version, which writing of the whole file this is.
pub(super) const HEADER: usize = 8 + 4 + 8;
/// The number of entries before them, the checksum after them.
const FRAME: usize = 4 + 4;
/// Document, key, logit.
pub(super) const ENTRY: usize = 8 + 16 + 4;
/// The most entries in a block; a larger number is damage.
const BLOCK: usize = 4096;
/// The bytes of a file of one logit.
pub(super) const SMALLEST: u64 = (HEADER + FRAME + ENTRY) as u64;

/// One logit, and what it is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) document: u64,
    pub(super) key: LogitKey,
    pub(super) logit: f32,
}

impl Entry {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.document.to_le_bytes());
        bytes.extend(self.key.0);
        bytes.extend(self.logit.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (document, rest) = bytes.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let logit = f32::from_le_bytes(*rest.first_chunk()?);
        logit.is_finite().then_some(Self { document: u64::from_le_bytes(*document), key: LogitKey(*key), logit })
    }
}

/// The bytes that so many entries take after the header.
pub(super) fn size(entries: usize) -> u64 {
    (entries * ENTRY + entries.div_ceil(BLOCK) * FRAME) as u64
}

/// Where the sound part of a file ends; the default is nowhere, in no file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Place {
    /// Which writing of the whole file.
    writing: u64,
    pub(super) end: u64,
}

impl Place {
    /// Whether there is a header that can be appended to.
    pub(super) fn is_somewhere(self) -> bool {
        self.end >= HEADER as u64
    }
}

/// An open and locked file.
pub(super) struct LogitFile {
    file: LockedFile,
}

impl LogitFile {
    /// Shared with other readers; `None` while somebody writes.
    pub(super) fn to_read(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        Self::locked(file.try_lock_shared(), file)
    }

    /// For this holder alone; `None` while somebody reads or writes.
    pub(super) fn to_write(path: &Path, create: bool) -> io::Result<Option<Self>> {
        let file = File::options().read(true).write(true).create(create).truncate(false).open(path)?;
        Self::locked(file.try_lock(), file)
    }

    fn locked(lock: Result<(), TryLockError>, file: File) -> io::Result<Option<Self>> {
        match lock {
            Ok(()) => Ok(Some(Self { file: LockedFile::of(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Hands out the entries after `from`, or all where the file was written anew since; gives where the sound part ends.
    pub(super) fn read(&mut self, from: Place, mut each: impl FnMut(Entry)) -> io::Result<Place> {
        let length = self.file.metadata()?.len();
        self.file.rewind()?;
        let mut header = [0; HEADER];
        if length < HEADER as u64 {
            return Ok(Place::default());
        }
        self.file.read_exact(&mut header)?;
        let Some(writing) = writing_of(&header) else { return Ok(Place::default()) };
        let seen = from.writing == writing && from.is_somewhere() && from.end <= length;
        let mut end = if seen { from.end } else { HEADER as u64 };
        self.file.seek(SeekFrom::Start(end))?;
        let mut rest = BufReader::with_capacity(1 << 16, &*self.file);
        let mut block = Vec::new();
        while next_block(&mut rest, &mut block)? {
            block.chunks_exact(ENTRY).filter_map(Entry::decode).for_each(&mut each);
            end += size(block.len() / ENTRY);
        }
        Ok(Place { writing, end })
    }

    /// Writes after the sound part.
    pub(super) fn append(&mut self, at: Place, entries: &[Entry]) -> io::Result<Place> {
        let mut bytes = Vec::new();
        encode(entries, &mut bytes);
        self.end_with(at.end, &bytes)?;
        Ok(Place { end: at.end + bytes.len() as u64, ..at })
    }

    /// Writes these entries and nothing else.
    pub(super) fn rewrite(&mut self, entries: &[Entry]) -> io::Result<Place> {
        // Only to be another than before.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let writing = now.as_nanos() as u64;
        let mut bytes = Vec::from(MAGIC);
        bytes.extend(VERSION);
        bytes.extend(writing.to_le_bytes());
        encode(entries, &mut bytes);
        self.end_with(0, &bytes)?;
        Ok(Place { writing, end: bytes.len() as u64 })
    }

    fn end_with(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.set_len(at)?;
        self.file.seek(SeekFrom::Start(at))?;
        self.file.write_all(bytes)
    }
}

fn writing_of(header: &[u8]) -> Option<u64> {
    let rest = header.strip_prefix(&MAGIC)?.strip_prefix(&VERSION)?;
    Some(u64::from_le_bytes(*rest.first_chunk()?))
}

fn encode(entries: &[Entry], bytes: &mut Vec<u8>) {
    bytes.reserve(size(entries.len()) as usize);
    for block in entries.chunks(BLOCK) {
        let begin = bytes.len();
        bytes.extend((block.len() as u32).to_le_bytes());
        block.iter().for_each(|entry| entry.encode(bytes));
        let checksum = crc32c::crc32c(&bytes[begin..]);
        bytes.extend(checksum.to_le_bytes());
    }
}

/// Reads the entries of one block; false where there is no sound one.
fn next_block(file: &mut impl Read, block: &mut Vec<u8>) -> io::Result<bool> {
    let mut count = [0; 4];
    if !filled(file.read_exact(&mut count))? {
        return Ok(false);
    }
    let entries = u32::from_le_bytes(count) as usize;
    if !(1..=BLOCK).contains(&entries) {
        return Ok(false);
    }
    block.resize(entries * ENTRY, 0);
    let mut checksum = [0; 4];
    let whole = filled(file.read_exact(block))? && filled(file.read_exact(&mut checksum))?;
    Ok(whole && crc32c::crc32c_append(crc32c::crc32c(&count), block) == u32::from_le_bytes(checksum))
}

/// Whether there was as much to read as was wanted.
fn filled(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
