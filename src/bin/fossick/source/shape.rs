//! From records to documents: which column is the key, which columns are fields, and of which type.

use std::collections::BTreeMap;
use std::str::FromStr;

use fossick::{Date, Document, Field, FieldType, Language, Schema, Value};
use serde_json::Value as Json;

use super::Record;
use super::json_lines::name;
use crate::failure::Failure;

/// Columns that are taken for the key, the first that at least half of the records have.
const KEYS: [&str; 6] = ["_id", "id", "key", "_key", "docid", "path"];
/// Columns that say what a document is.
const HEADINGS: [&str; 5] = ["title", "heading", "headline", "subject", "name"];
/// Columns that are read whole.
const TEXTS: [&str; 8] = ["text", "body", "content", "contents", "abstract", "description", "summary", "passage"];
/// The longest text that is taken for a keyword, in characters.
const KEYWORD: usize = 100;

/// A column that the user gives a type: `NAME:TYPE`.
#[derive(Clone, Debug)]
pub struct Declared {
    pub name: String,
    pub kind: FieldType,
}

impl FromStr for Declared {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, kind) = text.rsplit_once(':').ok_or("expected NAME:TYPE, such as year:integer")?;
        let kind = match kind {
            "heading" => FieldType::Heading,
            "text" => FieldType::Text,
            "keyword" => FieldType::Keyword,
            "integer" => FieldType::Integer,
            "float" => FieldType::Float,
            "date" => FieldType::Date,
            "boolean" => FieldType::Boolean,
            "stored" => FieldType::Stored,
            other => {
                return Err(format!(
                    "{other:?} is no type; expected heading, text, keyword, integer, float, date, boolean or stored"
                ));
            }
        };
        Ok(Self { name: name.to_owned(), kind })
    }
}

/// The name of a type, as [`Declared`] reads it.
pub fn type_name(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Heading => "heading",
        FieldType::Text => "text",
        FieldType::Keyword => "keyword",
        FieldType::Integer => "integer",
        FieldType::Float => "float",
        FieldType::Date => "date",
        FieldType::Boolean => "boolean",
        FieldType::Stored => "stored",
        _ => "unknown",
    }
}

/// Languages by the names that options give them.
pub const LANGUAGES: [(&str, Language); 19] = [
    ("none", Language::Neutral),
    ("arabic", Language::Arabic),
    ("danish", Language::Danish),
    ("dutch", Language::Dutch),
    ("english", Language::English),
    ("finnish", Language::Finnish),
    ("french", Language::French),
    ("german", Language::German),
    ("greek", Language::Greek),
    ("hungarian", Language::Hungarian),
    ("italian", Language::Italian),
    ("norwegian", Language::Norwegian),
    ("portuguese", Language::Portuguese),
    ("romanian", Language::Romanian),
    ("russian", Language::Russian),
    ("spanish", Language::Spanish),
    ("swedish", Language::Swedish),
    ("tamil", Language::Tamil),
    ("turkish", Language::Turkish),
];

/// The name of a language, as in [`LANGUAGES`].
pub fn language_name(language: Language) -> &'static str {
    LANGUAGES.iter().find(|(_, named)| *named == language).map_or("unknown", |(name, _)| name)
}

/// The name of the language of a field's words; `None` where it has none to search.
pub fn language_of(field: &Field) -> Option<&'static str> {
    matches!(field.kind(), FieldType::Heading | FieldType::Text).then(|| language_name(field.language()))
}

/// A field as pages show it: `text:text`, with its language where that is not English.
pub fn described(field: &Field) -> String {
    let described = format!("{}:{}", field.name(), type_name(field.kind()));
    match language_of(field) {
        None | Some("english") => described,
        Some(language) => format!("{described} ({language})"),
    }
}

