//! Tests: what holds of any text, any query and any filter.

use proptest::prelude::*;

use super::language::schema;
use super::{Comparison, Filter, Query};
use crate::schema::{Date, Document, Value};

/// Texts in which the languages' signs are as common as letters.
fn texts() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b",
        "é",
        "文",
        " ",
        " ",
        "  ",
        "\u{a0}",
        "AND",
        " AND ",
        " OR ",
        " NOT ",
        "NOT",
        "+",
        "-",
        " -",
        "(",
        ")",
        "(",
        ")",
        "\"",
        "\"",
        "*",
        "*:*",
        "~",
        "~2",
        "^",
        "^2",
        "^2.5",
        "\\",
        ":",
        "title:",
        "body:",
        "court:",
        "year:",
        "weight:",
        "decided:",
        "published:",
        "note:",
        "not:",
        "_key:",
        "1990",
        "1976-04",
        "1976-04-27",
        "T10:00:00Z",
        "true",
        "[",
        "]",
        "{",
        "}",
        " TO ",
        ">",
        "<=",
        ">=",
        "year:[1 TO 5]",
        "year:7",
        "court:x",
        "title:(",
        "court:(",
        "word",
        "word2",
        "'",
        "=",
        "IN",
        ",",
        "MATCHES",
        "BETWEEN",
        "year >= 1",
        "`",
    ];
    let piece = proptest::sample::select(pieces.map(str::to_owned).to_vec());
    prop_oneof![
        4 => proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}

fn small_texts() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "[a-c]{1,2}( [a-c]){1,2}", "AND|OR|NOT|\\*|-|\\(|a:b|\\[x|\\\\AND|\\\\", any::<String>()]
}

fn dates() -> impl Strategy<Value = Date> {
    let day = 86_400_000_000i64;
    prop_oneof![
        (-700_000..2_900_000i64).prop_map(move |days| Date::from_micros(days * day)),
        (-60_000_000_000_000_000..250_000_000_000_000_000i64).prop_map(Date::from_micros)
    ]
}

fn typed_values() -> impl Strategy<Value = (String, Value)> {
    let finite = any::<f64>().prop_filter("finite", |number| number.is_finite());
    prop_oneof![
        (prop_oneof![Just("court"), Just("not")], small_texts()).prop_map(|(field, text)| (field.to_owned(), Value::from(text))),
        prop_oneof![0..4i64, any::<i64>()].prop_map(|number| ("year".to_owned(), Value::Integer(number))),
        prop_oneof![(0..4u8).prop_map(f64::from), finite].prop_map(|number| ("weight".to_owned(), Value::Float(number))),
        dates().prop_map(|date| ("decided".to_owned(), Value::Date(date))),
        any::<bool>().prop_map(|truth| ("published".to_owned(), Value::Boolean(truth))),
    ]
}

fn comparisons() -> impl Strategy<Value = Filter> {
    let all = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ];
    (typed_values(), proptest::sample::select(all.to_vec())).prop_map(|((field, value), comparison)| {
        let comparison = if field == "published" && comparison.is_of_order() { Comparison::Equal } else { comparison };
        Filter::Compare { field, comparison, value }
    })
}

/// Any filter but for conjunctions and disjunctions of fewer than two, which have no text of their own.
fn filters() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![
        comparisons(),
        (typed_values(), 0..3usize).prop_map(|((field, value), count)| Filter::In { field, values: vec![value; count] }),
        typed_values().prop_map(|(field, _)| Filter::exists(field)),
        proptest::collection::vec(small_texts(), 0..3).prop_map(Filter::Keys),
        (0..4i64, 0..4i64).prop_map(|(low, high)| Filter::between("year", low, high)),
        texts().prop_map(|text| Filter::matches(Query::forgiving(&text, &schema()).0)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let parts = || proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            parts().prop_map(Filter::And),
            parts().prop_map(Filter::Or),
            inner.clone().prop_map(|one| Filter::Not(Box::new(one)))
        ]
    })
}

fn queries() -> impl Strategy<Value = Query> {
    let field = || prop_oneof![Just(None), Just(Some("title".to_owned()))];
    let leaf = prop_oneof![
        (field(), small_texts()).prop_map(|(field, text)| Query::Words { field, text }),
        (field(), small_texts(), 0..3u32).prop_map(|(field, text, slop)| Query::Phrase { field, text, slop }),
        (field(), small_texts()).prop_map(|(field, text)| Query::Prefix { field, text }),
        (field(), small_texts(), 1..3u8).prop_map(|(field, text, distance)| Query::Fuzzy { field, text, distance }),
        filters().prop_map(Query::Filter),
        Just(Query::All),
    ]
    // Clauses that look for nothing are not written.
    .prop_filter("something to look for", |query| !query.is_empty());
    leaf.prop_recursive(4, 24, 4, |inner| {
        let clauses = || proptest::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            3 => (clauses(), clauses(), clauses())
                .prop_map(|(must, should, must_not)| Query::Boolean { must, should, must_not })
                .prop_filter("something to look for", |query| !query.is_empty()),
            1 => (inner.clone(), 0.001f32..1000.0).prop_map(|(query, factor)| query.boost(factor)),
        ]
    })
}

