//! Protects a gateway without client authentication on this machine from web pages. Pure.
//!
//! A page of any site can send requests to a port of the visitor's machine, and after DNS rebinding it can read the
//! responses. Browsers state the site in `Origin` and `Sec-Fetch-Site`, and the name that they resolved in `Host`.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName, Uri, header, uri::Authority};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The fix, at the end of each message.
const FIX: &str = "without client authentication, this gateway serves programs on this machine only; to serve others, \
    set an API key (--api-key-file or BEDROCK_GATEWAY_API_KEY)";

/// Why a request may come from a foreign web page; none if it does not.
pub(crate) fn foreign(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(&header::HOST).or_else(|| uri.authority().map(Authority::as_str));
    if let Some(host) = host
        && !is_local_host(host)
    {
        return Some(format!(
            "Host {host:?} is not localhost or an IP address: {FIX}"
        ));
    }
    let origin = text(&header::ORIGIN);
    if let Some(origin) = origin
        && !is_local_origin(origin)
    {
        return Some(format!("Origin {origin:?} is not this machine: {FIX}"));
    }
    // A request of a desktop application is cross-site, too, and states its own scheme.
    if origin.is_none_or(is_web) && text(&SEC_FETCH_SITE) == Some("cross-site") {
        return Some(format!("Sec-Fetch-Site is cross-site: {FIX}"));
    }
    None
}

/// Whether a host, with or without a port, is this machine's name or an address. Only names can be rebound.
fn is_local_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    is_local_name(authority.host()) || address(authority.host()).is_some()
}

fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Whether an origin is a page on this machine, or a desktop application, whose scheme web pages cannot have.
fn is_local_origin(origin: &str) -> bool {
    if origin == "null" {
        return false;
    }
    if !is_web(origin) {
        return origin.contains("://");
    }
    let uri: Option<Uri> = origin.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    is_local_name(host) || address(host).is_some_and(|address| address.is_loopback())
}

fn is_web(origin: &str) -> bool {
    let scheme = origin
        .split_once("://")
        .map_or(origin, |(scheme, _)| scheme);
    ![
        "app",
        "file",
        "tauri",
        "vscode-webview",
        "vscode-file",
        "chrome-extension",
        "moz-extension",
    ]
    .contains(&scheme)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(pairs: &[(&'static str, &'static str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_static(name);
            headers.insert(name, HeaderValue::from_static(value));
        }
        foreign(&headers, &Uri::from_static("/v1/models"))
    }

    #[test]
    fn programs_and_pages_on_this_machine_pass() {
        for pairs in [
            &[][..],
            &[("host", "localhost:8000")],
            &[("host", "LOCALHOST.")],
            &[("host", "bedrock.localhost:8000")],
            &[("host", "127.0.0.1:8000")],
            &[("host", "10.1.2.3")],
            &[("host", "[::1]:8000")],
            &[
                ("host", "localhost:8000"),
                ("origin", "http://localhost:3000"),
                ("sec-fetch-site", "same-site"),
            ],
            &[
                ("host", "localhost"),
                ("origin", "https://127.0.0.1"),
                ("sec-fetch-site", "cross-site-not"),
            ],
            &[("host", "localhost"), ("origin", "http://[::1]:5173")],
            &[
                ("host", "localhost"),
                ("origin", "vscode-webview://a1b2"),
                ("sec-fetch-site", "cross-site"),
            ],
            &[("host", "localhost"), ("sec-fetch-site", "none")],
        ] {
            assert_eq!(of(pairs), None, "{pairs:?}");
        }
    }

    #[test]
    fn foreign_pages_are_named_with_the_fix() {
        for (pairs, part) in [
            (&[("host", "evil.example:8000")][..], "Host"),
            (&[("host", "localhost.evil.example")], "Host"),
            (&[("host", "127.0.0.1.evil.example")], "Host"),
            (&[("host", "evillocalhost")], "Host"),
            (&[("host", "localhost@evil.example")], "Host"),
            (&[("host", "")], "Host"),
            (
                &[("host", "localhost"), ("origin", "https://evil.example")],
                "Origin",
            ),
            (
                &[
                    ("host", "localhost"),
                    ("origin", "http://localhost.evil.example"),
                ],
                "Origin",
            ),
            (
                &[("host", "localhost"), ("origin", "http://192.168.1.9")],
                "Origin",
            ),
            (&[("host", "localhost"), ("origin", "null")], "Origin"),
            (
                &[
                    ("host", "localhost"),
                    ("origin", "blob:https://evil.example"),
                ],
                "Origin",
            ),
            (
                &[("host", "localhost"), ("sec-fetch-site", "cross-site")],
                "Sec-Fetch-Site",
            ),
            (
                &[
                    ("host", "localhost"),
                    ("origin", "http://localhost"),
                    ("sec-fetch-site", "cross-site"),
                ],
                "Sec-Fetch-Site",
            ),
        ] {
            let message = of(pairs).unwrap_or_else(|| panic!("{pairs:?} passed"));
            assert!(
                message.starts_with(part) && message.contains("--api-key-file"),
                "{message}"
            );
        }
    }

    #[test]
    fn the_authority_of_http_2_counts_as_host() {
        let uri = Uri::from_static("http://evil.example/v1/models");
        assert!(foreign(&HeaderMap::new(), &uri).is_some());
    }
}