/// What a column was seen to hold.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    /// Records that have a value that can be a key.
    keys: u64,
    texts: u64,
    dates: u64,
    integers: u64,
    floats: u64,
    booleans: u64,
    nested: u64,
    /// Texts that are written as an integer, a number, true or false.
    as_integer: u64,
    as_float: u64,
    as_boolean: u64,
    longest: usize,
}

/// What all records together look like.
#[derive(Debug, Default)]
pub struct Observed {
    columns: BTreeMap<String, Column>,
    /// Records whose key is in a column.
    records: u64,
}

impl Observed {
    pub fn record(&mut self, record: &Record) {
        self.records += u64::from(record.key.is_none());
        for (name, value) in &record.values {
            match self.columns.get_mut(name) {
                Some(column) => column.see(value),
                None => self.columns.entry(name.clone()).or_default().see(value),
            }
        }
    }

    /// The key's column: the one that was asked for, or the first known name that at least half of the records have and the index does not
    /// have as a field. Empty where every record is a file, which has its path for a key.
    pub fn key(&self, asked: Option<&str>, known: Option<&Schema>) -> Result<String, Failure> {
        if let Some(asked) = asked {
            return match self.columns.contains_key(asked) {
                true => Ok(asked.to_owned()),
                false => Err(Failure::new(format_args!("no record has the column {asked:?}; the columns are {}", self.names()))),
            };
        }
        if self.records == 0 {
            return Ok(String::new());
        }
        let is_field = |name: &str| known.is_some_and(|schema| schema.field(name).is_some());
        let mostly = |name: &str| self.columns.get(name).is_some_and(|column| 2 * column.keys >= self.records);
        let found = KEYS.into_iter().find(|name| mostly(name) && !is_field(name));
        found.map(str::to_owned).ok_or_else(|| {
            Failure::new(format_args!(
                "no column is the key: looked for {}, found {}; name it with --key COLUMN",
                KEYS.join(", "),
                self.names()
            ))
        })
    }

