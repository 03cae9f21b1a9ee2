//! Shares of budgets without a store: each gateway process may spend its share until the operator renews it. Pure.
//!
//! The status is the ledger. It is written before a share is sent, and what is granted counts as spent until the process
//! reports a smaller share, which it then enforces. The sum of what all processes may spend therefore never exceeds the
//! budget, whatever restarts.

use std::collections::BTreeSet;

use api::{
    shares::{AccountReport, Grant, Grants, ShareReport},
    v1alpha1::status::{BudgetShares, ProcessShare},
};

use k8s_openapi::jiff::Timestamp;

use crate::access::{
    observe::{Observed, PodState},
    validate::Validated,
};

/// Largest share that one renewal leaves unused, as a part of the budget: what a killed process can lose.
const LARGEST_PART: u64 = 20;
/// Processes in one account; further ones get no share.
const MAX_PROCESSES: usize = 128;

/// Time before a period in which its first shares are given, so that no request waits for them.
const AHEAD_SECONDS: u64 = 60;

/// A budget in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BudgetTerms {
    /// See [`api::config::Budget::name`].
    pub(crate) name: String,
    /// The amount, in nanodollars or tokens.
    pub(crate) limit: u64,
    /// Start of the period, in seconds since 1970.
    pub(crate) start: u64,
}

/// The budgets without a store in their current periods, and in those that start soon.
pub(crate) fn terms(access: &Validated, now: Timestamp) -> Vec<BudgetTerms> {
    if access.limits.shares.is_none() {
        return Vec::new();
    }
    let now = count(now.as_second());
    let shared = access.limits.budgets.iter().map(|budget| (None, budget));
    let subjects = access.clients.service_accounts.iter();
    let subjects = subjects.flat_map(|accounts| &accounts.subjects);
    let of_clients = subjects.flat_map(|subject| {
        let client = subject.client_name();
        let budgets = subject.budgets.iter();
        budgets.map(move |budget| (Some(client.clone()), budget))
    });
    let mut terms = Vec::new();
    for (client, budget) in shared.chain(of_clients) {
        let Some(amount) = budget.amount() else {
            continue;
        };
        let start = |at| budget.period.window(&budget.time_zone, at).start;
        let starts = BTreeSet::from([now, now.saturating_add(AHEAD_SECONDS)].map(start));
        for start in starts {
            terms.push(BudgetTerms {
                name: budget.name(client.as_deref()),
                limit: amount.count(),
                start,
            });
        }
    }
    terms
}

/// A gateway pod and what its process reports.
#[derive(Clone, Copy, Debug)]
struct Reporting<'a> {
    pod: &'a str,
    report: &'a ShareReport,
    /// Whether it gets new shares.
    stays: bool,
}

/// The ledger after the gateways were read: `pods` stay, `ending` are being deleted.
pub(crate) fn renew(
    previous: &[BudgetShares],
    budgets: &[BudgetTerms],
    pods: &[PodState],
    ending: &[PodState],
) -> Vec<BudgetShares> {
    let exists: Vec<&str> = pods.iter().chain(ending).map(|pod| &*pod.name).collect();
    let stays = pods.iter().map(|pod| (pod, true));
    let ends = ending.iter().map(|pod| (pod, false));
    let mut reporting: Vec<Reporting<'_>> = stays
        .chain(ends)
        .filter_map(|(pod, stays)| {
            let report = pod.report.as_ref()?.shares.as_ref()?;
            let pod = pod.name.as_str();
            Some(Reporting { pod, report, stays })
        })
        .collect();
    reporting.truncate(MAX_PROCESSES);
    let renewed = budgets.iter().map(|terms| {
        let known = previous
            .iter()
            .find(|account| account.budget == terms.name && count(account.start) == terms.start);
        let mut account = known.cloned().unwrap_or_else(|| BudgetShares {
            budget: terms.name.clone(),
            start: number(terms.start),
            spent: 0,
            processes: Vec::new(),
        });
        settle(&mut account, &reporting, &exists);
        distribute(&mut account, terms.limit, &reporting);
        account
    });
    renewed.collect()
}

/// The shares to send to a process, and what the others have spent as far as it is known.
pub(crate) fn grants(ledger: &[BudgetShares], observed: &Observed, process: &str) -> Grants {
    let pods = || observed.pods.iter().chain(&observed.ending);
    let reports = || pods().filter_map(|pod| pod.report.as_ref()?.shares.as_ref());
    let granted = ledger.iter().filter_map(|account| {
        let share = account
            .processes
            .iter()
            .find(|one| one.process == process)?;
        let others = reports().filter(|report| report.process != process);
        let used = others.filter_map(|report| Some(find(report, account)?.used));
        Some(Grant {
            budget: account.budget.clone(),
            start: count(account.start),
            revision: count(share.revision),
            share: count(share.offered),
            elsewhere: used.fold(count(account.spent), u64::saturating_add),
        })
    });
    Grants {
        process: process.to_owned(),
        accounts: granted.collect(),
    }
}

