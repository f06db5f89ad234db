//! Points in time, as text: RFC 3339 in UTC with milliseconds, such as `2026-02-28T23:59:59.123Z`.

use std::fmt;
use std::str::FromStr;

use crate::value::{InvalidValue, text_value};

/// A point in time from 1970 to 9999, with millisecond precision. This crate asks no clock: whoever
/// makes one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

const DAY_MILLIS: u64 = 86_400_000;

impl Timestamp {
    /// The last millisecond that has a text with four digits for the year.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The point this many milliseconds after 1970 began, in UTC; later ones count as the last.
    pub const fn from_unix_millis(millis: u64) -> Self {
        if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since 1970 began, in UTC.
    pub const fn unix_millis(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0 / DAY_MILLIS);
        let millis = self.0 % DAY_MILLIS;
        let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
        let (second, rest) = (millis / 1000 % 60, millis % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z"
        )
    }
}

impl FromStr for Timestamp {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || {
            InvalidValue::new(
                format!("`{text}` is not a time"),
                "a time such as \"2026-02-28T23:59:59.123Z\"",
            )
        };
        parse(text).ok_or_else(invalid)
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let shape = b"0000-00-00T00:00:00.000Z";
    let fits = bytes
        .iter()
        .zip(shape)
        .all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            _ => byte == pattern,
        });
    if !fits {
        return None;
    }
    let number = |from: usize, length: usize| -> u64 {
        bytes[from..from + length]
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2));
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let days = days(year, month, day);
    // A day that its month does not have is that of another month.
    if date(days) != (year, month, day) {
        return None;
    }
    let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2));
    (hour < 24 && minute < 60 && second < 60).then(|| {
        let seconds = (hour * 60 + minute) * 60 + second;
        Timestamp(days * DAY_MILLIS + seconds * 1000 + number(20, 3))
    })
}

/// Year, month and day of a day counted from 1970. Years begin in March here, so that the leap day
/// is the last of its year; 400 of them are 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// The day counted from 1970, the inverse of [`date`].
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

text_value!(
    Timestamp,
    format: "date-time",
    example: "2026-02-28T23:59:59.123Z",
    "A point in time in UTC, to the millisecond."
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_points_in_time_have_their_known_texts() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_772_323_199_123, "2026-02-28T23:59:59.123Z"),
            (Timestamp::MAX.0, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_unix_millis(millis).to_string(), text);
        }
        for wrong in [
            "2026-02-29T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "",
            "now",
        ] {
            assert!(wrong.parse::<Timestamp>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_text_gives_its_point_in_time_back(millis in 0..=Timestamp::MAX.0) {
            let time = Timestamp::from_unix_millis(millis);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
