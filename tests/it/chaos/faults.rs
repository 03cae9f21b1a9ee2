//! What fails, when and for how long.

mod inject;

use serde_json::{Value, json};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    PodDeleted,
    PodKilled,
    Rollout,
    OperatorKilled,
    ApiServerStopped,
    RoleChanged,
    ModelsChanged,
    InvalidSpec,
    TornConfiguration,
    KeysRotated,
    SessionsRevoked,
    SessionsForgotten,
    /// Calls of STS fail.
    Sts(Failure),
    /// Calls of Bedrock fail.
    Bedrock(Failure),
    ClockSkew,
    StoreRestarted,
    StoreStopped,
    DnsStopped,
    DiskFull,
}

/// How calls of AWS fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// All calls get 503.
    Down,
    Silence,
    Garbage,
    Throttling,
    ServerErrors,
    Disconnects,
    StreamsBreak,
    Delay,
}

/// Every fault once, with its name in the table.
const ALL: [(Fault, &str); 27] = [
    (Fault::PodDeleted, "a gateway pod is deleted"),
    (Fault::PodKilled, "a gateway is killed"),
    (Fault::Rollout, "gateway pods are replaced"),
    (Fault::OperatorKilled, "both operators are killed"),
    (Fault::ApiServerStopped, "the API server is down"),
    (Fault::RoleChanged, "another role"),
    (Fault::ModelsChanged, "models added and removed"),
    (Fault::InvalidSpec, "invalid specs"),
    (Fault::TornConfiguration, "torn configuration"),
    (Fault::KeysRotated, "API keys are rotated"),
    (Fault::SessionsRevoked, "AWS sessions are revoked"),
    (Fault::SessionsForgotten, "AWS forgets its sessions"),
    (Fault::Sts(Failure::Down), "STS fails"),
    (Fault::Sts(Failure::Silence), "STS does not respond"),
    (Fault::Sts(Failure::Garbage), "STS returns garbage"),
    (
        Fault::Bedrock(Failure::Throttling),
        "Bedrock throttles some calls",
    ),
    (
        Fault::Bedrock(Failure::ServerErrors),
        "Bedrock fails some calls",
    ),
    (
        Fault::Bedrock(Failure::Disconnects),
        "Bedrock closes connections",
    ),
    (Fault::Bedrock(Failure::Garbage), "Bedrock returns garbage"),
    (
        Fault::Bedrock(Failure::StreamsBreak),
        "streams of Bedrock break",
    ),
    (Fault::Bedrock(Failure::Delay), "Bedrock is slow"),
    (Fault::Bedrock(Failure::Down), "Bedrock is down"),
    (Fault::ClockSkew, "the clocks differ"),
    (Fault::StoreRestarted, "the store of limits restarts"),
    (Fault::StoreStopped, "the store of limits hangs"),
    (Fault::DnsStopped, "DNS is down"),
    (Fault::DiskFull, "the disk of the logs is full"),
];

/// The faults whose name contains one of these texts, which commas separate.
pub(super) fn named(texts: &str) -> Vec<Fault> {
    let is_named = |name: &str| texts.split(',').any(|text| name.contains(text));
    let named = ALL.into_iter().filter(|(_, name)| is_named(name));
    named.map(|(fault, _)| fault).collect()
}

impl Fault {
    /// Name in the table.
    pub(super) fn name(self) -> &'static str {
        let found = ALL.into_iter().find(|(fault, _)| *fault == self);
        found.expect("every fault has a name").1
    }
}

impl Failure {
    /// What the simulated AWS does with a call; `unavailable` is the service's code for 503.
    fn action(self, unavailable: &str) -> Value {
        let error =
            |status: u16, code: &str| json!({ "kind": "error", "status": status, "code": code });
        match self {
            Self::Down => error(503, unavailable),
            Self::Silence => json!({ "kind": "hang" }),
            Self::Garbage => json!({ "kind": "garbage" }),
            Self::Throttling => error(429, "ThrottlingException"),
            Self::ServerErrors => one_of(vec![
                error(500, "InternalServerException"),
                error(503, "ServiceUnavailableException"),
                error(424, "ModelErrorException"),
            ]),
            Self::Disconnects => json!({ "kind": "disconnect" }),
            Self::StreamsBreak => {
                let after = fastrand::usize(0..8);
                let exception = |code: &str| json!({ "kind": "stream_exception", "after": after, "code": code });
                one_of(vec![
                    json!({ "kind": "stream_cut", "after": after }),
                    exception("ModelStreamErrorException"),
                    exception("ThrottlingException"),
                ])
            }
            Self::Delay => json!({ "kind": "delay", "milliseconds": fastrand::u64(500..8000) }),
        }
    }

    /// Whether all calls fail for a time, not a few of each operation.
    fn lasts(self) -> bool {
        matches!(self, Self::Down | Self::Silence | Self::Delay)
    }
}

fn one_of(mut actions: Vec<Value>) -> Value {
    actions.swap_remove(fastrand::usize(..actions.len()))
}
