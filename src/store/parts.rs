//! The passages of a generation as they lie, part by part: large ones by their code files, the others read into memory.

use arrow::datatypes::UInt64Type;
use bytemuck::cast_slice;

use super::codes::{self, CodeFile, DEAD, Span, normalize};
use super::columns::{END, FIELD, NUMBER, START, VECTOR};
use super::reader::{ADDRESS, float_lists, primitive, spans_of};
use super::table::FragmentFile;
use super::writer::LARGE;
use super::{Generation, Spaces};
use crate::error::StorageError;
use crate::mapped::prefetch;
use crate::schema::Metric;

/// Some passages, one after the other.
pub(crate) enum PassagePart {
    /// A data file with codes.
    Coded(CodedPart),
    /// Passages that were read.
    Read(ReadPart),
}

/// The rows of a data file, those included that were deleted.
pub(crate) struct CodedPart {
    pub(crate) file: CodeFile,
    /// A bit for each row that is still there; `None` where all are.
    live: Option<Vec<u64>>,
    first_address: u64,
}

/// Passages in memory.
pub(crate) struct ReadPart {
    /// The document of each passage.
    documents: Vec<u64>,
    addresses: Vec<u64>,
    spans: Vec<Span>,
    /// The vectors, one after the other, brought to length 1 where the angle counts; empty in an index without vectors.
    vectors: Vec<f32>,
}

impl PassagePart {
    /// Rows, those included that were deleted.
    pub(crate) fn rows(&self) -> usize {
        self.documents().len()
    }

    /// The document of each row.
    pub(crate) fn documents(&self) -> &[u64] {
        match self {
            Self::Coded(part) => part.file.documents(),
            Self::Read(part) => &part.documents,
        }
    }

    /// Whether a row was not deleted.
    pub(crate) fn is_live(&self, row: usize) -> bool {
        match self {
            Self::Coded(CodedPart { live: Some(live), .. }) => live[row / 64] >> (row % 64) & 1 == 1,
            _ => true,
        }
    }

    /// A bit for each of 32 rows, the first of which is a multiple of 32: whether it was not deleted.
    pub(crate) fn live_among(&self, row: usize) -> u32 {
        match self {
            Self::Coded(CodedPart { live: Some(live), .. }) => (live[row / 64] >> (row % 64)) as u32,
            _ => u32::MAX,
        }
    }

    /// Where a row is in the table.
    pub(crate) fn address(&self, row: usize) -> u64 {
        match self {
            Self::Coded(part) => part.first_address + row as u64,
            Self::Read(part) => part.addresses[row],
        }
    }

    /// Where the text of a row is from.
    pub(crate) fn span(&self, row: usize) -> Span {
        match self {
            Self::Coded(part) => part.file.span(row),
            Self::Read(part) => part.spans[row],
        }
    }

    /// The vector of a row, and what brings it to length 1 where the angle counts; empty in an index without vectors.
    pub(crate) fn vector(&self, row: usize) -> (&[f32], f32) {
        match self {
            Self::Coded(part) => part.file.vector(row),
            Self::Read(part) => {
                let dimension = part.vectors.len() / part.documents.len().max(1);
                (&part.vectors[row * dimension..(row + 1) * dimension], 1.0)
            }
        }
    }

    /// That a row is compared soon.
    pub(crate) fn prefetch(&self, row: usize) {
        match self {
            Self::Coded(part) => part.file.prefetch(row),
            Self::Read(_) => prefetch(cast_slice(self.vector(row).0)),
        }
    }

    fn live_rows(&self) -> usize {
        match self {
            Self::Coded(CodedPart { live: Some(live), .. }) => live.iter().map(|bits| bits.count_ones() as usize).sum(),
            other => other.rows(),
        }
    }
}

