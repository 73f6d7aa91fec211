//! Queries with their identifiers.

use std::collections::HashSet;
use std::io::BufRead;

use super::lines::{each_line, excerpt, refuse};
use crate::error::EvaluateError;

/// One query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What the judgements call it.
    pub id: String,
    /// What is asked.
    pub text: String,
}

/// Queries, in the order of their file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queries {
    list: Vec<Query>,
}

impl Queries {
    /// Reads JSON lines with `_id` (or `id`) and `text`, as BEIR has them; other members are passed over. `source` is what
    /// messages call the file.
    ///
    /// # Errors
    /// [`EvaluateError::Read`] and [`EvaluateError::Line`].
    pub fn read(source: &str, reader: impl BufRead) -> Result<Self, EvaluateError> {
        const EXPECTED: &str = r#"a JSON object with the strings "_id" (or "id") and "text""#;
        let (mut list, mut seen) = (Vec::new(), HashSet::new());
        each_line(source, reader, |number, line| {
            let json: serde_json::Value =
                serde_json::from_str(line).map_err(|e| refuse(source, number, EXPECTED, format!("{} ({e})", excerpt(line))))?;
            let id = match json.get("_id").or_else(|| json.get("id")) {
                Some(serde_json::Value::String(id)) => id.clone(),
                Some(serde_json::Value::Number(id)) => id.to_string(),
                _ => return Err(refuse(source, number, EXPECTED, excerpt(line))),
            };
            let text = json.get("text").and_then(serde_json::Value::as_str);
            let text = text.ok_or_else(|| refuse(source, number, EXPECTED, excerpt(line)))?.to_owned();
            if !seen.insert(id.clone()) {
                return Err(refuse(source, number, "an identifier that was not used before", format!("{id:?} again")));
            }
            list.push(Query { id, text });
            Ok(())
        })?;
        Ok(Self { list })
    }

    /// The queries in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Query> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl FromIterator<Query> for Queries {
    fn from_iter<I: IntoIterator<Item = Query>>(queries: I) -> Self {
        Self { list: queries.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_named_with_what_was_expected() {
        let message = |text: &str| Queries::read("q.jsonl", text.as_bytes()).unwrap_err().to_string();
        let good = "{\"_id\": 7, \"text\": \"a\", \"metadata\": {}}\n\n";
        assert_eq!(Queries::read("q.jsonl", good.as_bytes()).unwrap().iter().next().unwrap().id, "7");
        let error = message(&format!("{good}not json"));
        assert!(error.contains("q.jsonl, line 3") && error.contains("\"not json\""), "{error}");
        assert!(message("{\"id\": \"a\"}").contains("\"text\""));
        assert!(message("{\"id\": \"a\", \"text\": \"\"}\n{\"id\": \"a\", \"text\": \"\"}").contains("line 2"));
        assert!(Queries::read("q", &b"\xff\xfe"[..]).unwrap_err().to_string().contains("UTF-8"));
    }
}
