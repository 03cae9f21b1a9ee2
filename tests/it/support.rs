//! Shared by the tests: timeout, lane, a gateway with a double, real clients, agents.

pub(crate) mod agents;
pub(crate) mod browser;
pub(crate) mod clients;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod lane;

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    panic::Location,
    time::Duration,
};

use tokio::time::Instant;

/// Longest time until an asynchronous expectation is met.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Polls until `look` returns a value, for [`TIMEOUT`] at most; its `Err` describes the last state.
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

/// An address on loopback that nothing listens on.
pub(crate) fn free_address() -> SocketAddr {
    let [port] = localcluster::free_ports().unwrap();
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A program that the workspace builds, beside this one.
pub(crate) fn program(name: &str) -> String {
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join(name);
    assert!(
        path.is_file(),
        "{} is missing: run cargo build --workspace --bins",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}
