//! How much may be asked for in a time, by all clients of an access together and by each. Part of step 2, once it is
//! known who calls.
//!
//! A request is taken while the counts are below each limit that holds for it; its tokens are charged when its
//! account closes, since how many they are is known only then. Counts belong to names, not to a configuration,
//! so that a reload keeps them. What a request looks up was made at load.

mod counter;
pub(crate) mod counts;
pub(crate) mod report;
mod store;

use std::{collections::HashMap, sync::Arc};

use api::{GatewayConfig, config::Rates};
use credentials::SharedTimeSource;

use crate::http::over_limit::{Holder, OverLimit};
use crate::{pipeline::authenticate::Caller, telemetry::metrics::Metrics};
use counter::{Meter, Place};
use counts::{Counts, Standing};
use report::Report;
use store::Store;
pub use store::StoreError;

/// The limits of a configuration, each with what was used of it.
#[derive(Debug, Default)]
pub(crate) struct Allotments {
    access: Option<Allotment>,
    clients: HashMap<String, Allotment>,
    /// Where requests and tokens are counted together with other gateways.
    store: Option<Arc<Store>>,
}

/// Limits of an access or of a client.
#[derive(Debug)]
struct Allotment {
    holder: Holder,
    rates: Rates,
    meter: Arc<Meter>,
    /// What the store counts it under; none where it has nothing to count.
    key: Option<Arc<str>>,
}

/// A request that was taken: its places among the open ones, and where its tokens go.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Of the access, and of the client.
    places: [Option<Place>; 2],
    keys: [Option<Arc<str>>; 2],
    store: Option<Arc<Store>>,
    clock: SharedTimeSource,
}

/// The limits that hold for a request: those of the access, and of the client.
type Holders<'a> = [Option<&'a Allotment>; 2];

impl Allotments {
    /// The limits of a configuration for clients with keys of these names; what was counted for a name in
    /// `previous` goes on.
    ///
    /// # Errors
    /// When the store's address cannot be used.
    pub(crate) fn compile<'a>(
        config: &GatewayConfig,
        keys: impl Iterator<Item = &'a str>,
        metrics: &Arc<Metrics>,
        previous: Option<&Self>,
    ) -> Result<Self, StoreError> {
        let holder = Holder::of(config.access.as_ref());
        let group = holder.name().to_owned();
        let allotment =
            |holder: Holder, client: Option<&str>, rates: Rates, before: Option<&Self>| {
                let before = before.and_then(|before| match client {
                    None => before.access.as_ref(),
                    Some(client) => before.clients.get(client),
                });
                Allotment {
                    holder,
                    rates,
                    meter: before.map(|one| Arc::clone(&one.meter)).unwrap_or_default(),
                    key: counts_by_time(&rates).then(|| store::key(&group, client)),
                }
            };
        let rates = config.limits.rates();
        let access = (!rates.is_empty()).then(|| allotment(holder, None, rates, previous));
        let accounts = config.clients.service_accounts.iter();
        let accounts = accounts.flat_map(|accounts| &accounts.subjects);
        let accounts = accounts.map(|subject| {
            let name = Caller::name_of_account(&subject.namespace, &subject.name);
            (name, subject.limits)
        });
        let keys = keys.map(|key| (Caller::name_of_key(key), config.clients.api_key_limits));
        let clients = accounts
            .chain(keys)
            .filter(|(_, rates)| !rates.is_empty())
            .map(|(name, rates)| {
                let holder = Holder::Client(name.clone());
                let allotment = allotment(holder, Some(&name), rates, previous);
                (name, allotment)
            })
            .collect();
        let known = previous.and_then(|previous| previous.store.as_ref());
        let store = match &config.limits.store {
            None => None,
            Some(wanted) => Some(match known {
                Some(known) if known.is_of(&wanted.redis) => Arc::clone(known),
                _ => Arc::new(Store::start(&wanted.redis, Arc::clone(metrics))?),
            }),
        };
        Ok(Self {
            access,
            clients,
            store,
        })
    }

    /// Whether nothing is limited.
    pub(crate) fn is_empty(&self) -> bool {
        self.access.is_none() && self.clients.is_empty()
    }

    /// Whether the store answers; `None` where there is none.
    pub(crate) fn store_is_up(&self) -> Option<bool> {
        self.store.as_ref().map(|store| store.is_up())
    }

    /// Takes a request of a client, if each limit allows it, and says how they stand then.
    ///
    /// # Errors
    /// The limit that frees last.
    pub(crate) async fn admit(
        &self,
        client: &str,
        clock: &SharedTimeSource,
    ) -> (Report, Result<Admission, OverLimit>) {
        let holders: Holders<'_> = [self.access.as_ref(), self.clients.get(client)];
        let mut crowded = None;
        let places = holders.map(|holder| {
            let allotment = holder?;
            let limit = allotment.rates.concurrent_requests;
            let place = allotment.meter.enter(limit);
            if let (None, Some(limit)) = (&place, limit) {
                let one = OverLimit::crowded(&allotment.holder, limit);
                crowded = Some(one.or_longer(crowded.take()));
            }
            place
        });
        let (report, judged) = match crowded {
            // Others need not hear of it.
            Some(_) => own(holders, crowded, clock),
            None => match self.shared(holders, clock).await {
                Some(judged) => judged,
                None => own(holders, None, clock),
            },
        };
        let admission = judged.map(|()| Admission {
            places,
            keys: holders.map(|holder| holder?.key.clone()),
            store: self.store.clone(),
            clock: clock.clone(),
        });
        (report, admission)
    }

    /// Judges by the counts of all gateways; `None` where there are none, or their store does not answer.
    async fn shared(
        &self,
        holders: Holders<'_>,
        clock: &SharedTimeSource,
    ) -> Option<(Report, Result<(), OverLimit>)> {
        let store = self.store.as_ref()?;
        let asked = holders.map(|holder| {
            let allotment = holder?;
            Some((allotment.key.as_ref()?, &allotment.rates))
        });
        if asked.iter().all(Option::is_none) {
            return None;
        }
        let mut taken = store.take(asked).await?;
        let mut report = Report::new(taken.at);
        let mut refusal = None;
        for (allotment, counts) in holders.into_iter().zip(&mut taken.counts) {
            let (Some(allotment), Some(counts)) = (allotment, counts) else {
                continue;
            };
            let standings = counts.standings(&allotment.rates, taken.at);
            if !taken.free {
                for full in standings.filter(Standing::is_full) {
                    let full = OverLimit::full(&allotment.holder, full);
                    refusal = Some(full.or_longer(refusal.take()));
                }
            }
            report.add(counts.standings(&allotment.rates, taken.at));
        }
        if let Some(refusal) = refusal {
            return Some((report, Err(refusal)));
        }
        // For the time when the store does not answer.
        let now = clock.now();
        for allotment in holders.into_iter().flatten() {
            allotment.meter.counts().add_request(now);
        }
        Some((report, Ok(())))
    }
}

