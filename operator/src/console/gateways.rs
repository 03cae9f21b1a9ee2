//! What the gateways of a `BedrockAccess` report on their admin ports: readiness, credentials and usage.
//!
//! Read when a user looks at the object, from a bounded number of pods.

use std::collections::BTreeMap;

use api::v1alpha1::BedrockAccessSpec;
use exposition::{Line, Sample, Usage};
use futures::{StreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::{
    access::{
        observe::{self, PodState, sidecars},
        readiness::{EjectedTarget, HttpReadiness, Readiness, Report},
    },
    owned::Stores,
};

/// Gateways that are read for one object.
const MAX_GATEWAYS: usize = 32;
/// Concurrent reads for one object.
const CONCURRENT_READS: usize = 8;

/// Reads gateways.
#[derive(Debug)]
pub(super) struct Gateways {
    http: HttpReadiness,
}

/// The gateways of an object, and the usage that they report together.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GatewaysReport {
    pods: Vec<GatewayReport>,
    /// Pods that are left out.
    more_pods: usize,
    /// Usage since the start of each gateway, the most requests first.
    clients_since_start: Vec<ClientUsage>,
    /// Gateways whose usage is included.
    counted: usize,
    /// Start of the oldest of them.
    counted_since: Option<String>,
}

/// A pod with a gateway.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GatewayReport {
    pod: String,
    /// `gateway` or `sidecar`.
    kind: &'static str,
    ready: bool,
    reason: String,
    message: String,
    /// When its AWS credentials expire; absent without credentials and if they do not expire.
    credentials_expire: Option<String>,
    started: Option<String>,
    version: Option<String>,
    in_flight: Option<u64>,
    /// Roles of targets without credentials, with the reason.
    failing_roles: Vec<String>,
    /// Ejected targets.
    ejected: Vec<String>,
    /// What is wrong, each with the reason.
    #[serde(skip)]
    problems: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
struct ClientUsage {
    client: String,
    #[serde(flatten)]
    usage: Usage,
}

/// A pod to read.
struct Reading {
    state: PodState,
    address: Option<std::net::IpAddr>,
    port: Option<u16>,
    kind: &'static str,
}

impl GatewaysReport {
    /// Gateways and roles with a problem, each with the reason.
    pub(super) fn problems(&self) -> impl Iterator<Item = (&str, &str)> {
        let problems = self.pods.iter().flat_map(|pod| &pod.problems);
        problems.map(|(about, reason)| (about.as_str(), reason.as_str()))
    }
}

impl Gateways {
    pub(super) fn new(port: u16, timeout: std::time::Duration) -> Self {
        Self {
            http: HttpReadiness::new(port, timeout),
        }
    }

    /// Reads the gateways of an object.
    pub(super) async fn read(
        &self,
        stores: &Stores,
        namespace: &str,
        name: &str,
        spec: Option<&BedrockAccessSpec>,
    ) -> GatewaysReport {
        let mut all = readings(stores, namespace, name, spec);
        let more_pods = all.len().saturating_sub(MAX_GATEWAYS);
        all.truncate(MAX_GATEWAYS);
        let reads: Vec<_> = all.into_iter().map(|reading| self.one(reading)).collect();
        let read: Vec<_> = stream::iter(reads)
            .buffered(CONCURRENT_READS)
            .collect()
            .await;
        let mut report = GatewaysReport {
            more_pods,
            ..GatewaysReport::default()
        };
        let mut clients: BTreeMap<String, Usage> = BTreeMap::new();
        for (pod, sample) in read {
            if let Some(sample) = sample {
                report.counted = report.counted.saturating_add(1);
                let since = [report.counted_since.take(), pod.started.clone()];
                report.counted_since = since.into_iter().flatten().min();
                for (client, usage) in sample.clients {
                    clients.entry(client).or_default().add(&usage);
                }
            }
            report.pods.push(pod);
        }
        report.clients_since_start = clients
            .into_iter()
            .filter(|(_, usage)| *usage != Usage::default())
            .map(|(client, usage)| ClientUsage { client, usage })
            .collect();
        report
            .clients_since_start
            .sort_by_key(|client| std::cmp::Reverse(client.usage.requests));
        report
    }

    async fn one(&self, reading: Reading) -> (GatewayReport, Option<Sample>) {
        let Reading {
            state,
            address,
            port,
            kind,
        } = reading;
        let (report, page) = match address.filter(|_| state.waiting.is_none()) {
            Some(address) => tokio::join!(
                self.http.query(address, port),
                self.http.metrics(address, port)
            ),
            None => (None, None),
        };
        let lines = page.as_deref().map(Line::page);
        let pod = GatewayReport::new(state, kind, report, lines.as_deref().unwrap_or_default());
        (pod, lines.as_deref().map(Sample::of))
    }
}

