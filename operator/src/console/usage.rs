//! Usage and cost of the current day and month, from `status.usage`. Pure.
//!
//! Tokens without a price have no cost: an amount that consists of them alone is unknown, and never zero.

use api::{
    spend::{self, Spend},
    v1alpha1::status::{UsagePeriod, UsageStatus},
};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

/// The current day and the current month in UTC.
#[derive(Clone, Debug)]
pub(super) struct Dates {
    day: String,
    month: String,
}

/// Usage of an object, or of several.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageReport {
    /// Not set without a request today.
    today: Option<Amounts>,
    /// Not set without a request this month.
    month: Option<Amounts>,
    /// When the gateways were read; not set for a sum.
    updated: Option<String>,
    /// Running gateways that could not be read.
    unread: i32,
}

/// Amounts of a day or a month.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Amounts {
    /// The day or the month.
    date: String,
    requests: u64,
    /// Including cached tokens.
    input_tokens: u64,
    /// Share of the input tokens that were read from the prompt cache.
    cached_input_percent: Option<u64>,
    output_tokens: u64,
    /// Tokens that are not part of the cost.
    unpriced_tokens: u64,
    /// In US dollars; not set if it is unknown.
    cost_usd: Option<String>,
}

impl Dates {
    pub(super) fn at(now: Timestamp) -> Self {
        let (day, month) = spend::day_and_month(now.into());
        Self { day, month }
    }
}

impl UsageReport {
    /// The usage of an object. Amounts of an earlier day or month are over.
    pub(super) fn new(usage: &UsageStatus, dates: &Dates) -> Self {
        let current = |period: &UsagePeriod, date: &str| {
            (period.date == date).then(|| Amounts::new(date, &period.spend()))?
        };
        Self {
            today: current(&usage.today, &dates.day),
            month: current(&usage.month, &dates.month),
            updated: Some(usage.updated_at.0.to_string()),
            unread: usage.unread.unwrap_or_default(),
        }
    }

    /// The usage of several objects together.
    pub(super) fn sum<'a>(all: impl IntoIterator<Item = &'a UsageStatus>, dates: &Dates) -> Self {
        let mut today = Spend::default();
        let mut month = Spend::default();
        let mut unread = 0_i32;
        for usage in all {
            for (sum, period, date) in [
                (&mut today, &usage.today, &dates.day),
                (&mut month, &usage.month, &dates.month),
            ] {
                if period.date == *date {
                    *sum = sum.plus(&period.spend());
                }
            }
            unread = unread.saturating_add(usage.unread.unwrap_or_default());
        }
        Self {
            today: Amounts::new(&dates.day, &today),
            month: Amounts::new(&dates.month, &month),
            updated: None,
            unread,
        }
    }
}

impl Amounts {
    /// The amounts; `None` if nothing was spent.
    fn new(date: &str, spend: &Spend) -> Option<Self> {
        if spend.is_zero() {
            return None;
        }
        let Spend {
            cost,
            requests,
            input_tokens,
            output_tokens,
            unpriced_tokens,
            ..
        } = *spend;
        let is_known = cost.0 > 0 || unpriced_tokens == 0;
        Some(Self {
            date: date.to_owned(),
            requests,
            input_tokens,
            cached_input_percent: spend.cached_percent(),
            output_tokens,
            unpriced_tokens,
            cost_usd: is_known.then(|| cost.rounded().to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOON: &str = "2026-11-29T12:00:00Z";

    fn usage(day: &str, cost: &str, unpriced: Option<i64>) -> UsageStatus {
        let period = |date: &str| {
            json!({
                "date": date, "costUsd": cost, "requests": 2, "inputTokens": 1000, "cachedInputTokens": 250,
                "outputTokens": 50, "unpricedTokens": unpriced,
            })
        };
        serde_json::from_value(json!({
            "updatedAt": format!("{day}T11:59:00Z"), "today": period(day),
            "month": period(day.get(..7).unwrap()),
        }))
        .unwrap()
    }

    fn dates() -> Dates {
        Dates::at(NOON.parse().unwrap())
    }

    fn shown(usage: &UsageStatus) -> Value {
        serde_json::to_value(UsageReport::new(usage, &dates())).unwrap()
    }

    #[test]
    fn tokens_without_a_price_have_no_cost_instead_of_zero() {
        let priced = shown(&usage("2026-11-29", "0.42", None));
        assert_eq!(priced["today"]["costUsd"], "0.42");
        assert_eq!(priced["today"]["cachedInputPercent"], 25);
        let some = shown(&usage("2026-11-29", "0.42", Some(70)));
        assert_eq!(
            (&some["month"]["costUsd"], &some["month"]["unpricedTokens"]),
            (&json!("0.42"), &json!(70))
        );
        let none = shown(&usage("2026-11-29", "0.00", Some(1050)));
        assert_eq!(
            (&none["today"]["costUsd"], &none["today"]["unpricedTokens"]),
            (&Value::Null, &json!(1050))
        );
    }

    #[test]
    fn amounts_of_an_earlier_day_or_month_are_not_those_of_today() {
        let yesterday = shown(&usage("2026-11-28", "0.42", None));
        assert_eq!(yesterday["today"], Value::Null);
        assert_eq!(yesterday["month"]["costUsd"], "0.42");
        let october = shown(&usage("2026-10-29", "0.42", None));
        assert_eq!(
            (&october["today"], &october["month"]),
            (&Value::Null, &Value::Null)
        );
    }

    #[test]
    fn sum_is_that_of_all_objects_in_the_current_periods() {
        let all = [
            usage("2026-11-29", "0.42", Some(70)),
            usage("2026-11-28", "1.00", None),
            usage("2026-10-01", "9.00", None),
        ];
        let sum = serde_json::to_value(UsageReport::sum(&all, &dates())).unwrap();
        assert_eq!(sum["today"]["costUsd"], "0.42");
        assert_eq!(sum["month"]["costUsd"], "1.42");
        assert_eq!(sum["month"]["unpricedTokens"], 70);
        assert_eq!(sum["month"]["requests"], 4);
    }
}
