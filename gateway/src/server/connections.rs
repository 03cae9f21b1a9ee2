//! The open connections of a port: their maximum, and which connection is closed when it is reached.
//!
//! At the maximum, a new connection replaces the oldest one without a request, so that silent connections do not block
//! clients. The maximum leaves descriptors for the admin port and for connections to AWS.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::{body::Incoming, service::Service};
use tokio_util::sync::CancellationToken;

use super::{
    failures::{Failures, Penalty},
    router::App,
};
use crate::{
    http::held::Held,
    measure::{self, Step},
};

/// Connections of the admin port.
pub(super) const MAX_ADMIN: usize = 64;
/// Descriptors for everything except clients and AWS: files, the admin port, the trace collector.
const RESERVED: usize = MAX_ADMIN + 32;
/// The limit of descriptors where it cannot be read: the usual one of macOS.
const USUAL_LIMIT: usize = 256;
/// Least number of connections.
const LEAST: usize = 16;

/// The open connections of a port.
#[derive(Debug)]
pub(super) struct Connections {
    max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// In the order of their arrival.
    entries: BTreeMap<u64, Arc<Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Requests whose response is not sent yet.
    requests: AtomicUsize,
    closing: CancellationToken,
}

/// A place among the connections; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    entry: Arc<Entry>,
}

/// A request in progress on a connection.
#[derive(Debug)]
pub(super) struct InProgress(Arc<Entry>);

/// The client of a connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// None for a client of the Unix socket.
    pub(super) address: Option<IpAddr>,
    pub(super) failures: Arc<Failures>,
}

impl Connections {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            open: Mutex::default(),
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection; none if all connections have requests.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open();
        if open.entries.len() >= self.max {
            let is_idle = |entry: &Arc<Entry>| entry.requests.load(Ordering::Acquire) == 0;
            let idle = open.entries.iter().find(|(_, entry)| is_idle(entry));
            let id = idle.map(|(id, _)| *id)?;
            if let Some(entry) = open.entries.remove(&id) {
                entry.closing.cancel();
            }
        }
        let id = open.next;
        open.next = id.wrapping_add(1);
        let entry = Arc::<Entry>::default();
        open.entries.insert(id, Arc::clone(&entry));
        Some(Place {
            connections: Arc::clone(self),
            id,
            entry,
        })
    }
}

impl Place {
    /// Completes when another connection needs the place.
    pub(super) async fn closing(&self) {
        self.entry.closing.cancelled().await;
    }

    /// The service of this connection.
    pub(super) fn service(&self, app: App, client: Client) -> Counted {
        Counted {
            app,
            entry: Arc::clone(&self.entry),
            client,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open().entries.remove(&self.id);
    }
}

impl InProgress {
    fn new(entry: &Arc<Entry>) -> Self {
        entry.requests.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(entry))
    }

    /// Delays a rejection if its client has failed too often. The connection counts as idle meanwhile, so that
    /// rejected clients do not keep others out.
    async fn slowed(
        self,
        client: &Client,
        response: &mut Response<Body>,
        version: Version,
    ) -> Self {
        let rejected = response.status() == StatusCode::UNAUTHORIZED;
        let Some(address) = client.address.filter(|_| rejected) else {
            return self;
        };
        match client.failures.count(address) {
            Penalty::Delay(delay) => {
                let entry = Arc::clone(&self.0);
                drop(self);
                delay.wait().await;
                return Self::new(&entry);
            }
            // A connection of HTTP/2 may belong to a proxy with other clients.
            Penalty::Close if version < Version::HTTP_2 => {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Penalty::None | Penalty::Close => {}
        }
        self
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Counts the requests of a connection.
#[derive(Debug)]
pub(super) struct Counted {
    app: App,
    entry: Arc<Entry>,
    client: Client,
}

type Outcome = Result<Response<Held<InProgress>>, Infallible>;

impl Service<Request<Incoming>> for Counted {
    type Response = Response<Held<InProgress>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_progress = InProgress::new(&self.entry);
        let version = request.version();
        let app = self.app.clone();
        let client = self.client.clone();
        Box::pin(measure::part(Step::Middleware, async move {
            let mut response = app.respond(request.map(Body::new), client.address).await?;
            let in_progress = in_progress.slowed(&client, &mut response, version).await;
            Ok(response.map(|body| Held::new(body, in_progress)))
        }))
    }
}

/// The number of connections that the limit of descriptors permits: half of them, since each request needs another one
/// to AWS.
pub(super) fn permitted() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = soft_limit(&limits).unwrap_or(USUAL_LIMIT);
    limit.saturating_sub(RESERVED).div_euclid(2).max(LEAST)
}

/// The soft limit of open files in the format of `/proc/self/limits`.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_cap_the_oldest_connection_without_a_request_gives_way() {
        let connections = Connections::new(2);
        let first = connections.enter().unwrap();
        let busy = InProgress::new(&first.entry);
        let second = connections.enter().unwrap();
        let third = connections.enter().unwrap();
        assert!(second.entry.closing.is_cancelled());
        assert!(!first.entry.closing.is_cancelled() && !third.entry.closing.is_cancelled());
        drop(second);
        assert_eq!(connections.open().entries.len(), 2);
        third.entry.requests.fetch_add(1, Ordering::AcqRel);
        assert!(connections.enter().is_none(), "all have requests");
        drop(busy);
        assert!(connections.enter().is_some());
        assert!(first.entry.closing.is_cancelled());
    }

    #[test]
    fn half_of_the_descriptors_are_for_clients() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(
            soft_limit("Max open files   unlimited unlimited files"),
            Some(usize::MAX)
        );
        assert_eq!(soft_limit(""), None);
        assert!(permitted() >= LEAST);
    }
}
