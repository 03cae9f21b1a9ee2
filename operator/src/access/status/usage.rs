//! What the gateways have spent: sums of what their processes report. Pure.
//!
//! A process counts from its start. The status keeps the last amounts of each process, so that a restart of a gateway or of
//! the operator loses nothing but what was spent after the last reading.

use api::{
    spend::{Period, Spend},
    v1alpha1::status::{BedrockAccessStatus, ProcessUsage, UsagePeriod, UsageStatus},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use crate::access::observe::{Observed, PodState};

/// Shortest time between two updates, in seconds: each is a write.
const INTERVAL: i64 = 60;
/// Processes whose amounts are kept apart; those of further ones are not read.
const MAX_PROCESSES: usize = 128;

/// Whether the gateways' spend is read in this reconcile.
pub(crate) fn is_due(status: Option<&BedrockAccessStatus>, now: Timestamp) -> bool {
    let usage = status.and_then(|status| status.usage.as_ref());
    usage.is_none_or(|usage| {
        let age = now
            .as_second()
            .saturating_sub(usage.updated_at.0.as_second());
        !(0..INTERVAL).contains(&age)
    })
}

/// Updates the usage if the gateways' spend was read.
pub(super) fn update(
    status: &mut BedrockAccessStatus,
    observed: Option<&Observed>,
    pods: &[PodState],
    now: Timestamp,
) {
    if observed.is_some_and(|observed| observed.is_usage_due) {
        status.usage = merge(status.usage.as_ref(), pods, now);
    }
}

/// The usage after the gateways were read. Unchanged amounts keep the time of the last change, so that idle gateways cause
/// no writes.
fn merge(previous: Option<&UsageStatus>, pods: &[PodState], now: Timestamp) -> Option<UsageStatus> {
    let today = now.strftime("%Y-%m-%d").to_string();
    let month = now.strftime("%Y-%m").to_string();
    let mut ended = previous
        .and_then(|usage| usage.ended.clone())
        .unwrap_or_default();
    let mut processes: Vec<ProcessUsage> = Vec::new();
    let mut unread = 0_i32;
    for pod in pods {
        let report = pod.report.as_ref().and_then(|report| report.spend.as_ref());
        if let Some(spend) = report {
            if !(spend.today.spend.is_zero() && spend.month.spend.is_zero()) {
                processes.push(ProcessUsage {
                    pod: pod.name.clone(),
                    since: count(spend.since),
                    today: period(&spend.today),
                    month: period(&spend.month),
                });
            }
        } else if pod.ready {
            unread = unread.saturating_add(1);
        }
    }
    for known in previous.iter().flat_map(|usage| &usage.processes) {
        let same_pod = processes.iter().find(|process| process.pod == known.pod);
        match same_pod {
            Some(process) if process.since == known.since => {}
            // Not read this time.
            None if pods
                .iter()
                .any(|pod| pod.name == known.pod && !was_read(pod)) =>
            {
                processes.push(known.clone());
            }
            _ => {
                ended.today = sum([&ended.today, &known.today], &today);
                ended.month = sum([&ended.month, &known.month], &month);
            }
        }
    }
    processes.sort_by(|one, other| one.pod.cmp(&other.pod));
    processes.truncate(MAX_PROCESSES);
    ended.today = sum([&ended.today], &today);
    ended.month = sum([&ended.month], &month);
    let total_today = [&ended.today]
        .into_iter()
        .chain(processes.iter().map(|one| &one.today));
    let total_month = [&ended.month]
        .into_iter()
        .chain(processes.iter().map(|one| &one.month));
    let usage = UsageStatus {
        updated_at: Time(now),
        today: rounded(sum(total_today, &today)),
        month: rounded(sum(total_month, &month)),
        unread: (unread > 0).then_some(unread),
        ended: (!ended.month.spend().is_zero()).then_some(ended),
        processes,
    };
    let Some(previous) = previous else {
        return (usage.month.requests > 0).then_some(usage);
    };
    let unchanged = UsageStatus {
        updated_at: previous.updated_at.clone(),
        ..usage.clone()
    };
    Some(if unchanged == *previous {
        unchanged
    } else {
        usage
    })
}

/// Whether the gateway of the pod has responded.
fn was_read(pod: &PodState) -> bool {
    pod.report
        .as_ref()
        .is_some_and(|report| report.spend.is_some())
}

/// The sum of the periods with this date; others are over.
fn sum<'a>(periods: impl IntoIterator<Item = &'a UsagePeriod>, date: &str) -> UsagePeriod {
    let current = periods.into_iter().filter(|period| period.date == date);
    let spend = current.fold(Spend::default(), |sum, period| sum.plus(&period.spend()));
    period(&Period {
        date: date.to_owned(),
        spend,
    })
}

fn period(period: &Period) -> UsagePeriod {
    let spend = &period.spend;
    let percent = spend.cached_percent();
    UsagePeriod {
        date: period.date.clone(),
        cost_usd: spend.cost.to_string(),
        requests: count(spend.requests),
        input_tokens: count(spend.input_tokens),
        cached_input_tokens: count(spend.cached_input_tokens),
        cached_input_percent: percent.and_then(|percent| i32::try_from(percent).ok()),
        output_tokens: count(spend.output_tokens),
        unpriced_tokens: (spend.unpriced_tokens > 0).then(|| count(spend.unpriced_tokens)),
    }
}

