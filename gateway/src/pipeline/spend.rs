//! What this process has spent today and this month, in UTC, for the status of the `BedrockAccess`.
//!
//! The counts begin with the process: the operator adds up the processes.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use api::{
    prices::Nanodollars,
    spend::{Period, Spend, SpendReport, day_and_month, day_number},
};
use bedrock::converse::TokenUsage;

use super::cost::Cost;

/// The counts of a process.
#[derive(Debug, Default)]
pub(crate) struct Spending(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    day: u64,
    report: SpendReport,
}

impl Counts {
    /// The counts at a time: those of another day or month are over.
    fn at(&mut self, now: SystemTime) -> &mut SpendReport {
        let day = day_number(now);
        let report = &mut self.report;
        if day != self.day {
            self.day = day;
            let (date, month) = day_and_month(now);
            report.today = Period {
                date,
                ..Period::default()
            };
            if month != report.month.date {
                report.month = Period {
                    date: month,
                    ..Period::default()
                };
            }
        }
        report
    }
}

impl Spending {
    /// Adds a finished request.
    pub(crate) fn add(&self, now: SystemTime, usage: &TokenUsage, cost: Cost) {
        let request = Spend {
            cost: cost.known().unwrap_or(Nanodollars::ZERO),
            requests: 1,
            input_tokens: usage.prompt_tokens(),
            cached_input_tokens: usage.cache_read_input_tokens,
            output_tokens: usage.output_tokens,
            unpriced_tokens: cost.unpriced_tokens(),
        };
        let mut counts = self.lock();
        let SpendReport { today, month, .. } = counts.at(now);
        for period in [today, month] {
            period.spend = period.spend.plus(&request);
        }
    }

    /// The counts of the current day and month. `since`: the start of the process, in seconds since 1970.
    pub(crate) fn report(&self, now: SystemTime, since: u64) -> SpendReport {
        SpendReport {
            since,
            ..self.lock().at(now).clone()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_new_day_keeps_the_month_and_a_new_month_begins_at_zero() {
        let spending = Spending::default();
        let usage = TokenUsage {
            input_tokens: 10,
            cache_read_input_tokens: 30,
            output_tokens: 2,
            ..TokenUsage::default()
        };
        // 2026-11-29T12:00:00Z.
        let at =
            |days: u64| SystemTime::UNIX_EPOCH + Duration::from_hours(24 * (20_786 + days) + 12);
        spending.add(at(0), &usage, Cost::Known(Nanodollars(5)));
        spending.add(at(1), &usage, Cost::Known(Nanodollars(7)));
        spending.add(at(1), &usage, Cost::Unpriced(42));
        let report = spending.report(at(1), 9);
        assert_eq!(
            (report.since, report.today.date.as_str()),
            (9, "2026-11-30")
        );
        assert_eq!(report.today.spend.cost, Nanodollars(7));
        assert_eq!(report.today.spend.unpriced_tokens, 42);
        assert_eq!(
            (report.month.date.as_str(), report.month.spend.requests),
            ("2026-11", 3)
        );
        assert_eq!(report.month.spend.cost, Nanodollars(12));
        assert_eq!(report.month.spend.input_tokens, 120);
        assert_eq!(report.month.spend.cached_percent(), Some(75));
        let report = spending.report(at(2), 9);
        assert_eq!(report.month.date, "2026-12");
        assert!(report.today.spend.is_zero() && report.month.spend.is_zero());
    }
}
