//! Checks that the regional endpoints are reachable (DNS, TCP, TLS, HTTP), and the local clock.

use std::time::{Duration, SystemTime};

use http::Uri;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::finding::Finding;
use crate::cli::aws::{
    Service,
    client::{self, AwsClient},
};

/// AWS rejects signatures whose time differs by this much.
const REJECTED_SKEW: Duration = Duration::from_mins(5);
/// Clock skew that is a warning.
const WARNING_SKEW: Duration = Duration::from_mins(1);

/// Resolves, connects to and calls an endpoint. Also returns the `Date` of the response.
pub(super) async fn endpoint(
    client: &AwsClient,
    service: Service,
    base: &str,
    timeout: Duration,
) -> (Finding, Option<String>) {
    let check = format!("endpoint:{}", service.title());
    let Some((host, port)) = host_and_port(base) else {
        let finding = Finding::error(
            check,
            format!("{base:?} is not a valid service URL"),
            "use https://HOST, without a path, in endpoints of the configuration or in AWS_ENDPOINT_URL_…",
        );
        return (finding, None);
    };
    let allow_egress = format!(
        "allow egress to {host} on port {port}, or create a VPC endpoint for {} in private subnets",
        service.title()
    );
    let addresses = match within(timeout, tokio::net::lookup_host((host.as_str(), port))).await {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(problem) => {
            let finding = Finding::error(
                check,
                format!("failed to resolve {host}: {problem}"),
                format!(
                    "check that the region exists and offers {}, and that DNS works on this machine",
                    service.title()
                ),
            );
            return (finding, None);
        }
    };
    if let Err(problem) = within(
        timeout,
        tokio::net::TcpStream::connect(addresses.as_slice()),
    )
    .await
    {
        let finding = Finding::error(
            check,
            format!("{host} does not accept connections on port {port}: {problem}"),
            allow_egress,
        );
        return (finding, None);
    }
    match client.probe(&format!("{base}/")).await {
        Ok(headers) => {
            let date = client::date(&headers).map(str::to_owned);
            (Finding::ok(check, format!("{base} responds")), date)
        }
        Err(error) => {
            let finding = Finding::error(
                check,
                format!(
                    "{host} accepts connections but does not respond to HTTP requests: {error}"
                ),
                "check for a proxy that intercepts TLS; this machine must trust its certificate authority",
            );
            (finding, None)
        }
    }
}

async fn within<T>(
    timeout: Duration,
    step: impl Future<Output = std::io::Result<T>>,
) -> Result<T, String> {
    match tokio::time::timeout(timeout, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err(format!("timed out after {} s", timeout.as_secs())),
    }
}

fn host_and_port(base: &str) -> Option<(String, u16)> {
    let uri: Uri = base.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    let default_port = match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => return None,
    };
    Some((host, uri.port_u16().unwrap_or(default_port)))
}

/// Compares the local clock with the `Date` of a response.
pub(super) fn clock(date: &str, now: SystemTime) -> Option<Finding> {
    let server: SystemTime = OffsetDateTime::parse(date, &Rfc2822).ok()?.into();
    let (skew, direction) = match server.duration_since(now) {
        Ok(behind) => (behind, "behind"),
        Err(ahead) => (ahead.duration(), "ahead of"),
    };
    let seconds = skew.as_secs();
    let message = format!("the local clock is {seconds} s {direction} AWS time");
    let fix = "synchronize the clock of this machine (chrony or systemd-timesyncd; the Amazon Time Sync Service is 169.254.169.123)";
    Some(if skew >= REJECTED_SKEW {
        Finding::error(
            "clock",
            format!(
                "{message}, so AWS rejects signatures; the gateway corrects the difference, other tools do not"
            ),
            fix,
        )
    } else if skew >= WARNING_SKEW {
        Finding::warning("clock", message, fix)
    } else {
        Finding::ok("clock", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn clock_skew_in_either_direction_sets_the_level() {
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
    fn reads_host_and_port_of_a_url() {
        assert_eq!(
            host_and_port("https://sts.x"),
            Some(("sts.x".to_owned(), 443))
        );
        assert_eq!(
            host_and_port("http://[::1]:8080"),
            Some(("::1".to_owned(), 8080))
        );
        assert_eq!(host_and_port("sts.x"), None);
    }
}