/// The pods of an object: gateway pods, and pods with a sidecar.
fn readings(
    stores: &Stores,
    namespace: &str,
    name: &str,
    spec: Option<&BedrockAccessSpec>,
) -> Vec<Reading> {
    let own = stores.pods.of(namespace, name);
    let own = own
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(|pod| Reading {
            state: observe::pod_state(pod),
            address: observe::address(pod),
            port: None,
            kind: "gateway",
        });
    let port = spec
        .and_then(|spec| spec.sidecar.as_ref())
        .and_then(|sidecar| u16::try_from(sidecar.admin_port()).ok());
    let with_sidecar = stores.sidecars.of(namespace, name);
    let with_sidecar = with_sidecar
        .iter()
        .filter(|pod| sidecars::is_active(pod) && sidecars::hash_of(pod).is_some())
        .map(|pod| Reading {
            state: sidecars::state(pod),
            address: observe::address(pod),
            port,
            kind: "sidecar",
        });
    own.chain(with_sidecar).collect()
}

impl GatewayReport {
    fn new(state: PodState, kind: &'static str, report: Option<Report>, lines: &[Line]) -> Self {
        let value = |name: &str| {
            let mut named = lines.iter().filter(|line| line.name == name);
            named.next().map(Line::whole)
        };
        let version = lines
            .iter()
            .find(|line| line.name == "bedrock_gateway_build_info")
            .and_then(|line| line.labels.get("version").cloned());
        let (reason, message) = match (&state.waiting, &report) {
            (Some((reason, message)), _) => (reason.clone(), message.clone().unwrap_or_default()),
            (None, Some(report)) => (report.reason.clone(), report.message.clone()),
            (None, None) => (
                "NoReport".to_owned(),
                "The gateway does not respond on its admin port.".to_owned(),
            ),
        };
        let (roles, ejected) = match report {
            Some(report) => (report.roles, report.ejected),
            None => (Vec::new(), Vec::new()),
        };
        let failing = roles.iter().filter(|role| role.is_refused());
        let own = (!state.ready).then(|| (format!("{kind} {}", state.name), reason.clone()));
        let of_roles = failing
            .clone()
            .map(|role| (format!("role {}", role.role), role.reason.clone()));
        let problems = own.into_iter().chain(of_roles).collect();
        Self {
            problems,
            pod: state.name,
            kind,
            ready: state.ready,
            reason,
            message,
            credentials_expire: value("bedrock_gateway_credentials_expiration_timestamp_seconds")
                .and_then(time),
            started: value("process_start_time_seconds").and_then(time),
            version,
            in_flight: value("bedrock_gateway_in_flight_requests"),
            failing_roles: failing
                .map(|role| format!("{}: {} {}", role.role, role.reason, role.message))
                .collect(),
            ejected: ejected.iter().map(ejected_target).collect(),
        }
    }
}

fn ejected_target(target: &EjectedTarget) -> String {
    let EjectedTarget {
        model,
        region,
        role,
        for_seconds,
    } = target;
    let role = if role.is_empty() {
        String::new()
    } else {
        format!(" with {role}")
    };
    format!("{model} in {region}{role}, for {for_seconds} s")
}

/// A Unix time as RFC 3339.
fn time(seconds: u64) -> Option<String> {
    let time = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::readiness::RoleReport;

    const PAGE: &str = r#"process_start_time_seconds 1767225600.25
bedrock_gateway_credentials_expiration_timestamp_seconds 1767229200.0
bedrock_gateway_in_flight_requests 2
bedrock_gateway_build_info{version="1.2.3"} 1
bedrock_gateway_client_requests_total{client="team-a/app"} 4
"#;

    fn state(waiting: Option<&str>) -> PodState {
        PodState {
            name: "chat-1".to_owned(),
            ready: waiting.is_none(),
            waiting: waiting.map(|reason| (reason.to_owned(), None)),
            report: None,
        }
    }

    #[test]
    fn report_has_the_life_of_credentials_and_failing_roles() {
        let role = |ready, reason: &str| RoleReport {
            role: "arn:aws:iam::210987654321:role/B".to_owned(),
            ready,
            reason: reason.to_owned(),
            message: "no trust".to_owned(),
        };
        let report = Report {
            ready: true,
            reason: "Ready".to_owned(),
            message: String::new(),
            roles: vec![
                role(true, "Ready"),
                role(false, "AccessDenied"),
                role(false, "Pending"),
            ],
            ejected: Vec::new(),
            spend: None,
            shares: None,
        };
        let lines = Line::page(PAGE);
        let report = GatewayReport::new(state(None), "gateway", Some(report), &lines);
        assert_eq!(report.started.as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(
            report.credentials_expire.as_deref(),
            Some("2026-01-01T01:00:00Z")
        );
        assert_eq!(
            (report.in_flight, report.version.as_deref()),
            (Some(2), Some("1.2.3"))
        );
        assert_eq!(
            report.failing_roles,
            ["arn:aws:iam::210987654321:role/B: AccessDenied no trust"]
        );
        let role = "role arn:aws:iam::210987654321:role/B".to_owned();
        assert_eq!(report.problems, [(role, "AccessDenied".to_owned())]);
    }

    #[test]
    fn pod_that_does_not_run_has_the_reason_of_the_kubelet() {
        let report = GatewayReport::new(state(Some("ImagePullBackOff")), "gateway", None, &[]);
        assert_eq!(
            (report.reason.as_str(), report.ready),
            ("ImagePullBackOff", false)
        );
        assert_eq!(report.problems[0].0, "gateway chat-1");
        let silent = GatewayReport::new(state(None), "sidecar", None, &[]);
        assert_eq!(silent.reason, "NoReport");
        assert_eq!(silent.credentials_expire, None);
    }
}
