//! Copies of the small files without which a table cannot be read: a flipped bit in one of them must not cost the whole table.
//!
//! Nobody but repair reads them, so they are written without a flush, and a failure is only logged.

use std::fs;

use super::Layout;
use super::files::{FileList, FileRecord};

/// A larger file is not copied.
const LARGEST: u64 = 64 << 10;
/// Bytes of all copies together.
const MOST: u64 = 1 << 20;

/// Writes the copies of a generation's small files: the manifests first, then lists of deleted rows, as far as there is room.
pub(super) fn write(layout: &Layout, files: &FileList) {
    let small = |file: &&FileRecord| !file.path.starts_with("data/") && file.length <= LARGEST;
    let parts = [("documents.lance", &files.documents), ("passages.lance", &files.passages)];
    let mut wanted: Vec<(String, &FileRecord)> = Vec::new();
    for (part, files) in parts {
        wanted.extend(files.iter().filter(small).map(|file| (format!("{part}/{}", file.path), file)));
    }
    wanted.sort_by_key(|(name, _)| !name.contains("/_versions/"));
    let mut room = MOST;
    let mut earlier = None;
    let mut copies: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, file) in wanted {
        if file.length > room {
            break;
        }
        let bytes = fs::read(layout.root().join(&name)).ok().filter(|bytes| is_of(bytes, file));
        // A file that was damaged since must not take the place of its copy.
        let bytes = bytes.or_else(|| find(earlier.get_or_insert_with(|| read(layout)), &name, file).cloned());
        if let Some(bytes) = bytes {
            room -= file.length;
            copies.push((name, bytes));
        }
    }
    let Ok(mut bytes) = bincode::encode_to_vec(&copies, bincode::config::standard()) else { return };
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    if let Err(error) = fs::write(layout.copies_of_small_files(), bytes) {
        tracing::warn!(%error, "the copies of small files were not written");
    }
}

/// The sound copy of a file among copies.
pub(super) fn find<'a>(copies: &'a [(String, Vec<u8>)], name: &str, file: &FileRecord) -> Option<&'a Vec<u8>> {
    copies.iter().find(|(copied, _)| copied == name).map(|(_, bytes)| bytes).filter(|bytes| is_of(bytes, file))
}

fn is_of(bytes: &[u8], file: &FileRecord) -> bool {
    bytes.len() as u64 == file.length && crc32c::crc32c(bytes) == file.checksum
}

/// The copies, by the paths of their files from the index directory; none where they cannot be read.
pub(super) fn read(layout: &Layout) -> Vec<(String, Vec<u8>)> {
    let Ok(bytes) = fs::read(layout.copies_of_small_files()) else { return Vec::new() };
    let Some((body, &checksum)) = bytes.split_last_chunk::<4>() else { return Vec::new() };
    if crc32c::crc32c(body) != u32::from_le_bytes(checksum) {
        return Vec::new();
    }
    // The limit keeps a lying length from asking for memory.
    let config = bincode::config::standard().with_limit::<{ 1 << 24 }>();
    bincode::decode_from_slice(body, config).map_or_else(|_| Vec::new(), |(copies, _)| copies)
}
