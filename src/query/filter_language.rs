//! Tests: what the filter language means, and what it refuses.

use super::language::schema;
use super::{Filter, Query};
use crate::schema::Date;

fn parse(text: &str) -> Filter {
    Filter::parse(text, &schema()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn conditions_are_read_by_the_type_of_their_field() {
    let date = |text: &str| text.parse::<Date>().unwrap();
    let cases = [
        (r#"court = "Tax Court""#, Filter::equal("court", "Tax Court")),
        (r#"court!='it\'s \"x\" \d'"#, Filter::not_equal("court", r#"it's "x" \d"#)),
        ("year <> -5", Filter::not_equal("year", -5)),
        ("weight <= 2", Filter::at_most("weight", 2.0)),
        ("weight > 1.5e3", Filter::greater("weight", 1500.0)),
        ("published = True", Filter::equal("published", true)),
        ("decided >= 1976-04-27", Filter::at_least("decided", date("1976-04-27"))),
        ("decided < '1976-04-27T10:00:00Z'", Filter::less("decided", date("1976-04-27T10:00:00Z"))),
        ("year between 1990 and 2000", Filter::between("year", 1990, 2000)),
        ("court in ('a', 'b',)", Filter::one_of("court", ["a", "b"])),
        ("court NOT IN ('a')", Filter::exists("court") & !Filter::one_of("court", ["a"])),
        ("NOT court IN ('a')", !Filter::one_of("court", ["a"])),
        ("court EXISTS", Filter::exists("court")),
        ("`not` = 'x'", Filter::equal("not", "x")),
        ("_key = 'a'", Filter::keys(["a"])),
        ("_key != 'a'", !Filter::keys(["a"])),
        ("_key IN ()", Filter::Keys(vec![])),
        ("_key NOT IN ('a', 'b')", !Filter::keys(["a", "b"])),
        (r#"MATCHES "title:foo \"a b\"""#, Filter::matches(Query::words("foo").in_field("title").or(Query::phrase("a b")))),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), expected, "{text}");
    }
}

#[test]
fn not_binds_tighter_than_and_and_that_tighter_than_or() {
    let year = |year: i32| Filter::equal("year", year);
    assert_eq!(parse("year = 1 OR NOT year = 2 AND year = 3"), year(1) | !year(2) & year(3));
    assert_eq!(parse("(year = 1 or year = 2) and year = 3"), (year(1) | year(2)) & year(3));
    assert_eq!(parse("year BETWEEN 1 AND 2 AND year = 3"), Filter::between("year", 1, 2) & year(3));
    let kept = Filter::And(vec![Filter::And(vec![year(1), year(2)]), year(3)]);
    assert_eq!(parse("(year = 1 AND year = 2) AND year = 3"), kept);
    assert_eq!(parse("NOT NOT year = 1"), Filter::Not(Box::new(!year(1))));
}

#[test]
fn the_first_thing_that_is_wrong_is_named_with_its_place() {
    let cases = [
        ("", 0, "a condition"),
        ("year", 4, "a comparison"),
        ("year = 1 year = 2", 9, "AND, OR or the end"),
        ("yaer = 1", 0, "it has title, body"),
        ("year = 'a'", 7, "is an integer"),
        ("year = 1.5", 7, "a whole number"),
        ("court = Tax", 8, "text in quotation marks"),
        ("weight = 1e999", 9, "a finite number"),
        ("published < true", 10, "has no order"),
        ("decided = 1976", 10, "a date"),
        ("title = 'a'", 0, "MATCHES"),
        ("note = 'a'", 0, "only kept"),
        ("court = 'a", 8, "a second quotation mark"),
        ("(year = 1", 9, "parenthesis at byte 0"),
        ("year IN 1", 8, "a list"),
        ("year IN (1 2)", 11, "a comma"),
        ("year BETWEEN 1, 2", 14, "AND between"),
        ("year NOT = 1", 9, "IN after NOT"),
        ("_key > 'a'", 5, "keys have no order"),
        ("_key = a", 7, "text in quotation marks"),
        ("year # 1", 5, "a name, a value or a sign"),
        ("`year = 1", 0, "backticks"),
        ("MATCHES title", 8, "a query in quotation marks"),
        (r#"MATCHES "a \"b\" yaer:1""#, 17, "\"yaer\" is not in the schema"),
    ];
    for (text, at, part) in cases {
        let error = Filter::parse(text, &schema()).unwrap_err();
        assert_eq!(error.position(), Some(at), "{text}: {error}");
        let message = error.to_string();
        assert!(message.contains(&format!("at byte {at}")) && message.contains(part), "{text}: {error}");
    }
}
