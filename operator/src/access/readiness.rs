//! Queries the readiness of gateway pods, so that `kubectl describe` can show, for example, a wrong trust policy.
//!
//! One short GET of `/readyz` on the pod's admin port. The response is data from the pod, so it is truncated and
//! sanitized before it becomes part of a status.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use api::{
    names,
    shares::{self, Grants, ShareReport},
    spend::SpendReport,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::share_key::ShareKey;

/// Largest response body that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Largest page of metrics that is read, in bytes.
const MAX_METRICS_BYTES: usize = 1024 * 1024;
/// Longest message that becomes part of a condition, in characters.
const MAX_CHARACTERS: usize = 600;
/// Maximum concurrent requests of the whole process.
const AT_ONCE: usize = 64;
/// The reason that a gateway reports while it waits for its first credentials.
const PENDING: &str = "Pending";

/// The readiness that a gateway reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Whether it accepts requests.
    pub(crate) ready: bool,
    /// A stable word, valid as a condition's reason.
    pub(crate) reason: String,
    /// A sentence for people.
    pub(crate) message: String,
    /// The roles that targets assume.
    pub(crate) roles: Vec<RoleReport>,
    /// The targets that it has ejected.
    pub(crate) ejected: Vec<EjectedTarget>,
    /// What it has spent; gateways of version 0.2 and earlier do not report it.
    pub(crate) spend: Option<SpendReport>,
    /// Its shares of budgets; none with a store or without budgets.
    pub(crate) shares: Option<ShareReport>,
}

/// A target that a gateway has ejected because it fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EjectedTarget {
    pub(crate) model: String,
    pub(crate) region: String,
    /// Empty without a role.
    #[serde(default)]
    pub(crate) role: String,
    /// Length of the ejection.
    #[serde(default)]
    pub(crate) for_seconds: u64,
}

/// The credentials of one role, as a gateway reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleReport {
    /// Its ARN.
    pub(crate) role: String,
    /// Whether the gateway has credentials for it.
    pub(crate) ready: bool,
    /// See [`Report::reason`].
    pub(crate) reason: String,
    /// See [`Report::message`].
    pub(crate) message: String,
}

impl RoleReport {
    /// Whether an attempt to assume the role failed.
    pub(crate) fn is_refused(&self) -> bool {
        !self.ready && self.reason != PENDING
    }
}

/// Queries gateways; a trait, so that tests need no network.
pub(crate) trait Readiness: Send + Sync + fmt::Debug {
    /// The report of the gateway at this address; `None` if it does not respond in time. Without a port, the default
    /// admin port is used.
    fn query(&self, address: IpAddr, port: Option<u16>) -> BoxFuture<'_, Option<Report>>;

    /// Sends shares of budgets to the gateway at this address. One that does not get them reports earlier ones.
    fn grant(&self, address: IpAddr, grants: Grants) -> BoxFuture<'_, ()>;
}

/// Queries over HTTP.
#[derive(Debug)]
pub(crate) struct HttpReadiness {
    client: Client<HttpConnector, Full<Bytes>>,
    permits: Arc<Semaphore>,
    port: u16,
    timeout: Duration,
    /// Signs shares of budgets.
    key: Option<ShareKey>,
}

#[derive(Deserialize)]
struct ReadyzResponse {
    #[serde(flatten)]
    status: ReadyzStatus,
    #[serde(default)]
    roles: Vec<RoleStatus>,
    #[serde(default)]
    ejected: Vec<EjectedTarget>,
    #[serde(default)]
    spend: Option<SpendReport>,
    #[serde(default)]
    shares: Option<ShareReport>,
}

#[derive(Deserialize)]
struct RoleStatus {
    role: String,
    #[serde(flatten)]
    status: ReadyzStatus,
}

#[derive(Deserialize)]
struct ReadyzStatus {
    ready: bool,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl HttpReadiness {
    pub(crate) fn new(port: u16, timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(timeout));
        Self {
            // No idle connections: pods come and go, and one request per minute does not need one.
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            port,
            timeout,
            key: None,
        }
    }

    /// Signs shares of budgets with this key.
    pub(crate) fn signing_with(self, key: ShareKey) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    /// The metrics of the gateway at this address; `None` if it does not respond in time. For the port, see
    /// [`Readiness::query`].
    pub(crate) async fn metrics(&self, address: IpAddr, port: Option<u16>) -> Option<String> {
        let path = names::GATEWAY_METRICS_PATH;
        let page = self.get(address, port, path, MAX_METRICS_BYTES).await?;
        String::from_utf8(page.to_vec()).ok()
    }

    /// The body of a response of at most `max` bytes.
    async fn get(
        &self,
        address: IpAddr,
        port: Option<u16>,
        path: &str,
        max: usize,
    ) -> Option<Bytes> {
        let authority = std::net::SocketAddr::new(address, port.unwrap_or(self.port));
        let request = http::Request::get(format!("http://{authority}{path}"))
            .body(Full::default())
            .ok()?;
        self.fetch(request, max).await
    }

    /// The body of the response to a request.
    async fn fetch(&self, request: http::Request<Full<Bytes>>, max: usize) -> Option<Bytes> {
        let _permit = self.permits.acquire().await.ok()?;
        let fetch = async {
            let response = self.client.request(request).await.ok()?;
            let body = Limited::new(response.into_body(), max).collect().await;
            Some(body.ok()?.to_bytes())
        };
        tokio::time::timeout(self.timeout, fetch).await.ok()?
    }
}