/// Adopts what the processes report. What a process that has ended was granted is spent.
fn settle(account: &mut BudgetShares, reporting: &[Reporting<'_>], exists: &[&str]) {
    let mut spent = count(account.spent);
    let (start, budget) = (account.start, account.budget.clone());
    account.processes.retain_mut(|share| {
        let of_pod = reporting.iter().find(|one| one.pod == share.pod);
        match of_pod {
            Some(one) if one.report.process == share.process => {
                let mut reports = one.report.accounts.iter();
                let found =
                    reports.find(|report| report.budget == budget && number(report.start) == start);
                if let Some(report) = found {
                    adopt(share, report);
                }
                true
            }
            // It was not read this time.
            None if exists.contains(&share.pod.as_str()) => true,
            // Another process, or none, has taken its place.
            _ => {
                spent = spent.saturating_add(count(share.granted));
                false
            }
        }
    });
    account.spent = number(spent);
}

/// What a process may spend at most, by its report. It has an earlier grant while a later one is on its way.
fn adopt(share: &mut ProcessShare, report: &AccountReport) {
    let revision = number(report.revision);
    // Costs can exceed what a request held.
    let most = number(report.share.max(report.used));
    if revision == share.revision {
        share.granted = most;
    } else if revision > share.revision {
        // The ledger was changed by hand.
        share.revision = revision;
        share.granted = share.granted.max(most);
    }
}

/// Renews the shares of processes that have used most of theirs, and asks those with much more than they need to give it
/// back.
fn distribute(account: &mut BudgetShares, limit: u64, reporting: &[Reporting<'_>]) {
    let granted = account.processes.iter().map(|share| count(share.granted));
    let mut left = limit.saturating_sub(granted.fold(count(account.spent), u64::saturating_add));
    let staying: Vec<&Reporting<'_>> = reporting.iter().filter(|one| one.stays).collect();
    let unused = |account: &BudgetShares, one: &Reporting<'_>| {
        let used = find(one.report, account).map_or(0, |report| report.used);
        let share = account
            .processes
            .iter()
            .find(|share| share.process == one.report.process);
        share
            .map_or(0, |share| count(share.granted))
            .saturating_sub(used)
    };
    let all_unused = staying.iter().map(|one| unused(account, one));
    let pool = all_unused.fold(left, u64::saturating_add);
    let processes = u64::try_from(staying.len()).unwrap_or(u64::MAX);
    let part = pool.checked_div(processes.saturating_mul(4)).unwrap_or(0);
    let part = part.min(limit / LARGEST_PART).max(1);
    for one in staying {
        let report = find(one.report, account).cloned().unwrap_or_default();
        let known = account
            .processes
            .iter()
            .position(|share| share.process == one.report.process);
        let index = known.unwrap_or_else(|| {
            let granted = report.share.max(report.used);
            left = left.saturating_sub(granted);
            account.processes.push(ProcessShare {
                pod: one.pod.to_owned(),
                process: one.report.process.clone(),
                revision: number(report.revision),
                granted: number(granted),
                offered: number(report.share),
            });
            account.processes.len().saturating_sub(1)
        });
        let Some(share) = account.processes.get_mut(index) else {
            continue;
        };
        // A grant on its way.
        if number(report.revision) != share.revision {
            continue;
        }
        left = offer(share, &report, part, left);
    }
}

/// Changes the share of a process; returns what is left of the budget.
fn offer(share: &mut ProcessShare, report: &AccountReport, part: u64, left: u64) -> u64 {
    let granted = count(share.granted);
    let unused = granted.saturating_sub(report.used);
    let target = part.max(report.wanted);
    if unused < target.div_ceil(2).max(report.wanted) && left > 0 {
        let more = target.saturating_sub(unused).min(left);
        share.granted = number(granted.saturating_add(more));
        share.offered = share.granted;
        share.revision = share.revision.saturating_add(1);
        return left.saturating_sub(more);
    }
    if unused > target.saturating_mul(2) {
        // Granted until the process confirms that it has less.
        share.offered = number(report.used.saturating_add(target));
        share.revision = share.revision.saturating_add(1);
    }
    left
}

fn find<'a>(report: &'a ShareReport, account: &BudgetShares) -> Option<&'a AccountReport> {
    let mut accounts = report.accounts.iter();
    accounts.find(|one| one.budget == account.budget && number(one.start) == account.start)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
