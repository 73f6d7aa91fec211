//! Tests: what the two languages mean, and what they refuse.

use super::{Filter, Query};
use crate::error::QueryError;
use crate::schema::{Date, Schema};

pub(super) fn schema() -> Schema {
    Schema::builder()
        .heading("title")
        .text("body")
        .keyword("court")
        .integer("year")
        .float("weight")
        .date("decided")
        .boolean("published")
        .stored("note")
        .keyword("not")
        .build()
        .unwrap()
}

fn parse(text: &str) -> Query {
    Query::parse(text, &schema()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn words(text: &str) -> Query {
    Query::words(text)
}

fn filter(filter: Filter) -> Query {
    Query::Filter(filter)
}

fn boolean<const M: usize, const S: usize, const N: usize>(must: [Query; M], should: [Query; S], must_not: [Query; N]) -> Query {
    Query::Boolean { must: must.into(), should: should.into(), must_not: must_not.into() }
}

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

#[test]
fn words_side_by_side_are_one_bag() {
    assert_eq!(parse("  computer   program "), words("computer program"));
    assert_eq!(parse("a (b c) d"), words("a b c d"));
    assert_eq!(parse(r#"a "b c" d"#), boolean([], [words("a"), Query::phrase("b c"), words("d")], []));
    assert_eq!(parse("title:a title:b c"), boolean([], [words("a b").in_field("title"), words("c")], []));
    assert_eq!(parse("a -x b"), boolean([], [words("a b")], [words("x")]));
    assert_eq!(parse(""), words(""));
}

#[test]
fn leaves_are_read_with_field_and_boost() {
    assert_eq!(parse(r#""prior art"~2^0.5"#), Query::phrase("prior art").slop(2).boost(0.5));
    assert_eq!(parse("title:comput*"), Query::prefix("comput").in_field("title"));
    assert_eq!(parse("words~"), Query::fuzzy("words", 1));
    assert_eq!(parse("wordss~^2"), Query::fuzzy("wordss", 2).boost(2.0));
    assert_eq!(parse("wordss~1"), Query::fuzzy("wordss", 1));
    assert_eq!(parse("title:(a b)^2"), words("a b").in_field("title").boost(2.0));
    assert_eq!(parse(r#"title:("a b" body:c)"#), Query::phrase("a b").in_field("title").or(words("c").in_field("body")));
    assert_eq!(parse("title:12:30"), words("12:30").in_field("title"));
    assert_eq!(parse(r"a\:b \AND \(c\)"), words("a:b AND (c)"));
}

#[test]
fn operators_join_sequences() {
    assert_eq!(parse("a b AND c OR d"), words("a b").and("c").or("d"));
    assert_eq!(parse("a OR b OR c"), words("a").or("b").or("c"));
    assert_eq!(parse("a AND NOT b AND c"), words("a").and_not("b").and("c"));
    assert_eq!(parse("NOT a"), Query::all().and_not("a"));
    assert_eq!(parse("-a -b"), Query::all().and_not("a").and_not("b"));
    assert_eq!(parse("NOT NOT a"), words("a"));
    assert_eq!(parse("a OR -b"), words("a").or(Query::all().and_not("b")));
    assert_eq!(parse("+a b -c"), boolean([words("a")], [words("b")], [words("c")]));
    assert_eq!(parse("a NOT b"), boolean([], [words("a")], [words("b")]));
    assert_eq!(parse("a AND (b OR c)^3"), words("a").and(words("b").or("c").boost(3.0)));
    assert_eq!(parse("+a"), boolean([words("a")], [], []), "the sign says more than the words do");
}

#[test]
fn a_sign_before_a_digit_is_an_operator_among_words_and_a_letter_alone_or_in_a_value() {
    let cases = [
        ("patent -1976", boolean([], [words("patent")], [words("1976")])),
        ("patent -3d", boolean([], [words("patent")], [words("3d")])),
        ("+2020 patent", boolean([words("2020")], [words("patent")], [])),
        ("title:(patent -1976)", boolean([], [words("patent").in_field("title")], [words("1976").in_field("title")])),
        ("patent OR (+Ⅰ)", words("patent").or(boolean([words("Ⅰ")], [], []))),
        ("patent 1976-1980", words("patent 1976-1980")),
        ("a year:(-5 7)", boolean([filter(Filter::equal("year", -5)).or(filter(Filter::equal("year", 7)))], [words("a")], [])),
        ("a year:[-5 TO -1]", boolean([filter(Filter::between("year", -5, -1))], [words("a")], [])),
        ("a weight:>-1.5", boolean([filter(Filter::greater("weight", -1.5))], [words("a")], [])),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), expected, "{text}");
        assert_eq!(Query::forgiving(text, &schema()), (expected, vec![]), "{text}");
    }
    for text in ["-1976", " +5 ", "(-5 a)", "a- 5"] {
        assert_eq!(Query::forgiving(text, &schema()).0, words(&text.trim().replace(['(', ')'], "")), "{text}");
    }
}

#[test]
fn words_that_are_required_or_excluded_are_told_with_their_places() {
    let demands = |text: &str| -> Vec<(String, Query)> {
        let read = Query::read(text, &schema());
        read.demands.into_iter().map(|demand| (text[demand.at].to_owned(), demand.words)).collect()
    };
    let demand = |text: &str, words: Query| (text.to_owned(), words);
    assert_eq!(demands("a b OR c"), []);
    assert_eq!(demands("a +the -(of)"), [demand("+the", words("the")), demand("-(of)", words("of"))]);
    assert_eq!(
        demands("the  AND a OR NOT of"),
        [demand("the", words("the")), demand("a", words("a")), demand("NOT of", words("of")),]
    );
    assert_eq!(
        demands(r#"a (x AND title:"of the" )"#),
        [demand("x", words("x")), demand(r#"title:"of the""#, Query::phrase("of the").in_field("title")),]
    );
}

#[test]
fn what_is_too_large_is_told_with_the_place_where_the_limit_is_passed() {
    let too_large = |error: QueryError, at: usize| {
        assert!(matches!(error, QueryError::TooLarge { .. }), "{error}");
        assert_eq!(error.position(), Some(at), "{error}");
        assert!(error.to_string().contains(&format!("at byte {at} of the query")), "{error}");
    };
    let query = |text: &str| Query::parse(text, &schema()).unwrap_err();
    let filter = |text: &str| Filter::parse(text, &schema()).unwrap_err();
    too_large(query(&vec!["court:x"; 1030].join(" OR ")), 1024 * 11);
    too_large(query(&"(".repeat(100)), 64);
    let deep = format!("{}a{}", "-(".repeat(40), ")^2".repeat(40));
    let at = query(&deep).position().unwrap();
    assert!(Query::parse(&deep[..at], &schema()).is_err_and(|error| !matches!(error, QueryError::TooLarge { .. })));
    let many = vec!["year = 1"; 1030].join(" OR ");
    too_large(filter(&many), 1024 * 12);
    assert!(Filter::parse(&many[..1024 * 12 - 4], &schema()).is_ok());
    too_large(filter(&format!("year = 1 AND MATCHES \"{}\"", vec!["court:x"; 1030].join(" OR "))), 22 + 1024 * 11);
    too_large(filter(&format!("MATCHES \"{}\" AND year = 1", vec!["court:x"; 1024].join(" OR "))), 9 + 1024 * 11 - 4 + 6);
    too_large(filter(&"(".repeat(100)), 64);
    too_large(filter(&format!("{}year = 1{}", "(year = 1 OR year = 1 AND ".repeat(40), ")".repeat(40))), 39 * 26);
}

#[test]
fn a_star_is_everything_but_among_words() {
    for everything in ["*", "*:*", "(*)", "+*:*"] {
        assert_eq!(parse(everything), Query::all(), "{everything}");
    }
    assert_eq!(parse("* -a"), boolean([], [Query::all()], [words("a")]));
    assert_eq!(parse("*:*^2"), Query::all().boost(2.0));
    assert_eq!(parse("2 * 3"), words("2 * 3"));
}

#[test]
fn conditions_restrict() {
    let recent = || filter(Filter::at_least("year", 1990));
    assert_eq!(parse("year:>=1990"), recent());
    assert_eq!(parse("a year:>=1990 b"), boolean([recent()], [words("a b")], []));
    assert_eq!(parse("a OR year:>=1990"), words("a").or(recent()));
    let (x, y) = (|| filter(Filter::equal("court", "x")), || filter(Filter::equal("court", "y")));
    assert_eq!(parse("court:(x y)"), x().or(y()));
    assert_eq!(parse("a court:(x OR y)"), boolean([x().or(y())], [words("a")], []));
    assert_eq!(parse("court:(x y -z)"), boolean([x().or(y())], [], [filter(Filter::equal("court", "z"))]));
    assert_eq!(parse("court:x -court:y"), x().and_not(y()));
}

#[test]
fn values_are_read_by_the_type_of_their_field() {
    let cases = [
        (r#"court:"Tax Court""#, Filter::equal("court", "Tax Court")),
        (r"court:Tax\ Court", Filter::equal("court", "Tax Court")),
        ("court:AND", Filter::equal("court", "AND")),
        (r#"court:"""#, Filter::equal("court", "")),
        ("court:*", Filter::exists("court")),
        ("court:[* TO *]", Filter::exists("court")),
        ("court:{a TO \"b c\"]", Filter::greater("court", "a").and(Filter::at_most("court", "b c"))),
        ("year:1976", Filter::equal("year", 1976)),
        ("year:-5", Filter::equal("year", -5)),
        ("year:[1990 TO 2000]", Filter::between("year", 1990, 2000)),
        ("year:[ 1990 TO 2000 }", Filter::at_least("year", 1990).and(Filter::less("year", 2000))),
        ("year:[* TO 2000]", Filter::at_most("year", 2000)),
        ("year:> 1990", Filter::greater("year", 1990)),
        ("weight:<2", Filter::less("weight", 2.0)),
        ("weight:0.5", Filter::equal("weight", 0.5)),
        ("published:TRUE", Filter::equal("published", true)),
        ("_key:http://x/y", Filter::keys(["http://x/y"])),
        (r#"_key:"a (b)""#, Filter::keys(["a (b)"])),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), filter(expected), "{text}");
    }
}

#[test]
fn dates_without_a_time_are_whole() {
    let from = |text| Filter::at_least("decided", date(text));
    let before = |text| Filter::less("decided", date(text));
    let cases = [
        ("decided:1976", from("1976-01-01").and(before("1977-01-01"))),
        ("decided:1976-04-27", from("1976-04-27").and(before("1976-04-28"))),
        ("decided:[1976-01-01 TO 1977]", from("1976-01-01").and(before("1978-01-01"))),
        ("decided:{1976-02 TO 1977}", from("1976-03-01").and(before("1977-01-01"))),
        ("decided:>1976", from("1977-01-01")),
        ("decided:<=1976-12", before("1977-01-01")),
        ("decided:<1976", before("1976-01-01")),
        ("decided:1976-04-27T10:00:00Z", Filter::equal("decided", date("1976-04-27T10:00:00Z"))),
        ("decided:>1976-04-27T10:00:00Z", Filter::greater("decided", date("1976-04-27T10:00:00Z"))),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), filter(expected), "{text}");
    }
}

#[test]
fn the_first_thing_that_is_wrong_is_named_with_its_place() {
    let cases = [
        ("a (b", 2, "a ) for this parenthesis"),
        ("a ) b", 2, "a ( before"),
        ("a AND", 2, "something after"),
        ("OR a", 0, "something before"),
        ("a AND OR b", 6, "something before"),
        ("a NOT", 2, "something after"),
        (r#"é "b"#, 3, "second quotation mark"),
        (r#"a """#, 2, "words between"),
        ("a ()", 2, "between parentheses"),
        ("a - b", 2, "a sign after a space"),
        ("-5", 0, "a sign after a space"),
        ("yaer:1", 0, "it has title, body"),
        ("http://x", 0, "backslash before the colon"),
        ("title: x", 6, "found a space"),
        ("title:>5", 6, "a text has no order"),
        ("title:*", 6, "have one"),
        ("note:x", 0, "only kept"),
        ("year:MCM", 5, "field \"year\" is an integer"),
        ("year:19*", 5, "one whole value"),
        ("year:[1 2]", 8, "TO between"),
        ("year:[1 TO 2", 12, "] or }"),
        ("year:[2 TO 1]", 5, "the smaller end first"),
        ("published:>true", 10, "has no order"),
        ("decided:[1976-13 TO *]", 9, "a date"),
        ("weight:NaN", 7, "a finite number"),
        ("_key:a*", 5, "a whole key"),
        ("[1 TO 2]", 0, "a range follows"),
        ("te*t", 2, "sign at the end of a word"),
        ("a^0", 1, "a positive number"),
        ("(a)^b", 3, "a positive number"),
        ("a~3", 1, "a distance of 1 or 2"),
        (r#""a"~x"#, 3, "number of places"),
        (r#""a b"~256"#, 5, "at most 255 places"),
        (r#""a b"~99999999999"#, 5, "at most 255 places"),
    ];
    for (text, at, part) in cases {
        let error = Query::parse(text, &schema()).unwrap_err();
        assert_eq!(error.position(), Some(at), "{text}: {error}");
        let message = error.to_string();
        assert!(message.contains(&format!("at byte {at}")) && message.contains(part), "{text}: {error}");
    }
}

#[test]
fn plain_language_is_its_words() {
    for question in [
        "When is a computer program obvious over the prior art?",
        "What's the well-known role of IL-6, and is it - as they say - \"inflammatory\"?".replace('"', "'").as_str(),
        "nb: see http://example.org/a?b=c at 12:30",
        "AT&T v. O'Brien, 5 * 3 = 15; C++ & C# / 100% [1] {x} <b> --- ~ ^ ... a^b a*b **",
        "1976 6\" pipes, C:\\Users\\me",
        "Android NOTE ORs and or not",
        "什么是发明? ¿qué es?",
    ] {
        let (query, ignored) = Query::forgiving(question, &schema());
        assert_eq!(query, words(question));
        assert_eq!(ignored, []);
    }
}

#[test]
fn whatever_is_typed_is_made_the_best_of() {
    let cases = [
        ("\"prior art", words("prior art"), 1),
        ("(a OR (b", words("a").or("b"), 2),
        ("a)) b", words("a b"), 1),
        ("AND a OR", words("a"), 2),
        ("a AND AND b", words("a").and("b"), 1),
        ("a AND () b", words("a").and("b"), 1),
        ("NOT", words(""), 1),
        ("\"\" a", words("a"), 1),
        ("a year:[1990 TO", words("a"), 1),
        ("a year:[1990 2000] b", words("a b"), 1),
        ("a year:[2000 TO 1990]", words("a"), 1),
        ("a year:MCM", words("a"), 1),
        ("a title: b", words("a title: b"), 1),
        ("a note:b", words("a note:b"), 1),
        ("-a", Query::all().and_not("a"), 0),
        ("a~7", Query::fuzzy("a", 1), 1),
        ("a^0", words("a"), 1),
        ("(a)^ b", words("a b"), 1),
        ("a published:([1", words("a"), 3),
        ("yaer:1976 a", words("yaer:1976 a"), 1),
        ("\"a b\"~300 c", Query::phrase("a b").slop(255).or("c"), 1),
    ];
    for (text, expected, notes) in cases {
        let (query, ignored) = Query::forgiving(text, &schema());
        assert_eq!(query, expected, "{text}");
        assert_eq!(ignored.len(), notes, "{text}: {ignored:?}");
        for piece in ignored {
            assert_eq!(piece.text, text[piece.at.clone()]);
        }
    }
    let (_, ignored) = Query::forgiving("a year:MCM", &schema());
    let note = "\"year:MCM\" at byte 2 could not be taken as it stands: field \"year\" is an integer: expected a whole number of 64 bits, found \"MCM\"";
    assert_eq!(ignored[0].to_string(), note);
}

#[test]
fn hostile_input_is_read_in_time_and_within_the_stack() {
    let begun = std::time::Instant::now();
    for piece in [
        "(",
        ")",
        "\"",
        "a AND ",
        "NOT ",
        "-(",
        "year:[",
        "year:[1 (",
        "title:(",
        "published:([",
        "\\\" ",
        "a:",
        "*",
        "^",
        "a^2^",
        "(a) OR ",
        "a ",
        "é\"",
        "+",
    ] {
        let text = piece.repeat(100_000);
        assert!(Query::parse(&text, &schema()).is_err() || matches!(piece, "a " | "\\\" "), "{piece}");
        let (query, _) = Query::forgiving(&text, &schema());
        query.check(&schema()).unwrap();
        assert!(Filter::parse(&text, &schema()).is_err());
        assert!(Filter::parse(&format!("MATCHES \"{text}"), &schema()).is_err());
    }
    assert!(
        Query::parse(&format!("{}a", "a OR ".repeat(100_000)), &schema()).is_err_and(|error| error.position() == Some(5 * 1024))
    );
    assert!(Query::parse(&"(".repeat(100_000), &schema()).is_err_and(|error| matches!(error, QueryError::TooLarge { .. })));
    let nested = format!("{}a{}", "(".repeat(64), ")".repeat(64));
    assert_eq!(parse(&nested), words("a"));
    let filter = format!("MATCHES \"{}\"", "\\\\".repeat(100_000) + " yaer:1");
    assert!(Filter::parse(&filter, &schema()).is_err());
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}
