//! Protects the console from web pages of other sites. Pure.
//!
//! Without a token a request gets no data, and a browser adds none by itself. These checks are the second line: a page of
//! another site can send requests to a port of the visitor's machine, and after DNS rebinding it could read the page.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Uri, header, uri::Authority};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request may come from another site; none if it does not.
pub(super) fn foreign(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(&header::HOST).or_else(|| uri.authority().map(Authority::as_str));
    let Some(host) = host.filter(|host| is_loopback(host)) else {
        let host = host.unwrap_or_default();
        return Some(format!(
            "Host {host:?} is not this machine. Fix: use kubectl port-forward, and open http://localhost with its port"
        ));
    };
    if let Some(origin) = text(&header::ORIGIN)
        && origin.strip_prefix("http://") != Some(host)
    {
        return Some(format!("Origin {origin:?} is not http://{host}"));
    }
    // `none`: the user entered the URL.
    match text(&SEC_FETCH_SITE) {
        None | Some("same-origin" | "none") => None,
        Some(site) => Some(format!(
            "Sec-Fetch-Site is {site:?}: another site sent this request. Fix: enter the URL of the console in the browser"
        )),
    }
}

/// Whether a host, with or without a port, is the name or an address of this machine.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let is_address = bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    !authority.as_str().contains('@') && (is_address || name.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(pairs: &[(&'static str, &'static str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        foreign(&headers, &Uri::from_static("/"))
    }

    #[test]
    fn own_page_and_programs_on_this_machine_pass() {
        for pairs in [
            &[("host", "localhost:8083")][..],
            &[("host", "127.0.0.1:9000"), ("sec-fetch-site", "none")],
            &[
                ("host", "[::1]:8083"),
                ("origin", "http://[::1]:8083"),
                ("sec-fetch-site", "same-origin"),
            ],
        ] {
            assert_eq!(of(pairs), None, "{pairs:?}");
        }
    }

    #[test]
    fn other_sites_and_other_names_are_rejected() {
        for (pairs, part) in [
            (&[][..], "Host"),
            (&[("host", "evil.example:8083")], "Host"),
            (&[("host", "localhost.evil.example")], "Host"),
            (&[("host", "10.0.0.1:8083")], "Host"),
            (&[("host", "localhost@evil.example")], "Host"),
            (
                &[
                    ("host", "localhost:8083"),
                    ("origin", "http://localhost:3000"),
                ],
                "Origin",
            ),
            (&[("host", "localhost:8083"), ("origin", "null")], "Origin"),
            (
                &[("host", "localhost:8083"), ("sec-fetch-site", "same-site")],
                "Sec-Fetch-Site",
            ),
            (
                &[("host", "localhost:8083"), ("sec-fetch-site", "cross-site")],
                "Sec-Fetch-Site",
            ),
        ] {
            let message = of(pairs).unwrap_or_else(|| panic!("{pairs:?} passed"));
            assert!(message.starts_with(part), "{message}");
        }
    }
}
