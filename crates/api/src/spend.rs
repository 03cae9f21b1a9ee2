//! What gateways report about their spend on the admin port, and what a day and a month are.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::prices::Nanodollars;

/// Amounts of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spend {
    /// Cost in nanodollars, without tokens that have no price.
    #[serde(rename = "costNanodollars")]
    pub cost: Nanodollars,
    /// Requests for which Bedrock reported usage.
    pub requests: u64,
    /// Input tokens, cached tokens included.
    pub input_tokens: u64,
    /// Input tokens read from the cache.
    pub cached_input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Tokens whose price is unknown.
    pub unpriced_tokens: u64,
}

/// A day or a month in UTC with its amounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Period {
    /// `2026-11-29` or `2026-11`.
    pub date: String,
    /// The amounts.
    #[serde(flatten)]
    pub spend: Spend,
}

/// What a process has spent since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpendReport {
    /// Start of the process, in seconds since 1970. Its counts begin then.
    pub since: u64,
    /// The current day.
    pub today: Period,
    /// The current month.
    pub month: Period,
}

impl Spend {
    /// The sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            cost: self.cost.saturating_add(other.cost),
            requests: self.requests.saturating_add(other.requests),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_input_tokens: self
                .cached_input_tokens
                .saturating_add(other.cached_input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            unpriced_tokens: self.unpriced_tokens.saturating_add(other.unpriced_tokens),
        }
    }

    /// Whether nothing was spent.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The share of input tokens that were read from the cache, in percent. `None` without input tokens.
    pub fn cached_percent(&self) -> Option<u64> {
        self.cached_input_tokens
            .saturating_mul(100)
            .checked_div(self.input_tokens)
    }
}

/// Days since 1970 in UTC.
pub fn day_number(now: SystemTime) -> u64 {
    const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
    now.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / SECONDS_PER_DAY)
}

/// The day and the month of a time in UTC, such as `2026-11-29` and `2026-11`.
pub fn day_and_month(now: SystemTime) -> (String, String) {
    let date = OffsetDateTime::from(now).date();
    let month = format!("{:04}-{:02}", date.year(), u8::from(date.month()));
    (format!("{month}-{:02}", date.day()), month)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        // `date -u -d 2026-12-01T00:00:00Z +%s`.
        let december = 1_796_083_200;
        let of = |seconds| day_and_month(at(seconds));
        let pair = |day: &str, month: &str| (day.to_owned(), month.to_owned());
        assert_eq!(of(december - 1), pair("2026-11-30", "2026-11"));
        assert_eq!(of(december), pair("2026-12-01", "2026-12"));
        assert_eq!(day_number(at(december)), day_number(at(december - 1)) + 1);
    }

    #[test]
    fn share_of_cached_tokens_is_that_of_all_input_tokens() {
        let spend = Spend {
            input_tokens: 200,
            cached_input_tokens: 150,
            ..Spend::default()
        };
        assert_eq!(spend.cached_percent(), Some(75));
        assert_eq!(Spend::default().cached_percent(), None);
    }
}