impl Generation {
    /// The passages, in the order of the table.
    pub(crate) fn passage_parts(&self) -> Result<Vec<PassagePart>, StorageError> {
        self.sound().check(self.passages.path(), &self.header.files.passages)?;
        let spaces = self.header.spaces();
        let spaces = spaces.as_ref();
        let mut parts = Vec::new();
        let mut small: Vec<u64> = Vec::new();
        for fragment in self.passages.fragments() {
            match spaces.and_then(|spaces| self.code_file(&fragment, spaces)) {
                Some(file) => {
                    let live = if fragment.has_dead { Some(self.live_rows(&fragment)?) } else { None };
                    let part = PassagePart::Coded(CodedPart { file, live, first_address: fragment.first_address() });
                    // Made for a later generation, in which these rows were deleted.
                    let lacks = |(row, document): (usize, &u64)| *document == DEAD && part.is_live(row);
                    if part.documents().iter().enumerate().any(lacks) {
                        small.push(fragment.id);
                        continue;
                    }
                    self.read_small(&mut small, spaces, &mut parts)?;
                    parts.push(part);
                }
                None => small.push(fragment.id),
            }
        }
        self.read_small(&mut small, spaces, &mut parts)?;
        self.expect_passages(parts.iter().map(PassagePart::live_rows).sum())?;
        Ok(parts)
    }

    fn code_file(&self, fragment: &FragmentFile, spaces: &Spaces) -> Option<CodeFile> {
        let data = fragment.data.as_deref().filter(|_| fragment.rows >= LARGE)?;
        let path = codes::path_of(&self.layout.codes(), data);
        CodeFile::open(&path, &self.passages.path().join(data), spaces, self.sound()).filter(|file| file.rows() == fragment.rows)
    }

    /// A bit for each row of a fragment that was not deleted.
    fn live_rows(&self, fragment: &FragmentFile) -> Result<Vec<u64>, StorageError> {
        let mut live = vec![0_u64; fragment.rows.div_ceil(64)];
        for batch in self.passages.scan_fragments(&[fragment.id], &[NUMBER]) {
            let batch = batch?;
            for address in primitive::<UInt64Type>(&self.passages, &batch, ADDRESS, "64-bit numbers")? {
                let row = (address - fragment.first_address()) as usize;
                if let Some(bits) = live.get_mut(row / 64) {
                    *bits |= 1 << (row % 64);
                }
            }
        }
        Ok(live)
    }

    /// Reads fragments that follow each other; forgets them.
    fn read_small(
        &self,
        fragments: &mut Vec<u64>,
        spaces: Option<&Spaces>,
        parts: &mut Vec<PassagePart>,
    ) -> Result<(), StorageError> {
        if fragments.is_empty() {
            return Ok(());
        }
        let columns = [NUMBER, FIELD, START, END, VECTOR];
        let columns = &columns[..columns.len() - usize::from(spaces.is_none())];
        let mut part = ReadPart { documents: Vec::new(), addresses: Vec::new(), spans: Vec::new(), vectors: Vec::new() };
        for batch in self.passages.scan_fragments(fragments, columns) {
            let batch = batch?;
            part.documents.extend(primitive::<UInt64Type>(&self.passages, &batch, NUMBER, "64-bit numbers")?);
            part.spans.extend(spans_of(&self.passages, &self.header.schema, &batch)?);
            part.addresses.extend(primitive::<UInt64Type>(&self.passages, &batch, ADDRESS, "64-bit numbers")?);
            if let Some(spaces) = spaces {
                part.vectors.extend_from_slice(float_lists(&self.passages, &batch, VECTOR, spaces.width())?);
            }
        }
        if let Some(spaces) = spaces {
            let vectors = part.vectors.chunks_exact_mut(spaces.width()).zip(&part.spans);
            let by_angle = vectors.filter(|(_, span)| spaces.all()[spaces.of_field(span.field)].metric() == Metric::Cosine);
            by_angle.for_each(|(vector, _)| normalize(vector));
        }
        fragments.clear();
        if !part.documents.is_empty() {
            parts.push(PassagePart::Read(part));
        }
        Ok(())
    }
}
