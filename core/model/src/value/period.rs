//! Lengths of time, as documents write them: `"250ms"`, `"5s"`, `"10m"`, `"1h"`, `"7d"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{InvalidValue, text_value};

/// A length of time with millisecond precision, from 1 ms to 28 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Period {
    /// The longest period: 28 days.
    pub const MAX: Self = Self(Duration::from_hours(28 * 24));

    /// A period of whole seconds, capped at 28 days.
    pub const fn seconds(seconds: u64) -> Self {
        let max = Self::MAX.0.as_secs();
        Self(Duration::from_secs(if seconds > max {
            max
        } else {
            seconds
        }))
    }

    /// The period as a `Duration`.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mend = "a number and a unit, such as \"500ms\", \"5s\", \"10m\", \"1h\" or \"7d\", \
                    from 1ms to 28d";
        let invalid = || InvalidValue::new(format!("`{text}` is not a period"), mend);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(invalid)?;
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let (_, scale) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(invalid)?;
        let millis = number.checked_mul(*scale).ok_or_else(invalid)?;
        let period = Duration::from_millis(millis);
        if millis == 0 || period > Self::MAX.0 {
            return Err(InvalidValue::new(
                format!("`{text}` is outside the range of 1ms to 28d"),
                mend,
            ));
        }
        Ok(Self(period))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        for (unit, scale) in UNITS {
            if millis.is_multiple_of(scale) {
                return write!(f, "{}{unit}", millis / scale);
            }
        }
        Ok(())
    }
}

text_value!(
    Period,
    format: "lb-period",
    example: "5s",
    "A length of time: a number and one of `ms`, `s`, `m`, `h`, `d`; from 1ms to 28d."
);
