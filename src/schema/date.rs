//! Moments in time, to the microsecond, in UTC.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime};

use crate::error::SchemaError;

/// A moment in time: microseconds since 1970-01-01T00:00:00Z.
///
/// ```
/// use fossick::Date;
/// let decided: Date = "1976-04-27".parse()?;
/// assert_eq!(decided.to_string(), "1976-04-27");
/// assert!(decided < "1976-04-27T10:00:00Z".parse()?);
/// # Ok::<(), fossick::SchemaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

impl Date {
    /// From microseconds since 1970-01-01T00:00:00Z; negative before it.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z; negative before it.
    pub const fn micros(self) -> i64 {
        self.0
    }
}

impl FromStr for Date {
    type Err = SchemaError;

    /// Takes `YYYY-MM-DD` (midnight, UTC) and RFC 3339 times with their offset.
    fn from_str(text: &str) -> Result<Self, SchemaError> {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN).and_utc());
        day.or_else(|_| DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()))
            .map(|time| Self(time.timestamp_micros()))
            .map_err(|_| SchemaError::Date { text: text.to_owned() })
    }
}

impl fmt::Display for Date {
    /// `YYYY-MM-DD` at midnight, RFC 3339 otherwise.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: i64 = 86_400_000_000;
        match DateTime::from_timestamp_micros(self.0) {
            Some(time) if self.0.rem_euclid(DAY) == 0 => write!(f, "{}", time.format("%Y-%m-%d")),
            Some(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.fZ")),
            None => write!(f, "{} µs", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_brought_to_utc() {
        let paris: Date = "2020-01-01T01:00:00+01:00".parse().unwrap();
        assert_eq!(paris, "2020-01-01".parse().unwrap());
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "1976", "1976-13-01", "1976-02-30", "27 April 1976", "1976-04-27T10:00:00"] {
            assert!(text.parse::<Date>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn fractions_survive_printing() {
        let time: Date = "2001-02-03T04:05:06.000007Z".parse().unwrap();
        assert_eq!(time.to_string().parse::<Date>().unwrap(), time);
    }
}
