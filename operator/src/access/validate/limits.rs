//! Rate limits of a `BedrockAccess` and of its clients, size limits and timeouts.

use api::{
    config::{self, Budget, Rates, RedisStore, Shares, Store},
    names,
    v1alpha1::{
        BedrockAccessSpec,
        limits::{LimitsSpec, RatesSpec},
    },
};

use super::budgets;
use crate::settings::Settings;

/// Rate limits of all clients together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) rates: Rates,
    /// Budgets.
    pub(crate) budgets: Vec<Budget>,
    /// The key for shares of budgets without a store.
    pub(crate) shares: Option<Shares>,
    /// Requests in progress, if set.
    pub(crate) max_in_flight: Option<u32>,
    /// Size of a request body, if set.
    pub(crate) max_body_bytes: Option<u64>,
    /// Timeouts in seconds, if set.
    pub(crate) timeouts: Timeouts,
    /// Store of the counters that all gateways share.
    pub(crate) store: Option<Store>,
    /// Secret with the credentials of the store.
    pub(crate) store_secret: Option<String>,
}

/// Timeouts in seconds. A timeout that is not set has its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// Until the first event of a stream.
    first_token: Option<u64>,
    /// Between two events of a stream.
    stream_idle: Option<u64>,
    /// Of a whole response.
    total: Option<u64>,
}

impl Limits {
    /// The limits of one gateway, without a store.
    pub(crate) fn of_gateway(&self) -> config::Limits {
        let limits = config::Limits::default().with_rates(self.rates);
        let timeouts = self.timeouts;
        config::Limits {
            budgets: self.budgets.clone(),
            shares: self.shares.clone(),
            max_in_flight: self.max_in_flight,
            max_body_bytes: self.max_body_bytes.unwrap_or(limits.max_body_bytes),
            first_token_seconds: timeouts.first_token.unwrap_or(limits.first_token_seconds),
            stream_idle_seconds: timeouts.stream_idle.unwrap_or(limits.stream_idle_seconds),
            total_seconds: timeouts.total,
            ..limits
        }
    }
}

pub(super) fn limits(spec: &BedrockAccessSpec, settings: &Settings) -> Limits {
    Limits {
        shares: budgets::need_shares(spec).then(|| Shares {
            public_key: settings.share_public_key.clone(),
        }),
        ..spec.limits.as_ref().map(of_access).unwrap_or_default()
    }
}

fn of_access(spec: &LimitsSpec) -> Limits {
    let redis = spec.store.as_ref().map(|store| &store.redis);
    let secret = redis.and_then(|redis| redis.secret_name.clone());
    Limits {
        rates: Rates::from(&spec.rates),
        budgets: budgets::budgets(&spec.rates.budgets),
        shares: None,
        max_in_flight: spec.max_in_flight,
        max_body_bytes: spec.max_body_bytes,
        timeouts: Timeouts {
            first_token: spec.first_token_seconds,
            stream_idle: spec.stream_idle_seconds,
            total: spec.total_seconds,
        },
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
