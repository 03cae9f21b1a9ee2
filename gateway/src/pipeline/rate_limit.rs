//! Rate limits of a BedrockAccess, shared by all its clients, and of each client.
//!
//! A request is allowed while the usage of each of its limits is below the limit. Its tokens are added when it ends,
//! since they are known only then. Counters belong to subjects, so that a reload keeps them; everything else is
//! prepared when the configuration is loaded.

mod counter;
mod counts;
pub(crate) mod report;
mod shared_counts;
mod store;

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::{GatewayConfig, config::Rates};
use credentials::SharedTimeSource;
use tokio::time::Instant;

use crate::{
    http::{
        over_limit::{OverLimit, Subject},
        request_guards::InFlightGuard,
        time::millis,
    },
    telemetry::metrics::Metrics,
};

use super::{authenticate::Caller, shared_store::StoreError};
use counter::Counter;
use counts::Usage;
use report::Report;
use shared_counts::Decision;
use store::Store;

/// The quotas of a configuration, with their usage.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    access: Option<Arc<Quota>>,
    clients: HashMap<String, Arc<Quota>>,
    /// Counts shared with other gateways, if configured.
    store: Option<Arc<Store>>,
}

/// The limits of a subject.
#[derive(Debug)]
struct Quota {
    subject: Subject,
    rates: Rates,
    /// That of the same subject before a reload.
    counter: Arc<Counter>,
    /// Key in the store; none without limits over time.
    key: Option<Arc<str>>,
}

/// An allowed request: it counts as open until dropped, and its tokens are charged to its quotas.
#[derive(Debug)]
pub(crate) struct Permit {
    /// The quotas of the BedrockAccess and of the client.
    open: [Option<(InFlightGuard, Arc<Quota>)>; 2],
    store: Option<Arc<Store>>,
    clock: SharedTimeSource,
}

/// The quotas of a request: of the BedrockAccess and of the client.
type Quotas<'a> = [Option<&'a Arc<Quota>>; 2];

/// Calls of the store for one request.
const MOST_CALLS: u32 = 8;

impl Limiter {
    /// The quotas of a configuration, for clients with API keys of these names. Subjects keep their counters of
    /// `previous`.
    ///
    /// # Errors
    /// When the URL of the store is invalid.
    pub(crate) fn compile<'a>(
        config: &GatewayConfig,
        keys: impl Iterator<Item = &'a str>,
        metrics: &Arc<Metrics>,
        previous: Option<&Self>,
    ) -> Result<Self, StoreError> {
        let shared = Subject::shared(config.access.as_ref());
        let group = shared.name().to_owned();
        let quota = |subject: Subject, client: Option<&str>, rates: Rates| {
            let before = previous.and_then(|previous| match client {
                None => previous.access.as_ref(),
                Some(client) => previous.clients.get(client),
            });
            Arc::new(Quota {
                subject,
                rates,
                counter: before
                    .map(|quota| Arc::clone(&quota.counter))
                    .unwrap_or_default(),
                key: has_limits_over_time(&rates).then(|| store::key(&group, client)),
            })
        };
        let rates = config.limits.rates();
        let access = (!rates.is_empty()).then(|| quota(shared, None, rates));
        let accounts = config.clients.service_accounts.iter();
        let accounts = accounts.flat_map(|accounts| &accounts.subjects);
        let accounts = accounts.map(|account| {
            let name = Caller::service_account_name(&account.namespace, &account.name);
            (name, account.limits)
        });
        let keys = keys.map(|key| (Caller::key_name(key), config.clients.api_key_limits));
        let clients = accounts
            .chain(keys)
            .filter(|(_, rates)| !rates.is_empty())
            .map(|(name, rates)| {
                let quota = quota(Subject::Client(name.clone()), Some(&name), rates);
                (name, quota)
            })
            .collect();
        let known = previous.and_then(|previous| previous.store.as_ref());
        let store = match &config.limits.store {
            None => None,
            Some(wanted) => Some(match known {
                Some(known) if known.has_settings(&wanted.redis) => Arc::clone(known),
                _ => Arc::new(Store::start(&wanted.redis, Arc::clone(metrics))?),
            }),
        };
        Ok(Self {
            access,
            clients,
            store,
        })
    }

    /// Whether no limits are configured.
    pub(crate) fn is_empty(&self) -> bool {
        self.access.is_none() && self.clients.is_empty()
    }

    /// Whether the store is available; `None` without a store.
    pub(crate) fn store_is_up(&self) -> Option<bool> {
        self.store.as_ref().map(|store| store.is_up())
    }

    /// Counts a request of a client if each limit allows it, and reports the usage.
    ///
    /// # Errors
    /// The reached limit with the longest wait.
    pub(crate) async fn check(
        &self,
        client: &str,
        clock: &SharedTimeSource,
    ) -> (Report, Result<Permit, OverLimit>) {
        let quotas: Quotas<'_> = [self.access.as_ref(), self.clients.get(client)];
        let mut over = None;
        let open = quotas.map(|quota| {
            let quota = quota?;
            let limit = quota.rates.concurrent_requests;
            let guard = quota.counter.open.enter(limit);
            if let (None, Some(limit)) = (&guard, limit) {
                let one = OverLimit::concurrent(&quota.subject, limit);
                over = Some(one.or_longer(over.take()));
            }
            Some((guard?, Arc::clone(quota)))
        });
        let (report, result) = match over {
            // A rejected request needs no shared counts.
            Some(_) => check_locally(quotas, over, clock),
            None => match self.check_shared(quotas, clock).await {
                Some(checked) => checked,
                None => check_locally(quotas, None, clock),
            },
        };
        let permit = result.map(|()| Permit {
            open,
            store: self.store.clone(),
            clock: clock.clone(),
        });
        (report, permit)
    }

    /// Checks with the counts of all gateways; `None` without a store, or while it is unavailable.
    async fn check_shared(
        &self,
        quotas: Quotas<'_>,
        clock: &SharedTimeSource,
    ) -> Option<(Report, Result<(), OverLimit>)> {
        let store = self.store.as_ref()?;
        let shared = quotas.map(|quota| quota.filter(|quota| quota.key.is_some()));
        if shared.iter().all(Option::is_none) {
            return None;
        }
        let mut now = Instant::now();
        let mut is_asked = false;
        for _ in 0..MOST_CALLS {
            if !store.is_up() {
                break;
            }
            if let Some(checked) = check_known(shared, now, is_asked, clock) {
                return Some(checked);
            }
            for quota in shared.into_iter().flatten() {
                if quota.counter.counts().shared.wait() {
                    store.queue(quota);
                }
            }
            if !store.call().await {
                break;
            }
            is_asked = true;
            now = Instant::now();
        }
        store.unavailable();
        None
    }
}

