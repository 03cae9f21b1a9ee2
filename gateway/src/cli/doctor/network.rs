//! Whether the regional endpoints can be reached: name, connection, TLS, any answer; and the clock.

use std::time::{Duration, SystemTime};

use http::Uri;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::finding::Finding;
use crate::cli::aws::{
    Service,
    client::{self, Caller},
};

/// Signatures further from AWS's time than this are refused.
const REFUSED_SKEW: Duration = Duration::from_mins(5);
/// From here on it is worth a word.
const NOTABLE_SKEW: Duration = Duration::from_mins(1);

/// Goes as far towards a service as it gets. Also returns the `Date` of its answer.
pub(super) async fn endpoint(
    caller: &Caller,
    service: Service,
    base: &str,
    limit: Duration,
) -> (Finding, Option<String>) {
    let check = format!("endpoint:{}", service.title());
    let Some((host, port)) = place(base) else {
        let finding = Finding::error(
            check,
            format!("{base:?} is not the URL of a service"),
            "write it as https://HOST, without a path, in endpoints of the configuration or AWS_ENDPOINT_URL_…",
        );
        return (finding, None);
    };
    let private = format!(
        "allow egress to {host} on port {port}, or create a VPC endpoint for {} in private subnets",
        service.title()
    );
    let addresses = match within(limit, tokio::net::lookup_host((host.as_str(), port))).await {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(problem) => {
            let finding = Finding::error(
                check,
                format!("the name {host} does not resolve: {problem}"),
                format!(
                    "check that the region exists and has {}, and that DNS works here",
                    service.title()
                ),
            );
            return (finding, None);
        }
    };
    if let Err(problem) = within(limit, tokio::net::TcpStream::connect(addresses.as_slice())).await
    {
        let finding = Finding::error(
            check,
            format!("{host} does not take connections on port {port}: {problem}"),
            private,
        );
        return (finding, None);
    }
    match caller.probe(&format!("{base}/")).await {
        Ok(headers) => {
            let date = client::date(&headers).map(str::to_owned);
            (Finding::ok(check, format!("{base} answers")), date)
        }
        Err(error) => {
            let finding = Finding::error(
                check,
                format!("{host} takes connections and does not answer HTTP: {error}"),
                "look for something on the way that intercepts TLS; its certificate authority would have to be trusted here",
            );
            (finding, None)
        }
    }
}

async fn within<T>(
    limit: Duration,
    step: impl Future<Output = std::io::Result<T>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err(format!("nothing within {} s", limit.as_secs())),
    }
}

fn place(base: &str) -> Option<(String, u16)> {
    let uri: Uri = base.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    let standard = match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => return None,
    };
    Some((host, uri.port_u16().unwrap_or(standard)))
}

/// Compares the local clock with the `Date` of an answer.
pub(super) fn clock(date: &str, now: SystemTime) -> Option<Finding> {
    let server: SystemTime = OffsetDateTime::parse(date, &Rfc2822).ok()?.into();
    let (skew, direction) = match server.duration_since(now) {
        Ok(behind) => (behind, "behind"),
        Err(ahead) => (ahead.duration(), "ahead of"),
    };
    let seconds = skew.as_secs();
    let told = format!("the local clock is {seconds} s {direction} AWS's");
    let way_out = "synchronise this machine's clock (chrony or systemd-timesyncd; Amazon's time service is 169.254.169.123)";
    Some(if skew >= REFUSED_SKEW {
        Finding::error(
            "clock",
            format!(
                "{told}, which AWS refuses in signatures; the gateway corrects it, other tools will not"
            ),
            way_out,
        )
    } else if skew >= NOTABLE_SKEW {
        Finding::warning("clock", told, way_out)
    } else {
        Finding::ok("clock", told)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn the_clock_is_judged_by_how_far_it_is_off_either_way() {
        let server = "Sun, 06 Nov 1994 08:49:37 GMT";
        let at = |offset: i64| {
            let seconds = u64::try_from(784_111_777 + offset).unwrap();
            let finding = clock(
                server,
                SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            );
            finding.unwrap().level
        };
        assert_eq!(at(0), Level::Ok);
        assert_eq!(at(59), Level::Ok);
        assert_eq!(at(-61), Level::Warning);
        assert_eq!(at(301), Level::Error);
        assert_eq!(at(-4000), Level::Error);
        assert!(clock("yesterday", SystemTime::UNIX_EPOCH).is_none());
    }

    #[test]
    fn hosts_and_ports_are_read_from_urls() {
        assert_eq!(place("https://sts.x"), Some(("sts.x".to_owned(), 443)));
        assert_eq!(place("http://[::1]:8080"), Some(("::1".to_owned(), 8080)));
        assert_eq!(place("sts.x"), None);
    }
}