impl Readiness for HttpReadiness {
    fn query(&self, address: IpAddr, port: Option<u16>) -> BoxFuture<'_, Option<Report>> {
        Box::pin(async move { parse(&self.get(address, port, "/readyz", MAX_BYTES).await?) })
    }

    fn grant(&self, address: IpAddr, grants: Grants) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let body = serde_json::to_vec(&grants).unwrap_or_default();
            let Some(key) = &self.key else { return };
            let authority = std::net::SocketAddr::new(address, self.port);
            let request = http::Request::post(format!("http://{authority}{}", shares::PATH))
                .header(shares::SIGNATURE, key.sign(&body))
                .body(Full::from(body));
            if let Ok(request) = request {
                self.fetch(request, MAX_BYTES).await;
            }
        })
    }
}

fn parse(body: &[u8]) -> Option<Report> {
    let ReadyzResponse {
        status,
        roles,
        ejected,
        spend,
        shares,
    } = serde_json::from_slice(body).ok()?;
    let (ready, reason, message) = status.sanitized();
    let roles = roles.into_iter().map(|RoleStatus { role, status }| {
        let (ready, reason, message) = status.sanitized();
        RoleReport {
            role,
            ready,
            reason,
            message,
        }
    });
    Some(Report {
        ready,
        reason,
        message,
        roles: roles.collect(),
        ejected,
        spend: spend.filter(is_plausible),
        shares: shares.filter(is_named),
    })
}

/// Whether the dates have their form: they become part of the status.
fn is_plausible(spend: &SpendReport) -> bool {
    let is_date = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
    };
    is_date(&spend.today.date, "2026-11-29".len()) && is_date(&spend.month.date, "2026-11".len())
}

/// Whether the name of the process has its form: it becomes part of the status.
fn is_named(report: &ShareReport) -> bool {
    let process = report.process.as_bytes();
    process.len() == 16 && process.iter().all(u8::is_ascii_hexdigit)
}

impl ReadyzStatus {
    /// Ready, reason and message, valid in a condition.
    fn sanitized(self) -> (bool, String, String) {
        let fallback = if self.ready { "Ready" } else { "NotReady" };
        let reason = self
            .reason
            .filter(|reason| is_reason(reason))
            .unwrap_or_else(|| fallback.to_owned());
        let message = self
            .message
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_CHARACTERS)
            .collect();
        (self.ready, reason, message)
    }
}

/// Whether the API server accepts the text as a condition's reason: `^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`.
pub(super) fn is_reason(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::{Router, http::StatusCode, routing::get};

    use super::*;

    async fn gateway(status: StatusCode, body: &'static str) -> u16 {
        let routes = Router::new().route("/readyz", get(move || async move { (status, body) }));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        port
    }

    async fn query(port: u16) -> Option<Report> {
        HttpReadiness::new(port, Duration::from_secs(2))
            .query(Ipv4Addr::LOCALHOST.into(), None)
            .await
    }

    #[tokio::test]
    async fn reads_the_reason_of_a_gateway_that_is_not_ready() {
        let port = gateway(
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"ready":false,"reason":"InvalidIdentityToken","message":"no provider\nfound"}"#,
        )
        .await;
        let report = query(port).await.unwrap();
        assert_eq!(report.reason, "InvalidIdentityToken");
        assert_eq!(report.message, "no provider found");
        assert!(!report.ready);
    }

    #[tokio::test]
    async fn gateway_that_refuses_connections_gives_no_report() {
        assert_eq!(query(1).await, None);
    }

    #[tokio::test]
    async fn silent_gateway_times_out() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let readiness = HttpReadiness::new(port, Duration::from_millis(50));
        assert_eq!(
            readiness.query(Ipv4Addr::LOCALHOST.into(), None).await,
            None
        );
    }

    #[test]
    fn reason_that_is_not_valid_in_a_condition_is_replaced() {
        for body in [
            r#"{"ready":false,"reason":"two words"}"#,
            r#"{"ready":false,"reason":""}"#,
            r#"{"ready":false}"#,
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap().reason, "NotReady", "{body}");
        }
        assert_eq!(parse(b"<html>"), None);
    }

    #[test]
    fn reads_target_roles_with_their_reasons() {
        let body = br#"{"ready":true,"method":"web-identity","roles":[
            {"role":"arn:aws:iam::210987654321:role/A","ready":true},
            {"role":"arn:aws:iam::210987654321:role/B","ready":false,"reason":"AccessDenied","message":"no\ttrust"},
            {"role":"arn:aws:iam::210987654321:role/C","ready":false,"reason":"Pending"}]}"#;
        let report = parse(body).unwrap();
        assert!(report.ready);
        let refused: Vec<bool> = report.roles.iter().map(RoleReport::is_refused).collect();
        assert_eq!(refused, [false, true, false]);
        let refused = &report.roles[1];
        assert_eq!(
            (refused.reason.as_str(), refused.message.as_str()),
            ("AccessDenied", "no trust")
        );
    }

    #[test]
    fn reads_ejected_targets() {
        let body = br#"{"ready":true,"method":"env","ejected":[{"model":"m","region":"us-east-1","seconds":3,"forSeconds":80}]}"#;
        let expected = EjectedTarget {
            model: "m".to_owned(),
            region: "us-east-1".to_owned(),
            role: String::new(),
            for_seconds: 80,
        };
        assert_eq!(parse(body).unwrap().ejected, [expected]);
    }

    #[test]
    fn long_message_is_truncated() {
        let body = format!(r#"{{"ready":false,"message":"{}"}}"#, "é".repeat(5000));
        assert_eq!(
            parse(body.as_bytes()).unwrap().message.chars().count(),
            MAX_CHARACTERS
        );
    }
}
