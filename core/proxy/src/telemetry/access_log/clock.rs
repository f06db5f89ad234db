//! The time of day as log lines show it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::text::digits;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Formats times. It keeps the text of the last second, because a busy worker writes thousands of
/// lines in one; each worker has its own.
#[derive(Debug)]
pub(crate) struct LogClock {
    second: u64,
    date: Date,
}

/// A second of the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: u64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

impl Default for LogClock {
    fn default() -> Self {
        Self {
            second: 0,
            date: Date::of(0),
        }
    }
}

impl LogClock {
    /// Writes a time as RFC 3339 with milliseconds: `2026-02-28T23:59:59.123Z`.
    pub(super) fn write_rfc3339(&mut self, line: &mut Vec<u8>, time: SystemTime) {
        let since_epoch = self.advance(time);
        let date = self.date;
        digits(line, date.year, 4);
        line.push(b'-');
        digits(line, date.month.into(), 2);
        line.push(b'-');
        digits(line, date.day.into(), 2);
        line.push(b'T');
        date.write_time(line);
        line.push(b'.');
        digits(line, since_epoch.subsec_millis().into(), 3);
        line.push(b'Z');
    }

    /// Writes a time as the Common Log Format has it: `28/Feb/2026:23:59:59 +0000`.
    pub(super) fn write_common(&mut self, line: &mut Vec<u8>, time: SystemTime) {
        self.advance(time);
        let date = self.date;
        digits(line, date.day.into(), 2);
        line.push(b'/');
        line.extend_from_slice(MONTHS[usize::from(date.month - 1) % 12]);
        line.push(b'/');
        digits(line, date.year, 4);
        line.push(b':');
        date.write_time(line);
        line.extend_from_slice(b" +0000");
    }

    /// Makes `date` that of `time`. A clock that stands before 1970 counts as 1970.
    fn advance(&mut self, time: SystemTime) -> Duration {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since_epoch.as_secs() != self.second {
            self.second = since_epoch.as_secs();
            self.date = Date::of(self.second);
        }
        since_epoch
    }
}

impl Date {
    /// The date of a second since 1970, by the algorithm of Howard Hinnant's `civil_from_days`.
    fn of(second: u64) -> Self {
        let (days, time) = (second / 86_400, second % 86_400);
        // Years begin in March here, so that the leap day is the last day of one.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
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
        let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month: small(month),
            day: small(day),
            hour: small(time / 3600),
            minute: small(time / 60 % 60),
            second: small(time % 60),
        }
    }

    fn write_time(self, line: &mut Vec<u8>) {
        digits(line, self.hour.into(), 2);
        line.push(b':');
        digits(line, self.minute.into(), 2);
        line.push(b':');
        digits(line, self.second.into(), 2);
    }
}