/// Checks with the last reply of the store; `None` if a call is needed. `is_asked`: whether a call was made for this request.
fn check_known(
    quotas: Quotas<'_>,
    now: Instant,
    is_asked: bool,
    clock: &SharedTimeSource,
) -> Option<(Report, Result<(), OverLimit>)> {
    // Always locks the BedrockAccess before a client; both for a few additions.
    let mut counted = quotas.map(|quota| quota.map(|quota| (quota, quota.counter.counts())));
    let mut decision = Decision::Allowed;
    let mut at = 0;
    for (quota, counts) in counted.iter().flatten() {
        at = at.max(counts.shared.at());
        // Directly after a response, its age does not matter.
        match counts
            .shared
            .decision(&quota.rates, (!is_asked).then_some(now))
        {
            Decision::Allowed => {}
            Decision::Unknown => return None,
            Decision::Full => decision = Decision::Full,
        }
    }
    if decision == Decision::Full && !is_asked {
        return None;
    }
    let own_time = millis(clock.now());
    let mut report = Report::new(at);
    let mut over = None;
    for (quota, counts) in counted.iter_mut().flatten() {
        if decision == Decision::Allowed {
            counts.shared.take(now);
            // These apply when the store becomes unavailable.
            counts.own.add_request(own_time);
        } else {
            over = reached(quota, counts.shared.usage(&quota.rates), over);
        }
        report.add(counts.shared.usage(&quota.rates));
    }
    Some((report, over.map_or(Ok(()), Err)))
}

/// Checks with this gateway's counters a request that may be over a limit already.
fn check_locally(
    quotas: Quotas<'_>,
    mut over: Option<OverLimit>,
    clock: &SharedTimeSource,
) -> (Report, Result<(), OverLimit>) {
    let now = millis(clock.now());
    let mut report = Report::new(now);
    // Always locks the BedrockAccess before a client; both for a few additions.
    let mut counted = quotas.map(|quota| quota.map(|quota| (quota, quota.counter.counts())));
    let mut each = counted.iter_mut().flatten();
    let is_full = each.any(|(quota, counts)| counts.own.is_full(&quota.rates, now));
    let is_allowed = over.is_none() && !is_full;
    for (quota, counts) in counted.iter_mut().flatten() {
        if is_allowed {
            counts.own.add_request(now);
        } else {
            over = reached(quota, counts.own.usage(&quota.rates, now), over);
        }
        report.add(counts.own.usage(&quota.rates, now));
    }
    (report, over.map_or(Ok(()), Err))
}

/// The reached limit with the longest wait, also among earlier ones.
fn reached(
    quota: &Quota,
    usage: impl Iterator<Item = Usage>,
    mut over: Option<OverLimit>,
) -> Option<OverLimit> {
    for full in usage.filter(Usage::is_full) {
        let full = OverLimit::new(
            &quota.subject,
            full.kind,
            full.limit,
            Duration::from_millis(full.frees_in),
        );
        over = Some(full.or_longer(over.take()));
    }
    over
}

/// Whether a limit applies to a period, not only to open requests.
fn has_limits_over_time(rates: &Rates) -> bool {
    let concurrency_only = Rates {
        concurrent_requests: rates.concurrent_requests,
        ..Rates::default()
    };
    *rates != concurrency_only
}

impl Permit {
    /// Charges the tokens of the finished request.
    pub(crate) fn charge(&self, tokens: u64) {
        if tokens == 0 {
            return;
        }
        let now = millis(self.clock.now());
        // During an outage, the counts of this gateway have what is lost.
        let store = self.store.as_ref().filter(|store| store.is_up());
        for (_, quota) in self.open.iter().flatten() {
            let mut counts = quota.counter.counts();
            counts.own.add_tokens(tokens, now);
            if let Some(store) = store
                && quota.key.is_some()
                && counts.shared.add_tokens(tokens)
            {
                drop(counts);
                store.queue(quota);
            }
        }
    }
}

#[cfg(test)]
mod tests;
