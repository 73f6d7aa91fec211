//! Dates as people write them in a search box: a day, a month or a year is the whole of it.

use chrono::{Months, NaiveDate, NaiveTime};

use crate::schema::Date;

/// What was written: a moment, or a time with its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    Moment(Date),
    /// From `start` up to, and without, `end`.
    Span {
        start: Date,
        end: Date,
    },
}

/// Reads YYYY, YYYY-MM, YYYY-MM-DD or an RFC 3339 time.
pub(super) fn when(text: &str) -> Option<When> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && !text.starts_with('-');
    let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let (start, end) = match text.len() {
        4 | 7 if digits => {
            let (start, months) = if text.len() == 4 { (format!("{text}-01-01"), 12) } else { (format!("{text}-01"), 1) };
            let start = day(&start)?;
            (start, start.checked_add_months(Months::new(months))?)
        }
        _ => match day(text) {
            Some(start) => (start, start.succ_opt()?),
            None => return text.parse().ok().map(When::Moment),
        },
    };
    Some(When::Span { start: midnight(start), end: midnight(end) })
}

/// A date so that [`when`] reads it as a moment.
pub(super) fn moment(date: Date) -> String {
    let text = date.to_string();
    if text.contains('T') { text } else { format!("{text}T00:00:00Z") }
}

fn midnight(day: NaiveDate) -> Date {
    Date::from_micros(day.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: &str, end: &str) -> Option<When> {
        Some(When::Span { start: start.parse().unwrap(), end: end.parse().unwrap() })
    }

    #[test]
    fn what_is_written_is_taken_whole() {
        assert_eq!(when("1976"), span("1976-01-01", "1977-01-01"));
        assert_eq!(when("1976-02"), span("1976-02-01", "1976-03-01"));
        assert_eq!(when("1976-12-31"), span("1976-12-31", "1977-01-01"));
        assert_eq!(when("1976-12-31T00:00:00Z"), Some(When::Moment("1976-12-31".parse().unwrap())));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "76", "1976-13", "1976-02-30", "abcd", "-976", "1976-", "½½", "+976", "１９７６"] {
            assert_eq!(when(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_at_midnight_is_told_from_a_day() {
        for micros in [0, 1, -86_400_000_000, 200_000_000_000_123_456] {
            let date = Date::from_micros(micros);
            assert_eq!(when(&moment(date)), Some(When::Moment(date)));
        }
    }
}
