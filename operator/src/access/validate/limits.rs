//! Rate limits of a `BedrockAccess` and of its clients.

use api::{
    config::{Rates, RedisStore, Store},
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
    /// Store of the counters that all gateways share.
    pub(crate) store: Option<Store>,
    /// Secret with the credentials of the store.
    pub(crate) store_secret: Option<String>,
}

pub(super) fn limits(spec: &BedrockAccessSpec) -> Limits {
    spec.limits.as_ref().map(of_access).unwrap_or_default()
}

fn of_access(spec: &LimitsSpec) -> Limits {
    let redis = spec.store.as_ref().map(|store| &store.redis);
    let secret = redis.and_then(|redis| redis.secret_name.clone());
    Limits {
        rates: Rates::from(&spec.rates),
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