    /// The first of these that no record has.
    pub fn missing<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        names.find(|name| !self.columns.contains_key(*name))
    }

    /// Fields for a new index: those declared, and the others by what they hold; their words are of one language. Also says why columns were
    /// left out.
    pub fn schema(
        &self,
        key: &str,
        declared: &[Declared],
        ignored: &[String],
        language: Language,
        untyped: bool,
    ) -> Result<(Schema, Vec<String>), Failure> {
        let (mut fields, mut notes) = (Vec::new(), Vec::new());
        for (name, column) in &self.columns {
            if let Some(declared) = declared.iter().find(|declared| declared.name == *name) {
                fields.push((name, declared.kind));
            } else if name != key && !ignored.contains(name) {
                match column.kind(name, untyped) {
                    Ok(kind) if is_field_name(name) => fields.push((name, kind)),
                    Ok(_) => notes.push(format!(
                        "column {name:?} is left out: a field's name is a letter and then letters, digits, '_' and '-'"
                    )),
                    Err(why) => notes.push(format!("column {name:?} is left out: {why}")),
                }
            }
        }
        // What a document is called before what it says, and that before all else.
        fields.sort_by_key(|(_, kind)| match kind {
            FieldType::Heading => 0,
            FieldType::Text => 1,
            _ => 2,
        });
        let builder = fields.into_iter().fold(Schema::builder(), |builder, (name, kind)| match kind {
            FieldType::Heading => builder.heading_in(name, language),
            FieldType::Text => builder.text_in(name, language),
            other => builder.field(name, other),
        });
        let schema =
            builder.build().map_err(|e| Failure::new(format_args!("{e} (columns: {}; --field NAME:text)", self.names())))?;
        Ok((schema, notes))
    }

    /// Columns that a schema does not have.
    pub fn unknown_to(&self, schema: &Schema, key: &str) -> Vec<&str> {
        self.columns.keys().map(String::as_str).filter(|name| *name != key && schema.field(name).is_none()).collect()
    }

    /// The columns, for messages.
    pub fn names(&self) -> String {
        self.columns.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn is_field_name(name: &str) -> bool {
    Schema::builder().text(name).build().is_ok()
}

impl Column {
    fn see(&mut self, value: &Json) {
        match value {
            Json::Null => {}
            Json::Bool(_) => self.booleans += 1,
            Json::Number(number) if number.is_i64() => self.integers += 1,
            Json::Number(number) if number.is_u64() => self.texts += 1,
            Json::Number(_) => self.floats += 1,
            Json::String(text) => {
                self.texts += 1;
                self.dates += u64::from(!text.is_empty() && text.parse::<Date>().is_ok());
                // 007 is a name, not a number.
                let plain = text == "0" || !text.trim_start_matches('-').starts_with('0') || text.contains('.');
                self.as_integer += u64::from(plain && text.parse::<i64>().is_ok());
                // A whole number too large for an integer would lose digits as a float.
                let digits = text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
                let fits = !digits || text.parse::<i64>().is_ok();
                self.as_float += u64::from(plain && fits && text.parse::<f64>().is_ok_and(f64::is_finite));
                self.as_boolean += u64::from(matches!(text.as_str(), "true" | "false"));
                self.longest = self.longest.max(text.chars().take(KEYWORD + 1).count());
            }
            Json::Array(_) | Json::Object(_) => self.nested += 1,
        }
        let key = matches!(value, Json::String(text) if !text.is_empty()) || matches!(value, Json::Number(n) if n.is_i64());
        self.keys += u64::from(key);
    }

    fn kind(&self, name: &str, untyped: bool) -> Result<FieldType, &'static str> {
        let lower = name.to_lowercase();
        let all = self.texts + self.integers + self.floats + self.booleans;
        match all {
            // One odd value among texts is a mistake in a record, not a reason to do without the column.
            _ if self.texts > 0 && HEADINGS.contains(&lower.as_str()) => Ok(FieldType::Heading),
            _ if self.texts > 0 && TEXTS.contains(&lower.as_str()) => Ok(FieldType::Text),
            _ if self.nested > 0 => Err("it holds lists, objects, or what no field takes"),
            0 => Err("it is empty"),
            _ if self.booleans == all => Ok(FieldType::Boolean),
            _ if self.integers == all => Ok(FieldType::Integer),
            _ if self.integers + self.floats == all => Ok(FieldType::Float),
            _ if self.texts < all => Err(
                "it holds values of several types, or integers of more than 64 bits beside others; --field NAME:TYPE takes one kind of them",
            ),
            _ if self.dates == all => Ok(FieldType::Date),
            _ if untyped && self.as_boolean == all => Ok(FieldType::Boolean),
            _ if untyped && self.as_integer == all => Ok(FieldType::Integer),
            _ if untyped && self.as_float == all => Ok(FieldType::Float),
            _ if self.longest <= KEYWORD => Ok(FieldType::Keyword),
            _ => Ok(FieldType::Text),
        }
    }
}

/// A record's key, or why it has none.
pub fn key_of(record: &Record, column: &str) -> Result<String, String> {
    if let Some(key) = &record.key {
        return Ok(key.clone());
    }
    match record.values.get(column) {
        Some(Json::String(key)) if !key.is_empty() => Ok(key.clone()),
        Some(Json::Number(number)) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        None => Err(format!("has no column {column:?}, which is the key; add it, or name another with --key")),
        Some(other) => Err(format!("expected a text or an integer as key in {column:?}, found {}; give it one", found(other))),
    }
}