/// Judges by this gateway's own counts a request that may have been refused already.
fn own(
    holders: Holders<'_>,
    refused: Option<OverLimit>,
    clock: &SharedTimeSource,
) -> (Report, Result<(), OverLimit>) {
    let now = clock.now();
    let mut report = Report::new(now);
    let mut refusal = refused;
    // Always the access's lock before a client's; both for a few additions.
    let mut counted =
        holders.map(|holder| holder.map(|allotment| (allotment, allotment.meter.counts())));
    for (allotment, counts) in counted.iter_mut().flatten() {
        let standings = counts.standings(&allotment.rates, now);
        for full in standings.filter(Standing::is_full) {
            let full = OverLimit::full(&allotment.holder, full);
            refusal = Some(full.or_longer(refusal.take()));
        }
    }
    for (allotment, counts) in counted.iter_mut().flatten() {
        let counts: &mut Counts = counts;
        if refusal.is_none() {
            counts.add_request(now);
        }
        report.add(counts.standings(&allotment.rates, now));
    }
    (report, refusal.map_or(Ok(()), Err))
}

/// Whether anything is limited that is counted over a time.
fn counts_by_time(rates: &Rates) -> bool {
    let open_alone = Rates {
        concurrent_requests: rates.concurrent_requests,
        ..Rates::default()
    };
    *rates != open_alone
}

impl Admission {
    /// What the request used, once that is known.
    pub(crate) fn charge(&self, tokens: u64) {
        if tokens == 0 {
            return;
        }
        let now = self.clock.now();
        for place in self.places.iter().flatten() {
            place.meter().counts().add_tokens(tokens, now);
        }
        if let Some(store) = &self.store
            && self.keys.iter().any(Option::is_some)
        {
            store.charge(self.keys.clone(), tokens);
        }
    }
}

#[cfg(test)]
mod tests;
