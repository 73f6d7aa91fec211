//! Where a Lance data file has its vectors, so that they can be read where they are.
//!
//! Lance (format 2.2) writes lists of so many floats as they are, one after the other, in pages; a footer says where each page is. This
//! reads the footer and nothing else of the format; whoever uses it compares some rows with what Lance itself reads. The footer and its
//! messages are described in Lance's `file2.proto`.

/// Rows that lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The first row.
    pub(super) first: u64,
    /// Where it begins, in bytes.
    pub(super) offset: u64,
}

/// The pages of the last column of a file of so many rows, where each page has `bytes` bytes for each row and nothing else. None is empty.
pub(super) fn last_column(file: &[u8], rows_of_file: usize, bytes: usize) -> Option<Vec<Page>> {
    const FOOTER: usize = 40;
    let footer = file.get(file.len().checked_sub(FOOTER)?..)?;
    let columns = u32::from_le_bytes(footer.get(28..32)?.try_into().ok()?);
    if footer.get(36..)? != b"LANC" || columns == 0 {
        return None;
    }
    let table = number(footer.get(8..16)?)?.checked_add(16 * (columns as usize - 1))?;
    let entry = file.get(table..table.checked_add(16)?)?;
    let (start, length) = (number(entry.get(..8)?)?, number(entry.get(8..)?)?);
    let column = file.get(start..start.checked_add(length)?)?;
    let mut pages = Vec::new();
    let mut first = 0;
    for field in Fields(column) {
        // ColumnMetadata.pages
        let (2, Value::Bytes(page)) = field? else { continue };
        let (mut offsets, mut sizes, mut rows) = (Vec::new(), Vec::new(), 0);
        for field in Fields(page) {
            match field? {
                (1, value) => offsets.extend(value.numbers()?),
                (2, value) => sizes.extend(value.numbers()?),
                (3, Value::Number(length)) => rows = length,
                _ => {}
            }
        }
        let (&[offset], &[size]) = (&offsets[..], &sizes[..]) else { return None };
        let inside = offset.checked_add(size).is_some_and(|end| end <= file.len() as u64);
        if rows == 0 || rows.checked_mul(bytes as u64)? != size || !inside || offset % 4 != 0 {
            return None;
        }
        pages.push(Page { first, offset });
        first += rows;
    }
    (first == rows_of_file as u64).then_some(pages)
}

fn number(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
}

/// The value of a field of a protocol buffer.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// The numbers of a repeated field, packed or one.
    fn numbers(&self) -> Option<Vec<u64>> {
        match self {
            Self::Number(number) => Some(vec![*number]),
            Self::Bytes(bytes) => {
                let mut bytes = *bytes;
                let mut numbers = Vec::new();
                while !bytes.is_empty() {
                    numbers.push(varint(&mut bytes)?);
                }
                Some(numbers)
            }
        }
    }
}

/// The fields of a message; `None` once where it is not one.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = field(&mut self.0);
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn field<'a>(message: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = varint(message)?;
    let value = match tag & 7 {
        0 => Value::Number(varint(message)?),
        1 => Value::Bytes(message.split_off(..8)?),
        2 => {
            let length = usize::try_from(varint(message)?).ok()?;
            Value::Bytes(message.split_off(..length)?)
        }
        5 => Value::Bytes(message.split_off(..4)?),
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_no_lance_file_has_no_pages(bytes in prop::collection::vec(any::<u8>(), 0..200), ends in any::<bool>()) {
            let mut file = bytes;
            if ends && file.len() >= 4 {
                let at = file.len() - 4;
                file[at..].copy_from_slice(b"LANC");
            }
            if let Some(pages) = last_column(&file, 3, 16) {
                prop_assert!(pages.iter().all(|page| page.offset <= file.len() as u64));
            }
        }
    }
}