/// A record as a document of a schema, without the ignored columns. `untyped` records hold text only, which is read as the
/// field's type.
pub fn document(record: &Record, key: String, schema: &Schema, ignored: &[String], untyped: bool) -> Result<Document, String> {
    let mut document = Document::new(key);
    for field in schema.fields().iter().filter(|field| !ignored.iter().any(|name| name == field.name())) {
        let Some(value) = record.values.get(field.name()) else { continue };
        if let Some(value) = value_of(value, field.kind(), untyped).map_err(|expected| {
            format!(
                "field {:?} expects {expected}, found {}; correct it, or leave the column out with --ignore",
                field.name(),
                found(value)
            )
        })? {
            document = document.set(field.name(), value);
        }
    }
    let searched = schema.fields().iter().filter(|field| matches!(field.kind(), FieldType::Heading | FieldType::Text));
    let names: Vec<&str> = searched.map(|field| field.name()).collect();
    if names.iter().all(|name| document.get(name).is_none()) {
        return Err(format!("has none of the fields that are searched ({}); give it one of them", names.join(", ")));
    }
    Ok(document)
}

fn value_of(value: &Json, kind: FieldType, untyped: bool) -> Result<Option<Value>, String> {
    let expected = || kind.to_string();
    Ok(match (value, kind) {
        (Json::Null, _) => None,
        (Json::String(text), FieldType::Heading | FieldType::Text | FieldType::Keyword | FieldType::Stored) => {
            Some(Value::Text(text.clone()))
        }
        (Json::String(text), FieldType::Date) => {
            Some(Value::Date(text.parse().map_err(|_| "a date such as 1976-04-27 or 1976-04-27T10:00:00Z")?))
        }
        (Json::String(text), FieldType::Integer) if untyped => Some(Value::Integer(text.trim().parse().map_err(|_| expected())?)),
        (Json::String(text), FieldType::Float) if untyped => Some(Value::Float(text.trim().parse().map_err(|_| expected())?)),
        (Json::String(text), FieldType::Boolean) if untyped => Some(Value::Boolean(text.trim().parse().map_err(|_| expected())?)),
        (Json::Number(number), FieldType::Integer) => Some(Value::Integer(number.as_i64().ok_or_else(expected)?)),
        (Json::Number(number), FieldType::Float) => Some(Value::Float(number.as_f64().ok_or_else(expected)?)),
        (Json::Number(number), FieldType::Keyword | FieldType::Stored) if !number.is_f64() => {
            Some(Value::Text(number.to_string()))
        }
        (Json::Bool(truth), FieldType::Boolean) => Some(Value::Boolean(*truth)),
        _ => return Err(expected()),
    })
}

