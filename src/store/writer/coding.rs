//! Codes of what was written: for each large fragment of the passages, the file that a search by vectors goes by.
//!
//! No step of a commit: a search that finds no codes reads the vectors themselves. So a failure here is logged, and tried again by the next
//! commit.

use std::collections::HashSet;
use std::fs;

use arrow::datatypes::UInt64Type;

use super::super::codes::{self, CodeFile, DEAD, Rows, Vectors};
use super::super::columns::{END, FIELD, NUMBER, START, VECTOR};
use super::super::deviations;
use super::super::lance_file::{Page, last_column};
use super::super::reader::{ADDRESS, float_lists, primitive, spans_of};
use super::super::table::FragmentFile;
use super::super::{SoundFiles, Spaces};
use super::StoreWriter;
use crate::error::StorageError;
use crate::mapped::Mapped;

/// A fragment with fewer rows is read into memory by those who search it. Compaction joins such fragments before they are many. In the library's
/// unit tests few rows are enough.
pub(in crate::store) const LARGE: usize = if cfg!(test) { 16 } else { 2048 };

/// Rows of a page that are compared with what Lance reads.
const PROBES: u64 = 3;

impl StoreWriter {
    /// Writes the codes of large fragments that have none.
    pub(super) fn code(&self) {
        let Some(spaces) = self.header.spaces() else { return };
        for fragment in self.passages.fragments() {
            let Some(data) = fragment.data.as_deref().filter(|_| fragment.rows >= LARGE) else { continue };
            let path = codes::path_of(&self.layout.codes(), data);
            if path.exists() {
                continue;
            }
            if let Err(error) = self.code_fragment(&fragment, data, &spaces) {
                tracing::warn!(%error, "vectors are searched without codes until the next commit");
            }
        }
    }

    fn code_fragment(&self, fragment: &FragmentFile, data: &str, spaces: &Spaces) -> Result<(), StorageError> {
        let (several, width) = (spaces.all().len() > 1, spaces.width());
        let mut documents = vec![DEAD; fragment.rows];
        let mut of_rows = vec![0; if several { fragment.rows } else { 0 }];
        let columns = [NUMBER, FIELD, START, END];
        for batch in self.passages.scan_fragments(&[fragment.id], &columns[..if several { columns.len() } else { 1 }]) {
            let batch = batch?;
            let numbers = primitive::<UInt64Type>(&self.passages, &batch, NUMBER, "64-bit numbers")?;
            let addresses = primitive::<UInt64Type>(&self.passages, &batch, ADDRESS, "64-bit numbers")?;
            let rows = || addresses.iter().map(|address| (address - fragment.first_address()) as usize);
            for (number, row) in numbers.iter().zip(rows()) {
                if let Some(document) = documents.get_mut(row) {
                    *document = *number;
                }
            }
            let spans = if several { spans_of(&self.passages, &self.header.schema, &batch)? } else { Vec::new() };
            for (span, row) in spans.into_iter().zip(rows()) {
                if let Some(place) = of_rows.get_mut(row) {
                    *place = spaces.of(span.field) as u16;
                }
            }
        }
        let path = self.passages.path().join(data);
        let mapped = Mapped::open(&path).map_err(StorageError::io(&path, "reading the vectors"))?;
        let pages = last_column(&mapped, fragment.rows, 4 * width).unwrap_or_default();
        let vectors = match self.are_vectors(fragment, &documents, &mapped, &pages, width)? {
            true => Vectors::InPages(&mapped, pages),
            false => Vectors::Read(self.read_vectors(fragment, width)?),
        };
        let rows = Rows { documents, vectors, spaces, of_rows };
        // One batch after the other, from when they are asked for: those of all rows would take three times what their documents take.
        let batches = std::iter::once_with(|| self.passages.scan_fragments(&[fragment.id], &[FIELD, START, END])).flatten();
        let spans = batches.flat_map(|batch| {
            let spans = batch.and_then(|batch| {
                let spans = spans_of(&self.passages, &self.header.schema, &batch)?;
                let addresses = primitive::<UInt64Type>(&self.passages, &batch, ADDRESS, "64-bit numbers")?;
                let rows = addresses.iter().map(|address| (address - fragment.first_address()) as usize);
                Ok(rows.zip(spans).collect::<Vec<_>>())
            });
            let (spans, failed) = spans.map_or_else(|error| (Vec::new(), Some(Err(error))), |spans| (spans, None));
            spans.into_iter().map(Ok).chain(failed)
        });
        codes::write(&codes::path_of(&self.layout.codes(), data), &path, &rows, spans)
    }

