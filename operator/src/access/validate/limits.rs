//! Rate limits of a `BedrockAccess` and of its clients.

use api::{
    config::{self, Rates, RedisStore, Store},
    names,
    v1alpha1::{
        BedrockAccessSpec,
        limits::{LimitsSpec, RatesSpec},
    },
};

/// Rate limits of all clients together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) rates: Rates,
    /// Requests in progress, if set.
    pub(crate) max_in_flight: Option<u32>,
    /// Size of a request body, if set.
    pub(crate) max_body_bytes: Option<u64>,
    /// Store of the counters that all gateways share.
    pub(crate) store: Option<Store>,
    /// Secret with the credentials of the store.
    pub(crate) store_secret: Option<String>,
}

impl Limits {
    /// The limits of one gateway, without a store.
    pub(crate) fn of_gateway(&self) -> config::Limits {
        let limits = config::Limits::default().with_rates(self.rates);
        config::Limits {
            max_in_flight: self.max_in_flight,
            max_body_bytes: self.max_body_bytes.unwrap_or(limits.max_body_bytes),
            ..limits
        }
    }
}

pub(super) fn limits(spec: &BedrockAccessSpec) -> Limits {
    spec.limits.as_ref().map(of_access).unwrap_or_default()
}

fn of_access(spec: &LimitsSpec) -> Limits {
    let redis = spec.store.as_ref().map(|store| &store.redis);
    let secret = redis.and_then(|redis| redis.secret_name.clone());
    Limits {
        rates: Rates::from(&spec.rates),
        max_in_flight: spec.max_in_flight,
        max_body_bytes: spec.max_body_bytes,
        store: redis.map(|redis| Store {
            redis: RedisStore {
                url: redis.url.clone(),
                credentials_directory: secret
                    .as_ref()
                    .map(|_| names::LIMIT_STORE_DIRECTORY.to_owned()),
            },
        }),
        store_secret: secret,
    }
}

pub(super) fn of_client(spec: Option<&RatesSpec>) -> Rates {
    spec.map(Rates::from).unwrap_or_default()
}