/// Whether a document matches, where words are what lies between spaces and fields are searched as one.
fn matches(query: &Query, document: &Document) -> bool {
    let text = document.get("title").and_then(Value::as_text).unwrap_or_default();
    let has = |word: &str| text.split_whitespace().any(|one| one == word);
    match query {
        Query::Words { text, .. } => text.split_whitespace().any(has),
        Query::Phrase { text: phrase, .. } => text.contains(phrase.as_str()),
        Query::Prefix { text: prefix, .. } => text.starts_with(prefix.as_str()),
        Query::Fuzzy { text, .. } => has(text),
        Query::Filter(filter) => {
            filter.accepts(document.key(), |field| document.get(field), &mut |query| matches(query, document))
        }
        Query::All => true,
        Query::Boolean { must, should, must_not } => {
            let all = must.iter().all(|clause| matches(clause, document));
            let any = should.iter().any(|clause| matches(clause, document));
            let none = !must_not.iter().any(|clause| matches(clause, document));
            let only_not = must.is_empty() && should.is_empty() && !must_not.is_empty();
            none && (only_not || if must.is_empty() { any } else { all })
        }
        Query::Boost { query, .. } => matches(query, document),
    }
}

fn documents() -> impl Strategy<Value = Document> {
    let values = proptest::collection::vec(typed_values(), 0..6);
    (small_texts(), "[a-c]( [a-c]){0,3}", values).prop_map(|(key, title, values)| {
        values.into_iter().fold(Document::new(key).set("title", title), |document, (field, value)| document.set(field, value))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_and_what_was_read_is_written_so_that_it_is_read_again(text in texts()) {
        let (query, ignored) = Query::forgiving(&text, &schema());
        prop_assert!(query.check(&schema()).is_ok());
        for piece in &ignored {
            prop_assert_eq!(Some(piece.text.as_str()), text.get(piece.at.clone()));
        }
        let written = query.to_string();
        let again = Query::parse(&written, &schema());
        prop_assert!(again.is_ok(), "{} {:?}", written, again);
        prop_assert_eq!(again.unwrap(), query.clone(), "{}", written);
        match Query::parse(&text, &schema()) {
            Ok(strict) => {
                prop_assert_eq!(strict, query);
                prop_assert_eq!(ignored, vec![]);
            }
            Err(error) => {
                let at = error.position().unwrap();
                prop_assert!(text.is_char_boundary(at));
                let message = error.to_string();
                let shown = message.contains(&format!("at byte {at}"));
                prop_assert!(shown, "{}", message);
            }
        }
    }

    #[test]
    fn words_without_signs_are_themselves(text in "[\\p{L}\\p{N}'?.,;&/]{0,8}( [\\p{L}\\p{N}]['?.,;&/\\p{L}\\p{N}-]{0,8}){0,8}") {
        prop_assume!(!text.split(' ').any(|word| matches!(word, "AND" | "OR" | "NOT")));
        let text = text.trim();
        prop_assert_eq!(Query::forgiving(text, &schema()), (Query::words(text), vec![]));
    }

    #[test]
    fn what_is_written_of_a_query_finds_the_same(query in queries(), documents in proptest::collection::vec(documents(), 1..8)) {
        let written = query.to_string();
        let again = Query::parse(&written, &schema());
        prop_assert!(again.is_ok(), "{} {:?}", written, again);
        let again = again.unwrap();
        for document in documents {
            prop_assert_eq!(matches(&again, &document), matches(&query, &document), "{} {:?}", written, document);
        }
        prop_assert_eq!(again.to_string(), Query::parse(&again.to_string(), &schema()).unwrap().to_string());
    }

    #[test]
    fn what_is_written_of_a_filter_is_the_filter(filter in filters()) {
        let written = filter.to_string();
        let again = Filter::parse(&written, &schema());
        prop_assert!(again.is_ok(), "{} {:?}", written, again);
        prop_assert_eq!(again.unwrap(), filter, "{}", written);
    }

    #[test]
    fn any_text_is_a_filter_or_refused_with_its_place(text in texts()) {
        match Filter::parse(&text, &schema()) {
            Ok(filter) => prop_assert!(filter.check(&schema()).is_ok()),
            Err(error) => prop_assert!(text.is_char_boundary(error.position().unwrap())),
        }
    }

    #[test]
    fn a_negated_filter_takes_the_other_documents(filter in filters(), document in documents()) {
        let accepts = |filter: &Filter| filter.accepts(document.key(), |field| document.get(field), &mut |query| matches(query, &document));
        prop_assert_ne!(accepts(&filter), accepts(&!filter.clone()));
        let other = Filter::equal("year", 1);
        prop_assert_eq!(accepts(&!(filter.clone() & other.clone())), accepts(&(!filter | !other)));
    }
}