fn rounded(period: UsagePeriod) -> UsagePeriod {
    let cost = period.spend().cost.rounded();
    UsagePeriod {
        cost_usd: cost.to_string(),
        ..period
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use api::{prices::Nanodollars, spend::SpendReport};

    use super::*;
    use crate::access::readiness::Report;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A pod whose gateway reports this cost for the day and the month.
    fn pod(name: &str, since: u64, day: &str, nanodollars: (u64, u64)) -> PodState {
        let period = |date: &str, cost| Period {
            date: date.to_owned(),
            spend: Spend {
                cost: Nanodollars(cost),
                requests: 1,
                input_tokens: 100,
                cached_input_tokens: 75,
                ..Spend::default()
            },
        };
        PodState {
            name: name.to_owned(),
            ready: true,
            waiting: None,
            report: Some(Report {
                ready: true,
                reason: "Ready".to_owned(),
                message: String::new(),
                roles: Vec::new(),
                ejected: Vec::new(),
                spend: Some(SpendReport {
                    since,
                    today: period(day, nanodollars.0),
                    month: period(day.get(..7).unwrap(), nanodollars.1),
                }),
                shares: None,
            }),
        }
    }

    fn unreadable(name: &str) -> PodState {
        PodState {
            report: None,
            ..pod(name, 0, "2026-11-29", (0, 0))
        }
    }

    const NOON: &str = "2026-11-29T12:00:00Z";

    #[test]
    fn usage_is_the_sum_of_all_gateways() {
        let pods = [
            pod("a", 1, "2026-11-29", (1_000_000_000, 2_000_000_000)),
            pod("b", 2, "2026-11-29", (500_050_000, 500_050_000)),
        ];
        let usage = merge(None, &pods, at(NOON)).unwrap();
        assert_eq!(usage.today.cost_usd, "1.5001");
        assert_eq!(
            (usage.today.date.as_str(), usage.today.requests),
            ("2026-11-29", 2)
        );
        assert_eq!(usage.today.cached_input_percent, Some(75));
        assert_eq!(
            (usage.month.cost_usd.as_str(), usage.month.date.as_str()),
            ("2.5001", "2026-11")
        );
        assert_eq!(usage.processes.len(), 2);
        assert_eq!(usage.unread, None);
    }

    #[test]
    fn a_restarted_gateway_and_a_removed_pod_keep_their_amounts() {
        let before = [
            pod("a", 1, "2026-11-29", (1_000_000_000, 1_000_000_000)),
            pod("b", 2, "2026-11-29", (2_000_000_000, 2_000_000_000)),
        ];
        let usage = merge(None, &before, at(NOON)).unwrap();
        let after = [pod("a", 9, "2026-11-29", (100_000_000, 100_000_000))];
        let later = at("2026-11-29T12:02:00Z");
        let usage = merge(Some(&usage), &after, later).unwrap();
        assert_eq!(usage.today.cost_usd, "3.10");
        assert_eq!(usage.ended.as_ref().unwrap().month.cost_usd, "3.00");
        let again = merge(Some(&usage), &after, at("2026-11-29T12:04:00Z")).unwrap();
        assert_eq!(again.today.cost_usd, "3.10", "not twice");
        assert_eq!(again, usage, "unchanged amounts cause no write");
    }

    #[test]
    fn a_gateway_that_cannot_be_read_keeps_its_last_amounts_and_is_counted() {
        let usage = merge(
            None,
            &[pod("a", 1, "2026-11-29", (7_000_000, 7_000_000))],
            at(NOON),
        )
        .unwrap();
        let usage = merge(Some(&usage), &[unreadable("a")], at("2026-11-29T13:00:00Z")).unwrap();
        assert_eq!(usage.today.cost_usd, "0.007");
        assert_eq!(usage.unread, Some(1));
    }

    #[test]
    fn a_new_day_and_a_new_month_begin_at_zero() {
        let usage = merge(
            None,
            &[pod("a", 1, "2026-11-29", (5_000_000, 5_000_000))],
            at(NOON),
        )
        .unwrap();
        let next = merge(Some(&usage), &[unreadable("a")], at("2026-11-30T00:00:00Z")).unwrap();
        assert_eq!(
            (next.today.cost_usd.as_str(), next.month.cost_usd.as_str()),
            ("0.00", "0.005")
        );
        let gone = merge(Some(&next), &[], at("2026-11-30T00:05:00Z")).unwrap();
        assert_eq!(gone.month.cost_usd, "0.005");
        let december = merge(Some(&gone), &[], at("2026-12-01T00:00:00Z")).unwrap();
        assert_eq!(december.month.cost_usd, "0.00");
        assert_eq!(december.ended, None);
    }

    #[test]
    fn usage_is_read_at_most_once_a_minute_and_absent_before_the_first_request() {
        let idle = PodState {
            report: pod("a", 1, "2026-11-29", (0, 0))
                .report
                .map(|report| Report {
                    spend: Some(SpendReport::default()),
                    ..report
                }),
            ..unreadable("a")
        };
        assert_eq!(merge(None, &[idle], at(NOON)), None);
        let usage = merge(None, &[pod("a", 1, "2026-11-29", (1, 1))], at(NOON));
        let status = BedrockAccessStatus {
            usage,
            ..BedrockAccessStatus::default()
        };
        assert!(is_due(None, at(NOON)));
        assert!(!is_due(Some(&status), at("2026-11-29T12:00:59Z")));
        assert!(is_due(Some(&status), at("2026-11-29T12:01:00Z")));
        assert!(
            is_due(Some(&status), at("2026-11-29T11:00:00Z")),
            "the clock was wrong"
        );
    }
}
