//! Judgements: which document answers which query, and how well.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;

use super::lines::{each_line, excerpt, refuse};
use crate::error::EvaluateError;

/// What files call the last column, in their first line.
const HEADINGS: [&str; 6] = ["score", "grade", "relevance", "rel", "label", "judgement"];

/// Grades of documents by query; 1 and above is relevant, 0 and below is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qrels {
    queries: BTreeMap<String, HashMap<String, i64>>,
}

impl Qrels {
    /// Reads judgements: three columns (query, document, grade), as BEIR has them under a heading, or the four of TREC (query,
    /// anything, document, grade). Columns are separated by tabs or, in a line without tabs, by white space.
    ///
    /// # Errors
    /// [`EvaluateError::Read`] and [`EvaluateError::Line`], also for a document that is judged twice for one query.
    pub fn read(source: &str, reader: impl BufRead) -> Result<Self, EvaluateError> {
        const EXPECTED: &str = "query, document and grade, or query, anything, document and grade";
        let mut qrels = Self::default();
        let mut first = true;
        each_line(source, reader, |number, line| {
            let columns: Vec<&str> =
                if line.contains('\t') { line.split('\t').map(str::trim).collect() } else { line.split_whitespace().collect() };
            let (query, document, grade) = match columns.as_slice() {
                [query, document, grade] | [query, _, document, grade] => (*query, *document, *grade),
                _ => return Err(refuse(source, number, EXPECTED, excerpt(line))),
            };
            let heading = std::mem::take(&mut first) && HEADINGS.contains(&grade.to_lowercase().as_str());
            if heading {
                return Ok(());
            }
            // Some files write grades as 1.0.
            let whole = grade.parse::<f64>().ok().filter(|grade| grade.fract() == 0.0 && grade.abs() < 1e9);
            let grade = whole.ok_or_else(|| refuse(source, number, "a whole number as grade", format!("{grade:?}")))? as i64;
            if qrels.queries.entry(query.to_owned()).or_default().insert(document.to_owned(), grade).is_some() {
                let found = format!("{document:?} again for query {query:?}");
                return Err(refuse(source, number, "one judgement of a document for a query", found));
            }
            Ok(())
        })?;
        Ok(qrels)
    }

    /// Sets a grade.
    pub fn insert(&mut self, query: impl Into<String>, document: impl Into<String>, grade: i64) {
        self.queries.entry(query.into()).or_default().insert(document.into(), grade);
    }

    /// The grades for a query, by document.
    pub fn grades(&self, query: &str) -> Option<&HashMap<String, i64>> {
        self.queries.get(query)
    }

    /// The queries that have judgements, in alphabetical order.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.queries.keys().map(String::as_str)
    }

    /// How many judgements there are.
    pub fn len(&self) -> usize {
        self.queries.values().map(HashMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The judgements of documents that `keep` accepts, and how many were left out.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> (Self, usize) {
        let mut kept = self.clone();
        kept.queries.values_mut().for_each(|grades| grades.retain(|document, _| keep(document)));
        let left_out = self.len() - kept.len();
        (kept, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_and_four_columns_are_read_with_and_without_a_heading() {
        let beir = Qrels::read("a", &b"query-id\tcorpus-id\tscore\nq 1\td1\t2\nq 1\td2\t0\n"[..]).unwrap();
        assert_eq!((beir.grades("q 1").unwrap()["d1"], beir.len()), (2, 2));
        let trec = Qrels::read("a", &b"q1 0 d1 1\r\nq2 0 d1 -1\r\n"[..]).unwrap();
        assert_eq!((trec.grades("q1").unwrap()["d1"], trec.grades("q2").unwrap()["d1"]), (1, -1));
    }

    #[test]
    fn a_line_that_is_no_judgement_is_refused_with_its_number() {
        let message = |text: &str| Qrels::read("test.tsv", text.as_bytes()).unwrap_err().to_string();
        let error = message("q1\td1\t1\nq1\td2\tgood\n");
        assert!(error.contains("test.tsv, line 2") && error.contains("\"good\""), "{error}");
        assert!(message("q1\td1\t1\nq1\td1\t2\n").contains("\"d1\" again"));
        assert!(message("q1\td1\t1\nq1\n").contains("line 2"));
        assert!(message("q1\td1\t0.5\n").contains("whole number"));
        assert!(message("q1\td1\tyes\n").contains("line 1"), "a bad first line is no heading");
    }
}
