//! Rankings by query, in TREC's format.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead, Write};

use super::lines::{each_line, excerpt, refuse};
use crate::error::EvaluateError;

/// For each query, documents in the order in which they were found, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    queries: BTreeMap<String, Vec<String>>,
}

impl Run {
    /// Reads TREC's six columns: query, anything, document, rank, score, name. As in trec_eval, the order is that of the
    /// scores (as 32-bit floats), equal ones with the alphabetically later document first; the ranks do not count.
    ///
    /// # Errors
    /// [`EvaluateError::Read`] and [`EvaluateError::Line`].
    pub fn read(source: &str, reader: impl BufRead) -> Result<Self, EvaluateError> {
        let mut scored: BTreeMap<String, Vec<(f32, String)>> = BTreeMap::new();
        let mut seen = HashSet::new();
        each_line(source, reader, |number, line| {
            let columns: Vec<&str> =
                if line.contains('\t') { line.split('\t').map(str::trim).collect() } else { line.split_whitespace().collect() };
            let [query, _, document, _, score, _] = columns.as_slice() else {
                return Err(refuse(source, number, "query, Q0, document, rank, score and name", excerpt(line)));
            };
            let score = score.parse::<f32>().ok().filter(|score| !score.is_nan());
            let score = score.ok_or_else(|| refuse(source, number, "a number as score", excerpt(line)))?;
            if !seen.insert((query.to_string(), document.to_string())) {
                let found = format!("{document:?} again for query {query:?}");
                return Err(refuse(source, number, "one place for a document in a query's ranking", found));
            }
            scored.entry(query.to_string()).or_default().push((score, document.to_string()));
            Ok(())
        })?;
        let order = |mut list: Vec<(f32, String)>| {
            list.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| b.1.cmp(&a.1)));
            list.into_iter().map(|(_, document)| document).collect()
        };
        Ok(Self { queries: scored.into_iter().map(|(query, list)| (query, order(list))).collect() })
    }

    /// Writes the six columns. A score is the number of documents from here to the list's end, so that every reader of the file sees the order that
    /// was meant: what stages give as scores is not comparable within one list.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, name: &str, mut writer: impl Write) -> io::Result<()> {
        for (query, documents) in &self.queries {
            for (at, document) in documents.iter().enumerate() {
                let spaced = [query, document].iter().any(|id| id.contains(char::is_whitespace));
                let (s, rank, score) = (if spaced { '\t' } else { ' ' }, at + 1, documents.len() - at);
                writeln!(writer, "{query}{s}Q0{s}{document}{s}{rank}{s}{score}{s}{name}")?;
            }
        }
        writer.flush()
    }

    /// Sets the ranking for a query.
    pub fn insert(&mut self, query: impl Into<String>, documents: Vec<String>) {
        self.queries.insert(query.into(), documents);
    }

    /// The ranking for a query; empty where the run has none.
    pub fn ranking(&self, query: &str) -> &[String] {
        self.queries.get(query).map_or(&[], Vec::as_slice)
    }

    /// The queries that were answered, in alphabetical order.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.queries.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_decide_and_equal_ones_are_in_trec_evals_order() {
        let text = "q1 Q0 a 1 0.5 x\nq1 Q0 c 2 0.5 x\nq1 Q0 b 3 1e1 x\nq2 Q0 a 1 0 x\n";
        let run = Run::read("run", text.as_bytes()).unwrap();
        assert_eq!(run.ranking("q1"), ["b", "c", "a"]);
        assert!(run.ranking("absent").is_empty());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut run = Run::default();
        run.insert("q", vec!["z".to_owned(), "my notes.md".to_owned(), "m".to_owned()]);
        let mut bytes = Vec::new();
        run.write("test", &mut bytes).unwrap();
        assert_eq!(Run::read("run", &bytes[..]).unwrap(), run);
    }

    #[test]
    fn a_document_twice_is_refused() {
        let error = Run::read("r.trec", &b"q Q0 a 1 2 x\nq Q0 a 2 1 x\n"[..]).unwrap_err().to_string();
        assert!(error.contains("r.trec, line 2") && error.contains("\"a\" again"), "{error}");
    }
}