/// A value with its kind, for messages.
fn found(value: &Json) -> String {
    let text = value.to_string();
    let short: String = text.chars().take(40).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{} {short}{dots}", name(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Place;
    use super::*;

    fn record(values: Json) -> Record {
        let Json::Object(values) = values else { panic!("an object") };
        Record { place: Place::line(&"x".into(), 1), key: None, values }
    }

    fn observed(records: &[Json]) -> Observed {
        let mut observed = Observed::default();
        records.iter().for_each(|values| observed.record(&record(values.clone())));
        observed
    }

    #[test]
    fn beirs_corpus_needs_no_word_of_explanation() {
        let seen = observed(&[
            json!({"_id": "7", "title": "a", "text": "b", "metadata": {}}),
            json!({"_id": "8", "title": "", "text": "c"}),
        ]);
        assert_eq!(seen.key(None, None).ok().as_deref(), Some("_id"));
        let (schema, notes) = seen.schema("_id", &[], &[], Language::English, false).unwrap();
        let fields: Vec<_> = schema.fields().iter().map(|field| (field.name(), field.kind())).collect();
        assert_eq!(fields, [("title", FieldType::Heading), ("text", FieldType::Text)]);
        assert!(notes.len() == 1 && notes[0].contains("\"metadata\""), "{notes:?}");
    }

    #[test]
    fn languages_have_the_names_that_the_library_gives_them() {
        for (name, language) in LANGUAGES {
            let expected = if language == Language::Neutral { "none".to_owned() } else { language.to_string().to_lowercase() };
            assert_eq!((name, language_name(language)), (&*expected, name));
        }
    }

    #[test]
    fn types_follow_what_every_record_holds() {
        let long = "word ".repeat(40);
        let seen = observed(&[
            json!({"id": 1, "n": 1, "f": 1, "b": true, "d": "1976-04-27", "k": "x", "t": long, "m": 1, "e": null}),
            json!({"id": 2, "n": 2, "f": 0.5, "b": false, "d": "1976-04-28", "k": "y", "t": "short", "m": "a", "e": null}),
        ]);
        let (schema, notes) = seen.schema("id", &[], &[], Language::English, false).unwrap();
        let kind = |name: &str| schema.field(name).map(|field| field.kind());
        assert_eq!(kind("n"), Some(FieldType::Integer));
        assert_eq!(kind("f"), Some(FieldType::Float));
        assert_eq!(kind("b"), Some(FieldType::Boolean));
        assert_eq!(kind("d"), Some(FieldType::Date));
        assert_eq!(kind("k"), Some(FieldType::Keyword));
        assert_eq!(kind("t"), Some(FieldType::Text));
        assert_eq!(notes.len(), 2, "{notes:?}");
    }

    #[test]
    fn text_of_a_csv_is_read_as_what_it_says_and_leading_zeros_are_kept() {
        let seen = observed(&[
            json!({"id": "a", "year": "1976", "zip": "01234", "text": "x"}),
            json!({"id": "b", "year": "1981", "zip": "99999", "text": "y"}),
        ]);
        let (schema, _) = seen.schema("id", &[], &[], Language::German, true).unwrap();
        assert_eq!(schema.field("year").unwrap().kind(), FieldType::Integer);
        assert_eq!(schema.field("zip").unwrap().kind(), FieldType::Keyword);
        let described: Vec<String> = schema.fields().iter().map(described).collect();
        assert_eq!(described, ["text:text (german)", "year:integer", "zip:keyword"]);
        let made =
            document(&record(json!({"id": "a", "year": "1976", "text": "x"})), "a".to_owned(), &schema, &[], true).unwrap();
        assert_eq!(made.get("year"), Some(&Value::Integer(1976)));
    }

    #[test]
    fn one_odd_record_costs_neither_the_key_nor_the_text() {
        let seen = observed(&[
            json!({"_id": "a", "id": 1, "text": "x", "n": 18_446_744_073_709_551_615_u64}),
            json!({"_id": "b", "id": 2, "text": 3, "n": 18_446_744_073_709_551_614_u64}),
            json!({"id": 3, "text": "y", "n": 18_446_744_073_709_551_613_u64}),
        ]);
        assert_eq!(seen.key(None, None).ok().as_deref(), Some("_id"));
        let (schema, _) = seen.schema("_id", &[], &[], Language::English, false).unwrap();
        assert_eq!(schema.field("text").unwrap().kind(), FieldType::Text);
        assert_eq!(schema.field("n").unwrap().kind(), FieldType::Keyword, "too large for an integer");
        // A column that the index has as a field is not its key.
        let known = Schema::builder().text("text").integer("id").build().unwrap();
        let only_id = observed(&[json!({"id": 1, "url": "u", "text": "x"})]);
        assert!(only_id.key(None, Some(&known)).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_field_expectation_and_finding() {
        let schema = Schema::builder().text("text").integer("year").build().unwrap();
        let refuse = |values| document(&record(values), "k".to_owned(), &schema, &[], false).unwrap_err();
        let error = refuse(json!({"text": "x", "year": "1976"}));
        assert!(error.contains("\"year\" expects an integer, found a text \"1976\""), "{error}");
        assert!(refuse(json!({"year": 1})).contains("(text)"));
        assert!(key_of(&record(json!({"id": null})), "id").unwrap_err().contains("null"));
        assert!(key_of(&record(json!({})), "id").unwrap_err().contains("no column \"id\""));
    }
}
