//! Images and files that a request references by URL. Disabled by default in the configuration.
//!
//! Without the proxy of the environment, which would resolve names itself. Guards against requests to internal addresses (SSRF): `https` on port 443, public addresses only (checked on the
//! addresses of the connection), no redirects, no headers of the client, limits of size, time and number, and a
//! matching media type. The dialects decide which fields may contain a URL.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use credentials::Proxies;
use dialects::translation::{Fetch, FetchKind, Fetched, RequestError};
use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use rustls::ClientConfig;

use crate::http::{
    client::{Pool, pool},
    error::{Result, causes},
    payload::Payload,
};

/// Maximum number of URLs in a request; Bedrock accepts 20 images.
const MAX_URLS: usize = 20;
/// Concurrent fetches of one request.
const CONCURRENCY: usize = 4;
/// Time limit for one URL, from DNS to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("bedrock-gateway/", env!("CARGO_PKG_VERSION"));

/// Fetches URLs within the guards.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Pool<Resolver>,
    guard: Guard,
}

/// The allowed addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// Public addresses, with `https` on port 443.
    Public,
    /// All, for tests with a server on loopback.
    #[cfg(test)]
    None,
}

/// Resolves a name to its allowed addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolver(Guard);

impl Fetcher {
    pub(crate) fn new(tls: ClientConfig) -> Self {
        Self::with_guard(tls, Guard::Public)
    }

    fn with_guard(tls: ClientConfig, guard: Guard) -> Self {
        Self {
            client: pool(
                HttpConnector::new_with_resolver(Resolver(guard)),
                tls,
                &Proxies::default(),
            ),
            guard,
        }
    }

    /// Fetches all URLs concurrently.
    ///
    /// # Errors
    /// 400 that names the field and the problem with its URL or response.
    pub(crate) async fn fetch_all(&self, fetches: &[Fetch]) -> Result<BTreeMap<String, Fetched>> {
        if let Some(beyond) = fetches.get(MAX_URLS) {
            let text = format!("at most {MAX_URLS} URLs are fetched for one request");
            return Err(RequestError::invalid(beyond.param.as_str(), text).into());
        }
        // Owned items: rustc cannot prove that futures over borrowed ones are Send.
        stream::iter(fetches.to_vec())
            .map(|fetch| self.fetch_with_timeout(fetch))
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await
    }

    async fn fetch_with_timeout(&self, fetch: Fetch) -> Result<(String, Fetched)> {
        let fetched = match tokio::time::timeout(TIMEOUT, self.fetch(&fetch)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(format!("no response within {} s", TIMEOUT.as_secs())),
        };
        match fetched {
            Ok(fetched) => Ok((fetch.url, fetched)),
            Err(message) => Err(RequestError::invalid(fetch.param, message).into()),
        }
    }

    async fn fetch(&self, fetch: &Fetch) -> Result<Fetched, String> {
        let url = self.guard.check(&fetch.url)?;
        let request = Request::get(url)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, accept(fetch.kind))
            .body(Payload::default())
            .map_err(|_| "is not a URL".to_owned())?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| format!("cannot be fetched: {}", causes(&error)))?;
        let status = response.status();
        if status.is_redirection() {
            return Err("is a redirect, and redirects are not followed: use the final URL".into());
        }
        if status != StatusCode::OK {
            return Err(format!("cannot be fetched: its server returned {status}"));
        }
        let content_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(ToOwned::to_owned);
        if !is_expected(fetch.kind, content_type.as_deref()) {
            return Err(format!(
                "is of type {:?}, expected {}",
                content_type.unwrap_or_default(),
                accept(fetch.kind)
            ));
        }
        let limit = usize::try_from(fetch.max_bytes).unwrap_or(usize::MAX);
        match Limited::new(response.into_body(), limit).collect().await {
            Ok(body) => Ok(Fetched {
                bytes: body.to_bytes().to_vec(),
                content_type,
            }),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(format!("is larger than {} bytes", fetch.max_bytes))
            }
            Err(_) => Err("was cut off while it was fetched".to_owned()),
        }
    }
}

impl Guard {
    fn check(self, text: &str) -> Result<Uri, String> {
        let url: Uri = text.parse().map_err(|_| "is not a URL".to_owned())?;
        let authority = url.authority().ok_or("is not a URL")?;
        if authority.as_str().contains('@') {
            return Err("must not contain a user name".to_owned());
        }
        if self == Self::Public {
            if url.scheme_str() != Some("https") || authority.port_u16().is_some_and(|p| p != 443) {
                return Err("must be an https:// URL on port 443".to_owned());
            }
            let host = authority.host().trim_matches(['[', ']']);
            // The resolver checks names, but it never sees addresses.
            if let Ok(address) = host.parse::<IpAddr>()
                && !is_public(address)
            {
                return Err("points to an address that is not public".to_owned());
            }
        }
        Ok(url)
    }

    fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            #[cfg(test)]
            Self::None => true,
        }
    }
}

impl tower::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|address| guard.allows(address.ip()))
                .collect();
            if found.is_empty() {
                return Err(io::Error::other("the name has no public address"));
            }
            Ok(found.into_iter())
        })
    }
}

fn accept(kind: FetchKind) -> &'static str {
    match kind {
        FetchKind::Image => "image/*",
        FetchKind::Video => "video/*",
        FetchKind::File => "*/*",
    }
}

fn is_expected(kind: FetchKind, content_type: Option<&str>) -> bool {
    let starts = |prefix| content_type.is_some_and(|text| text.starts_with(prefix));
    match kind {
        FetchKind::Image => starts("image/"),
        FetchKind::Video => starts("video/"),
        FetchKind::File => content_type.is_some(),
    }
}

/// Whether an address belongs to the public internet, by the registries of special-purpose addresses
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>, `…ipv6…`).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || matches!(a, 0 | 224..)
        || matches!((a, b), (100, 64..=127) | (198, 18..=19))
        || matches!((a, b, c), (192, 0, 0) | (192, 88, 99));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Mapped and NAT64 addresses contain an IPv4 address, which decides.
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let segments = address.segments();
    let [first, second, ..] = segments;
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = segments {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Global unicast without Teredo and its neighbours, documentation and 6to4.
    (first & 0xe000) == 0x2000
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && first != 0x2002
        && first != 0x3fff
}

#[cfg(test)]
mod tests;
