//! From a document to its passages.

use crate::model::Encoder;
use crate::passage::{PassageOptions, TokenCounter, WordCounter, cut, heading_for_models, with_heading};
use crate::schema::{Document, FieldType, Schema, Value};
use crate::store::{Content, PassageRow, VectorSource};

/// A document with its passages, whose vectors may still be missing.
pub(super) struct Prepared {
    pub(super) content: Content,
    pub(super) document: Document,
    /// With their tokens where there is an encoder, which reads those.
    pub(super) passages: Vec<PassageRow>,
    /// Whether the encoder reads only the beginning of its headings.
    pub(super) heading_is_cut: bool,
}

impl Prepared {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let values: usize = self.document.values().filter_map(|(_, value)| value.as_text()).map(str::len).sum();
        let numbers = |row: &PassageRow| row.tokens.len() + row.vector.as_ref().map_or(0, Vec::len);
        let passage = |row: &PassageRow| row.text.len() + 4 * numbers(row) + 64;
        values + self.passages.iter().map(passage).sum::<usize>()
    }
}

/// Cuts documents as the index was told to.
pub(super) struct Preparer {
    pub(super) schema: Schema,
    pub(super) options: PassageOptions,
    pub(super) encoder: Option<Encoder>,
    /// What is known of the vectors, where the application brings them.
    pub(super) own_vectors: Option<VectorSource>,
}

impl Preparer {
    pub(super) fn prepare(&self, content: Content, document: Document) -> Prepared {
        let number = content.number;
        let texts = self.filled(&document, FieldType::Text);
        let headings = self.filled(&document, FieldType::Heading);
        if let Some(vectors) = &self.own_vectors {
            // A passage's vector is compared as those of its field are.
            let is_alike = |(field, _): &&(&str, &str)| vectors.space_of(Some(field)) == vectors.space();
            let body = texts.iter().chain(&headings).find(is_alike).copied();
            let passages = self.wholes(number, body, &document);
            return Prepared { content, document, passages, heading_is_cut: false };
        }
        // A document that is all heading has it for its text.
        let (bodies, heading) = if texts.is_empty() { (headings, String::new()) } else { (texts, join(&headings)) };
        let counter: &dyn TokenCounter = self.encoder.as_ref().map_or(&WordCounter, Encoder::counter);
        let joined = if self.options.with_heading { heading.trim() } else { "" };
        let heading = heading_for_models(joined, counter);
        let heading_is_cut = self.encoder.is_some() && heading.len() < joined.len();
        let reader = self.encoder.as_ref().map(|encoder| (encoder, heading));
        let tokens = |text: &str| reader.map_or_else(Vec::new, |(encoder, heading)| encoder.tokens(&with_heading(heading, text)));
        let mut passages = Vec::new();
        for (field, text) in bodies {
            for range in cut(text, self.options, counter) {
                let (start, end) = (range.start as u64, range.end as u64);
                let text = text.get(range).unwrap_or_default();
                passages.push(PassageRow {
                    document: number,
                    ordinal: passages.len() as u32,
                    field: field.to_owned(),
                    start,
                    end,
                    text: text.to_owned(),
                    tokens: tokens(text),
                    vector: None,
                });
            }
        }
        Prepared { content, document, passages, heading_is_cut }
    }

    /// A passage for each vector that a document brings: its own, for its body, and those of its fields, in the order of the schema.
    fn wholes(&self, number: u64, body: Option<(&str, &str)>, document: &Document) -> Vec<PassageRow> {
        let mut rows = Vec::new();
        if let Some(vector) = document.own_vector(None) {
            let (field, text) = body.unwrap_or_default();
            rows.push(whole(number, 0, field, text, vector));
        }
        for field in self.schema.fields() {
            let Some(vector) = document.own_vector(Some(field.name())) else { continue };
            let text = document.get(field.name()).and_then(Value::as_text).filter(|_| field.kind().is_searched());
            rows.push(whole(number, rows.len(), field.name(), text.unwrap_or_default(), vector));
        }
        rows
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

/// The passage of a vector that the application brings.
fn whole(number: u64, ordinal: usize, field: &str, text: &str, vector: &[f32]) -> PassageRow {
    let start = text.len() - text.trim_start().len();
    let trimmed = text.trim();
    // Blank text has no place.
    let start = if trimmed.is_empty() { 0 } else { start };
    PassageRow {
        document: number,
        ordinal: ordinal as u32,
        field: field.to_owned(),
        start: start as u64,
        end: (start + trimmed.len()) as u64,
        text: trimmed.to_owned(),
        tokens: Vec::new(),
        vector: Some(vector.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Generation;
    use crate::{Device, Index, Options};

    fn notes() -> Vec<Document> {
        let note = |key: &str, title: &str, body: &str| Document::new(key).set("title", title).set("body", body);
        vec![
            note("plain", "Wells", "How to dig a well by hand."),
            note("long", &"A heading without end ".repeat(40), &"Many sentences say nothing. ".repeat(80)),
            note("unicode", "Ĉu vi?", "Naïve café 中文 \u{200b} ﬁn…"),
            note("heading", "Nothing but a heading", " "),
            note("body", "", "Nothing but a body"),
            note("empty", "", ""),
        ]
    }

    /// The passages of the notes as they are kept, with tokens of that vocabulary.
    fn kept(options: Options, vocabulary: Option<&str>) -> Vec<(u64, crate::store::StoredPassage)> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        let schema = Schema::builder().heading("title").text("body").build().unwrap();
        let index = Index::open_or_create(&path, options.schema(schema)).unwrap();
        let mut writer = index.writer().unwrap();
        notes().into_iter().for_each(|note| writer.add(note).unwrap());
        writer.commit().unwrap();
        let generation = Generation::open(&path, Default::default()).unwrap();
        let passages = generation.passage_index().unwrap();
        let found = generation.read_passages(&passages.addresses, vocabulary).unwrap();
        passages.documents.iter().copied().zip(found).collect()
    }

    #[test]
    fn tokens_are_kept_of_what_the_models_read_and_given_to_models_with_the_vocabulary() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/bge-small-en-v1.5");
        let encoder = Encoder::load(directory, &Device::cpu()).unwrap();
        let options = || Options::new().encoder(encoder.clone());
        let passages = kept(options(), Some(encoder.vocabulary()));
        assert!(passages.len() >= 7, "{}", passages.len());
        for (number, passage) in passages {
            let note = &notes()[number as usize];
            let title = note.get("title").and_then(Value::as_text).unwrap_or_default();
            let heading = if passage.field == "title" { "" } else { heading_for_models(title, encoder.counter()) };
            let read = with_heading(heading, &passage.text);
            assert_eq!(passage.tokens.unwrap(), encoder.tokens(&read), "{read}");
        }
        assert!(kept(options(), Some("another")).iter().all(|(_, passage)| passage.tokens.is_none()));
        assert!(kept(options(), None).iter().all(|(_, passage)| passage.tokens.is_none()));
        assert!(kept(Options::new(), Some(encoder.vocabulary())).iter().all(|(_, passage)| passage.tokens.is_none()));
    }

    #[test]
    fn an_encoder_gives_tokens_the_vectors_of_their_text() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/bge-small-en-v1.5");
        let encoder = Encoder::load(directory, &Device::cpu()).unwrap();
        let long = "word ".repeat(700);
        let texts = ["How to dig a well by hand.", "Naïve café 中文", &long];
        let tokens = texts.map(|text| encoder.tokens(text));
        assert_eq!(encoder.encode_tokens(&tokens).unwrap(), encoder.encode_passages(&texts).unwrap());
    }
}