    /// Whether these pages are the fragment's vectors: some rows of each are compared with what Lance reads.
    fn are_vectors(
        &self,
        fragment: &FragmentFile,
        documents: &[u64],
        data: &[u8],
        pages: &[Page],
        dimension: usize,
    ) -> Result<bool, StorageError> {
        let bytes = 4 * dimension;
        let ends = pages.iter().skip(1).map(|page| page.first).chain([fragment.rows as u64]);
        let rows_of = |(page, end): (&Page, u64)| {
            let (first, offset, last) = (page.first, page.offset as usize, end - page.first - 1);
            (0..PROBES).map(move |probe| probe * last / (PROBES - 1)).map(move |row| (first + row, offset + row as usize * bytes))
        };
        let mut probes: Vec<(u64, usize)> = pages.iter().zip(ends).flat_map(rows_of).collect();
        // Lance does not give rows that were deleted.
        probes.retain(|(row, _)| documents.get(*row as usize).is_some_and(|document| *document != DEAD));
        probes.dedup();
        if probes.is_empty() {
            return Ok(false);
        }
        let addresses: Vec<u64> = probes.iter().map(|(row, _)| fragment.first_address() + row).collect();
        let batch = self.passages.take(&addresses, &[VECTOR]);
        // A writer's next version has other files.
        self.passages.close_readers();
        let batch = batch?;
        let vectors: &[u8] = bytemuck::cast_slice(float_lists(&self.passages, &batch, VECTOR, dimension)?);
        Ok(probes.iter().zip(vectors.chunks_exact(bytes)).all(|((_, at), vector)| data.get(*at..at + bytes) == Some(vector)))
    }

    fn read_vectors(&self, fragment: &FragmentFile, dimension: usize) -> Result<Vec<f32>, StorageError> {
        let mut all = vec![0.0; fragment.rows * dimension];
        for batch in self.passages.scan_fragments(&[fragment.id], &[VECTOR]) {
            let batch = batch?;
            let addresses = primitive::<UInt64Type>(&self.passages, &batch, ADDRESS, "64-bit numbers")?;
            let vectors = float_lists(&self.passages, &batch, VECTOR, dimension)?;
            for (address, vector) in addresses.iter().zip(vectors.chunks_exact(dimension)) {
                let row = (address - fragment.first_address()) as usize;
                if let Some(place) = all.get_mut(row * dimension..(row + 1) * dimension) {
                    place.copy_from_slice(vector);
                }
            }
        }
        Ok(all)
    }

    /// Removes code files that cannot be used, so that they are written again.
    pub(super) fn remove_damaged_codes(&self) {
        let Some(spaces) = self.header.spaces() else { return };
        for fragment in self.passages.fragments() {
            let Some(data) = fragment.data.as_deref() else { continue };
            let path = codes::path_of(&self.layout.codes(), data);
            let data = self.passages.path().join(data);
            // Read once more, whatever was known of it.
            let unknown = SoundFiles::default();
            if path.exists() && CodeFile::open(&path, &data, &spaces, &unknown).is_none() {
                // Windows refuses while somebody has it open; the next writer tries again.
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// Removes the codes of data files that no generation needs.
    pub(super) fn clean_codes(&self, needed: &HashSet<String>) {
        let directory = self.layout.codes();
        let mut wanted: HashSet<_> = needed.iter().map(|data| codes::path_of(&directory, data)).collect();
        wanted.insert(deviations::path_of(&directory));
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if !wanted.contains(&entry.path())
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::debug!(%error, file = %entry.path().display(), "left for the next clean-up");
            }
        }
    }
}
