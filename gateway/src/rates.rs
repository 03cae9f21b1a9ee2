//! How much may be asked for in a time, by all clients of an access together and by each. Part of step 2, once it is
//! known who calls.
//!
//! A request is taken while the counts are below each limit that holds for it; its tokens are charged when its
//! account closes, since how many they are is known only then. Counts belong to names, not to a configuration,
//! so that a reload keeps them. What a request looks up was made at load.

mod counts;
pub(crate) mod headers;
mod meter;
mod refusal;

use std::{collections::HashMap, sync::Arc};

use api::{GatewayConfig, config::Rates};
use credentials::SharedTimeSource;

use crate::authenticate::Caller;
use counts::Standing;
use headers::Report;
use meter::{Meter, Place};
use refusal::Holder;
pub use refusal::OverLimit;

/// The limits of a configuration, each with what was used of it.
#[derive(Debug, Default)]
pub(crate) struct Allotments {
    access: Option<Allotment>,
    clients: HashMap<String, Allotment>,
}

/// Limits of an access or of a client.
#[derive(Debug)]
struct Allotment {
    holder: Holder,
    rates: Rates,
    meter: Arc<Meter>,
}

/// A request that was taken: its places among the open ones, and where its tokens go.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Of the access, and of the client.
    places: [Option<Place>; 2],
    clock: SharedTimeSource,
}

impl Allotments {
    /// The limits of a configuration for clients with keys of these names; what was counted for a name in
    /// `previous` goes on.
    pub(crate) fn compile<'a>(
        config: &GatewayConfig,
        keys: impl Iterator<Item = &'a str>,
        previous: Option<&Self>,
    ) -> Self {
        let known = |allotment: Option<&Allotment>| {
            allotment
                .map(|one| Arc::clone(&one.meter))
                .unwrap_or_default()
        };
        let rates = config.limits.rates();
        let access = (!rates.is_empty()).then(|| Allotment {
            holder: Holder::of(config.access.as_ref()),
            rates,
            meter: known(previous.and_then(|previous| previous.access.as_ref())),
        });
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
                let before = previous.and_then(|previous| previous.clients.get(&name));
                let allotment = Allotment {
                    holder: Holder::Client(name.clone()),
                    rates,
                    meter: known(before),
                };
                (name, allotment)
            })
            .collect();
        Self { access, clients }
    }

    /// Whether nothing is limited.
    pub(crate) fn is_empty(&self) -> bool {
        self.access.is_none() && self.clients.is_empty()
    }

    /// Takes a request of a client, if each limit allows it, and says how they stand then.
    ///
    /// # Errors
    /// The limit that frees last.
    pub(crate) fn admit(
        &self,
        client: &str,
        clock: &SharedTimeSource,
    ) -> (Report, Result<Admission, OverLimit>) {
        let now = clock.now();
        let holders = [self.access.as_ref(), self.clients.get(client)];
        let mut refusal = None;
        let places = holders.map(|holder| {
            let allotment = holder?;
            let limit = allotment.rates.concurrent_requests;
            let place = allotment.meter.enter(limit);
            if let (None, Some(limit)) = (&place, limit) {
                let crowded = OverLimit::crowded(&allotment.holder, limit);
                refusal = Some(crowded.or_longer(refusal.take()));
            }
            place
        });
        let mut report = Report::new(now);
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
            if refusal.is_none() {
                counts.add_request(now);
            }
            report.add(counts.standings(&allotment.rates, now));
        }
        let admission = match refusal {
            Some(refusal) => Err(refusal),
            None => Ok(Admission {
                places,
                clock: clock.clone(),
            }),
        };
        (report, admission)
    }
}

impl Admission {
    /// What the request used, once that is known.
    pub(crate) fn charge(&self, tokens: u64) {
        let now = self.clock.now();
        for place in self.places.iter().flatten() {
            place.meter().counts().add_tokens(tokens, now);
        }
    }
}

#[cfg(test)]
mod tests;
