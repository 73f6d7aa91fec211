//! From a document to its passages.

use crate::model::Encoder;
use crate::passage::{PassageOptions, TokenCounter, WordCounter, cut, heading_for_models, with_heading};
use crate::schema::{Document, FieldType, Schema, Value};
use crate::store::PassageRow;

/// A document with its passages, whose vectors may still be missing.
pub(super) struct Prepared {
    pub(super) number: u64,
    pub(super) document: Document,
    pub(super) passages: Vec<PassageRow>,
    /// What the encoder reads of each passage.
    pub(super) inputs: Vec<String>,
}

impl Prepared {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let values: usize = self.document.values().filter_map(|(_, value)| value.as_text()).map(str::len).sum();
        let passage = |row: &PassageRow| row.text.len() + row.vector.as_ref().map_or(0, |vector| vector.len() * 4) + 64;
        let inputs: usize = self.inputs.iter().map(String::len).sum();
        values + inputs + self.passages.iter().map(passage).sum::<usize>()
    }
}

/// Cuts documents as the index was told to.
pub(super) struct Preparer {
    pub(super) schema: Schema,
    pub(super) options: PassageOptions,
    pub(super) encoder: Option<Encoder>,
    pub(super) own_vectors: bool,
}

impl Preparer {
    pub(super) fn prepare(&self, number: u64, document: Document) -> Prepared {
        let texts = self.filled(&document, FieldType::Text);
        let headings = self.filled(&document, FieldType::Heading);
        // A document that is all heading has it for its text.
        let (bodies, heading) = if texts.is_empty() { (headings, String::new()) } else { (texts, join(&headings)) };
        if self.own_vectors {
            let row = whole(number, bodies.first().copied(), document.own_vector());
            return Prepared { number, document, passages: vec![row], inputs: Vec::new() };
        }
        let counter: &dyn TokenCounter = self.encoder.as_ref().map_or(&WordCounter, Encoder::counter);
        let mut passages = Vec::new();
        for (field, text) in bodies {
            for range in cut(text, self.options, counter) {
                passages.push(PassageRow {
                    document: number,
                    ordinal: passages.len() as u32,
                    field: field.to_owned(),
                    start: range.start as u64,
                    end: range.end as u64,
                    text: text.get(range).unwrap_or_default().to_owned(),
                    vector: None,
                });
            }
        }
        let inputs = match self.encoder {
            Some(_) => {
                let heading = heading_for_models(&heading, counter);
                passages.iter().map(|row| with_heading(heading, &row.text)).collect()
            }
            None => Vec::new(),
        };
        Prepared { number, document, passages, inputs }
    }

    /// The fields of a type that have text to them.
    fn filled<'a>(&'a self, document: &'a Document, kind: FieldType) -> Vec<(&'a str, &'a str)> {
        let text = |name: &'a str| Some((name, document.get(name).and_then(Value::as_text)?));
        self.schema.names_of(kind).filter_map(text).filter(|(_, text)| !text.trim().is_empty()).collect()
    }
}

fn join(headings: &[(&str, &str)]) -> String {
    headings.iter().map(|(_, text)| text.trim()).collect::<Vec<_>>().join(" ")
}

/// The one passage of a document that brings its vector.
fn whole(number: u64, body: Option<(&str, &str)>, vector: Option<&[f32]>) -> PassageRow {
    let (field, text) = body.unwrap_or_default();
    let start = text.len() - text.trim_start().len();
    let trimmed = text.trim();
    PassageRow {
        document: number,
        ordinal: 0,
        field: field.to_owned(),
        start: start as u64,
        end: (start + trimmed.len()) as u64,
        text: trimmed.to_owned(),
        vector: vector.map(<[f32]>::to_vec),
    }
}
