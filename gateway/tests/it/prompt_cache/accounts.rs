//! Sessions over two accounts whose calls fail at times: they read most of what they read without a gateway.

use std::collections::BTreeMap;

use awsdouble::{Config, Fault, FaultAction, allow_bedrock};
use serde_json::{Value, json};

use super::{
    CLAUDE,
    session::{CLAUDE_CODE, CODEX, Kind, LANGCHAIN, Marks, TURNS},
    wire::{Api, Wire},
};
use crate::rig::{ACCESS_KEY, Plan, Rig, SECRET_KEY, eventually};

const ROLES: [&str; 2] = [
    "arn:aws:iam::111122223333:role/Models",
    "arn:aws:iam::444455556666:role/Models",
];
/// Sessions of each kind and API.
const SESSIONS: usize = 2;
/// One call of this number fails.
const CALLS_BETWEEN_FAULTS: u64 = 100;

fn document(action: &Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [action] })
}

/// A user that may assume a role in each of two accounts.
fn accounts() -> Config {
    let assume = json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLES });
    let trust = json!({ "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "AWS": "arn:aws:iam::123456789012:root" } });
    let config = Config::default().with_user("dev", ACCESS_KEY, SECRET_KEY, document(&assume));
    ROLES.iter().fold(config, |config, role| {
        config.with_role(role, document(&trust), allow_bedrock())
    })
}

/// A gateway in front of Claude in both accounts, by two APIs.
async fn gateway(automatic: bool) -> Rig {
    let targets = |more: &str| {
        let target =
            |role| format!("{{modelId: '{CLAUDE}'{more}, assumeRole: {{roleArn: '{role}'}}}}");
        ROLES.map(target).join(", ")
    };
    let document = format!(
        "clients: {{anonymous: true}}\nautomaticCache: {automatic}\nmodels:\n\
         - {{name: converse, targets: [{}]}}\n\
         - {{name: invoke, targets: [{}]}}\n",
        targets(", api: Converse"),
        targets("")
    );
    let rig = Rig::start(Plan {
        document: Some(document),
        double: accounts(),
        ..Plan::default()
    })
    .await;
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
    rig
}

/// Injects a fault into one of `CALLS_BETWEEN_FAULTS` calls, of each kind in turn. Returns their number.
fn inject(rig: &Rig, calls: u64) -> u64 {
    let error = |status, code: &str| FaultAction::Error {
        status,
        code: code.to_owned(),
        message: String::new(),
        empty_body: false,
    };
    let actions = [
        error(429, "ThrottlingException"),
        FaultAction::Disconnect,
        error(503, "ServiceUnavailableException"),
        FaultAction::StreamCut { after: 0 },
    ];
    let faults = calls / CALLS_BETWEEN_FAULTS;
    for (number, action) in (0..faults).zip(actions.iter().cycle()) {
        rig.double.inject(Fault {
            service: Some("bedrock-runtime".to_owned()),
            operation: None,
            after: number * CALLS_BETWEEN_FAULTS + CALLS_BETWEEN_FAULTS / 2,
            times: Some(1),
            action: action.clone(),
        });
    }
    faults
}

/// Tokens that sessions of a kind read from the cache: by a gateway whose calls fail at times, and directly.
async fn read(kind: &Kind) -> (u64, u64) {
    let rig = gateway(kind.marks == Marks::Automatic).await;
    let apis = [
        (Api::Chat, "converse", Api::Converse),
        (Api::Responses, "converse", Api::Converse),
        (Api::Messages, "invoke", Api::InvokeModel),
    ];
    let requests = u64::try_from(apis.len() * SESSIONS * TURNS).unwrap();
    let faults = inject(&rig, requests);
    let (mut by_gateway, mut directly) = (0, 0);
    let mut sessions = 0..;
    for (api, model, direct) in apis {
        // Each session has other prompts of the same length, which read as much.
        let client = Wire::direct(direct, CLAUDE).await;
        let expected: u64 = client.run(kind).await.iter().sum();
        for session in sessions.by_ref().take(SESSIONS) {
            let client = Wire::of_client(api, model, &rig).streamed();
            let read = client.in_session(session).run(kind).await;
            by_gateway += read.iter().sum::<u64>();
            directly += expected;
        }
    }
    let mut calls = BTreeMap::new();
    for call in rig
        .double
        .calls()
        .iter()
        .filter(|call| call.model.is_some())
    {
        let role = call.identity.as_ref().and_then(|one| one.role_arn.clone());
        *calls.entry(role).or_insert(0) += 1;
    }
    let all: u64 = calls.values().sum();
    assert_eq!(
        all,
        requests + faults,
        "each fault is hidden by one more call"
    );
    for role in ROLES {
        assert!(calls[&Some(role.to_owned())] > 20, "{calls:?}");
    }
    (by_gateway, directly)
}

#[tokio::test]
async fn sessions_over_two_accounts_with_faults_read_most_of_what_they_read_directly() {
    for kind in [&CLAUDE_CODE, &CODEX, &LANGCHAIN] {
        let (by_gateway, directly) = read(kind).await;
        assert!(
            by_gateway <= directly && by_gateway * 100 >= directly * 95,
            "{}: {by_gateway} of {directly}",
            kind.name
        );
    }
}
