//! The clauses of one sequence, on their way to becoming a query.

use super::Query;

/// What stands before a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Unmarked,
    Must,
    MustNot,
}

/// One clause as it was read.
#[derive(Debug, PartialEq)]
pub(super) enum Operand {
    Query(Query),
    /// A `*` by itself: everything, or a word among words.
    Star,
}

/// Clauses without an AND or OR between them.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    must: Vec<Query>,
    should: Vec<Operand>,
    must_not: Vec<Query>,
    /// Unmarked conditions inside `field:( … )`, which are alternatives there.
    values: Vec<Query>,
}

impl Sequence {
    /// Adds a clause; `in_values`: this is the inside of a `field:( … )` of values.
    pub(super) fn push(&mut self, mark: Mark, operand: Operand, in_values: bool) {
        match (mark, operand) {
            (Mark::Unmarked, Operand::Query(query)) if query.is_condition() => {
                if in_values { &mut self.values } else { &mut self.must }.push(query);
            }
            (Mark::Unmarked, operand) => self.should.push(operand),
            (Mark::Must, operand) => self.must.push(operand.into_query()),
            (Mark::MustNot, operand) => self.must_not.push(operand.into_query()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.must.is_empty() && self.should.is_empty() && self.must_not.is_empty() && self.values.is_empty()
    }

    /// What is looked for in texts by a sequence of nothing but that; `None` for others.
    pub(super) fn words(&self) -> Option<Query> {
        let alone = self.must.is_empty() && self.must_not.is_empty() && self.values.is_empty();
        self.should.iter().map(Operand::words).collect::<Option<Vec<_>>>().filter(|_| alone).and_then(one_of)
    }

    /// The clauses, neighbouring words of one field joined.
    fn finish(self) -> Clauses {
        let Self { mut must, should, must_not, values } = self;
        if must.is_empty() && should.is_empty() && must_not.is_empty() {
            return Clauses { must, should: values, must_not };
        }
        must.extend(one_of(values));
        let among_words = should.iter().any(|operand| matches!(operand, Operand::Query(Query::Words { field: None, .. })));
        let mut joined: Vec<Query> = Vec::with_capacity(should.len());
        for operand in should {
            let query = match operand {
                Operand::Star if among_words => Query::words("*"),
                operand => operand.into_query(),
            };
            match (joined.last_mut(), query) {
                (Some(Query::Words { field, text }), Query::Words { field: same, text: more }) if *field == same => {
                    text.push(' ');
                    text.push_str(&more);
                }
                (_, query) => joined.push(query),
            }
        }
        Clauses { must, should: joined, must_not }
    }
}

impl Operand {
    fn into_query(self) -> Query {
        match self {
            Self::Query(query) => query,
            Self::Star => Query::All,
        }
    }

    /// What is looked for in texts; `None` for all else.
    pub(super) fn words(&self) -> Option<Query> {
        match self {
            Self::Query(query @ (Query::Words { .. } | Query::Phrase { .. } | Query::Fuzzy { .. })) => Some(query.clone()),
            _ => None,
        }
    }
}

struct Clauses {
    must: Vec<Query>,
    should: Vec<Query>,
    must_not: Vec<Query>,
}

impl Clauses {
    fn into_query(mut self) -> Option<Query> {
        if self.must_not.is_empty() {
            match (self.must.len(), self.should.len()) {
                // A condition holds for whatever is found; of other clauses the sign says that.
                (1, 0) if self.must.iter().all(|query| query.is_condition() || *query == Query::All) => return self.must.pop(),
                (0, _) => return one_of(self.should),
                _ => {}
            }
        } else if self.must.is_empty() && self.should.is_empty() {
            self.must.push(Query::All);
        }
        Some(Query::Boolean { must: self.must, should: self.should, must_not: self.must_not })
    }
}

/// Sequences with AND between them. One of nothing but negated clauses negates those clauses in the whole.
pub(super) fn all_of(sequences: Vec<Sequence>) -> Option<Query> {
    let alone = sequences.len() == 1;
    let mut whole = Clauses { must: Vec::new(), should: Vec::new(), must_not: Vec::new() };
    for sequence in sequences {
        let clauses = sequence.finish();
        if alone {
            return clauses.into_query();
        }
        if clauses.must.is_empty() && clauses.should.is_empty() {
            whole.must_not.extend(clauses.must_not);
        } else {
            whole.must.extend(clauses.into_query());
        }
    }
    whole.into_query()
}

/// Queries with OR between them.
pub(super) fn one_of(mut queries: Vec<Query>) -> Option<Query> {
    match queries.len() {
        0 | 1 => queries.pop(),
        _ => Some(Query::Boolean { must: Vec::new(), should: queries, must_not: Vec::new() }),
    }
}
