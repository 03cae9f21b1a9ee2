//! Asks a gateway pod why it is not ready, so that `kubectl describe` can name a wrong trust policy.
//!
//! One short GET of `/readyz` on the pod's admin port; the answer is data of the pod's, so it is cut
//! and cleaned before it becomes part of a status.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use tokio::sync::Semaphore;

/// Largest answer that is read.
const MAX_BYTES: usize = 64 * 1024;
/// Longest message that becomes part of a condition, in characters.
const MAX_CHARACTERS: usize = 600;
/// Questions at the same time in the whole process.
const AT_ONCE: usize = 64;
/// What a gateway says of credentials that it has asked for and has no answer about.
const PENDING: &str = "Pending";

/// What a gateway says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Whether it takes requests.
    pub(crate) ready: bool,
    /// A stable word, fit for a condition's reason.
    pub(crate) reason: String,
    /// A sentence for people.
    pub(crate) message: String,
    /// The roles that targets name.
    pub(crate) roles: Vec<RoleReport>,
}

/// What a gateway says about a role.
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
    /// Whether it was tried, without success.
    pub(crate) fn is_refused(&self) -> bool {
        !self.ready && self.reason != PENDING
    }
}

/// Something that can ask a gateway.
pub(crate) trait Readiness: Send + Sync + fmt::Debug {
    /// The answer of the gateway at this address, if there is one in time; without a port, at the one
    /// that gateways have.
    fn ask(&self, address: IpAddr, port: Option<u16>) -> BoxFuture<'_, Option<Report>>;
}

/// Asks over HTTP.
#[derive(Debug)]
pub(crate) struct HttpReadiness {
    client: Client<HttpConnector, Empty<Bytes>>,
    permits: Arc<Semaphore>,
    port: u16,
    timeout: Duration,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(flatten)]
    said: Said,
    #[serde(default)]
    roles: Vec<RoleAnswer>,
}

#[derive(Deserialize)]
struct RoleAnswer {
    role: String,
    #[serde(flatten)]
    said: Said,
}

#[derive(Deserialize)]
struct Said {
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
            // No connection is kept: pods come and go, and a question a minute is not worth one.
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            port,
            timeout,
        }
    }

    async fn fetch(&self, address: IpAddr, port: Option<u16>) -> Option<Report> {
        let authority = std::net::SocketAddr::new(address, port.unwrap_or(self.port));
        let request = http::Request::get(format!("http://{authority}/readyz"))
            .body(Empty::new())
            .ok()?;
        let response = self.client.request(request).await.ok()?;
        let body = Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await
            .ok()?
            .to_bytes();
        parse(&body)
    }
}

impl Readiness for HttpReadiness {
    fn ask(&self, address: IpAddr, port: Option<u16>) -> BoxFuture<'_, Option<Report>> {
        Box::pin(async move {
            let _permit = self.permits.acquire().await.ok()?;
            tokio::time::timeout(self.timeout, self.fetch(address, port))
                .await
                .ok()?
        })
    }
}

fn parse(body: &[u8]) -> Option<Report> {
    let Answer { said, roles } = serde_json::from_slice(body).ok()?;
    let (ready, reason, message) = said.cleaned();
    let roles = roles.into_iter().map(|RoleAnswer { role, said }| {
        let (ready, reason, message) = said.cleaned();
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
    })
}

impl Said {
    /// Fit for a condition.
    fn cleaned(self) -> (bool, String, String) {
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

/// What the API server takes as the reason of a condition: `^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`.
fn is_reason(text: &str) -> bool {
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

    async fn ask(port: u16) -> Option<Report> {
        HttpReadiness::new(port, Duration::from_secs(2))
            .ask(Ipv4Addr::LOCALHOST.into(), None)
            .await
    }

    #[tokio::test]
    async fn reason_of_a_gateway_that_is_not_ready_is_read() {
        let port = gateway(
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"ready":false,"reason":"InvalidIdentityToken","message":"no provider\nfound"}"#,
        )
        .await;
        let report = ask(port).await.unwrap();
        assert_eq!(report.reason, "InvalidIdentityToken");
        assert_eq!(report.message, "no provider found");
        assert!(!report.ready);
    }

    #[tokio::test]
    async fn gateway_that_does_not_listen_gives_no_report() {
        assert_eq!(ask(1).await, None);
    }

    #[tokio::test]
    async fn gateway_that_is_silent_is_given_up_in_time() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let readiness = HttpReadiness::new(port, Duration::from_millis(50));
        assert_eq!(readiness.ask(Ipv4Addr::LOCALHOST.into(), None).await, None);
    }

    #[test]
    fn reason_that_no_condition_could_hold_is_replaced() {
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
    fn roles_of_targets_are_read_with_their_reasons() {
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
    fn long_message_is_cut() {
        let body = format!(r#"{{"ready":false,"message":"{}"}}"#, "é".repeat(5000));
        assert_eq!(
            parse(body.as_bytes()).unwrap().message.chars().count(),
            MAX_CHARACTERS
        );
    }
}
