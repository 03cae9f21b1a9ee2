//! What the tests share: one timeout setting, a gateway in front of a double, real clients.

pub(crate) mod clients;
pub(crate) mod gateway;
pub(crate) mod http;

use std::{future::Future, panic::Location, time::Duration};

use tokio::time::Instant;

/// How long an asynchronous expectation may take to come true.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Looks until `look` gives a value, for [`TIMEOUT`] at most; its `Err` says what was seen last.
#[track_caller]
pub(crate) fn eventually<T, F, Fut>(what: &str, mut look: F) -> impl Future<Output = T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let place = Location::caller();
    async move {
        let end = Instant::now() + TIMEOUT;
        let mut every = tokio::time::interval(LOOK_AGAIN);
        loop {
            every.tick().await;
            match look().await {
                Ok(value) => return value,
                Err(seen) if Instant::now() > end => {
                    panic!("{place}: {what}: not within {TIMEOUT:?}; last seen: {seen}")
                }
                Err(_) => {}
            }
        }
    }
}
