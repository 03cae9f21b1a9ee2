use k8s_openapi::jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::{
    access::{
        observe::{PodState, sidecars::SidecarState},
        readiness::Report,
        validate::{Problem, ValidateError},
    },
    fixtures,
};

mod gateways;
mod models;
mod sidecars;
mod suspended;
mod target_roles;
mod targets_healthy;

fn time(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn deployment(status: &Value) -> Arc<DynamicObject> {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "chat-gateway", "namespace": "team-a", "generation": 2},
        "spec": {"replicas": 2, "selector": {}, "template": {}},
        "status": status,
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn settled() -> Arc<DynamicObject> {
    deployment(&json!({
        "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
    }))
}

fn starting() -> Arc<DynamicObject> {
    deployment(&json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2}))
}

fn pod(name: &str) -> PodState {
    PodState {
        name: name.to_owned(),
        ready: false,
        waiting: None,
        report: None,
    }
}

fn failing(message: &str) -> PodState {
    PodState {
        report: Some(Report {
            ready: false,
            reason: "InvalidIdentityToken".to_owned(),
            message: message.to_owned(),
            roles: Vec::new(),
            ejected: Vec::new(),
            spend: None,
            shares: None,
        }),
        ..pod("chat-gateway-1")
    }
}

struct Case {
    deployment: Option<Arc<DynamicObject>>,
    pods: Vec<PodState>,
    sidecars: Vec<SidecarState>,
    spec: &'static str,
    suspended: bool,
    error: Option<Error>,
    evaluation: Option<Evaluation>,
    previous: Option<BedrockAccessStatus>,
    now: Timestamp,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            deployment: Some(settled()),
            pods: vec![PodState {
                ready: true,
                ..pod("chat-gateway-1")
            }],
            sidecars: Vec::new(),
            spec: "",
            suspended: false,
            error: None,
            evaluation: Some(Evaluation::Unrestricted {
                unruled: Vec::new(),
            }),
            previous: None,
            now: time(100),
        }
    }
}

impl Case {
    fn status(self) -> BedrockAccessStatus {
        let observed = Observed {
            pods: self.pods,
            sidecars: self.sidecars,
            ..fixtures::observed()
        };
        let validated = fixtures::validated(self.spec);
        let result = Result {
            validated: Some(&validated),
            observed: Some(&observed),
            evaluation: self.evaluation.as_ref(),
            deployment: self.deployment,
            related: Related::default(),
            suspended: self.suspended,
            error: self.error.as_ref(),
        };
        compute(
            &fixtures::access(self.spec),
            &result,
            self.previous.as_ref(),
            self.now,
        )
    }
}

#[track_caller]
fn check(status: &BedrockAccessStatus, expected: &[(&str, &str, &str)]) {
    for (type_, state, reason) in expected {
        let condition = find(status, type_).unwrap();
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            (*state, *reason),
            "{type_}: {}",
            condition.message
        );
    }
}

#[test]
fn settled_access_is_ready_with_endpoint_and_role() {
    let status = Case::default().status();
    check(
        &status,
        &[
            ("Ready", "True", "Ready"),
            ("Reconciling", "False", "UpToDate"),
            ("Stalled", "False", "UpToDate"),
            ("GatewayAvailable", "True", "Ready"),
            ("CredentialsReady", "True", "Ready"),
        ],
    );
    assert_eq!(
        status.endpoint.as_deref(),
        Some("http://chat-gateway.team-a.svc:8000")
    );
    assert_eq!(
        status.role_arn.as_deref(),
        Some("arn:aws:iam::123456789012:role/BedrockRole")
    );
    assert_eq!(
        status.audience.as_deref(),
        Some("bedrockaccess.dev/team-a/chat")
    );
    assert_eq!(status.service_account_name.as_deref(), Some("chat-gateway"));
    assert_eq!(status.ready_replicas, Some(2));
    assert_eq!(status.gateways.as_deref(), Some("2/2"));
    assert_eq!(status.observed_generation, Some(3));
    let trust: Value = serde_json::from_str(&status.trust_policy.unwrap()).unwrap();
    assert!(
        trust
            .to_string()
            .contains("system:serviceaccount:team-a:chat-gateway"),
        "{trust}"
    );
    let permission: Value = serde_json::from_str(&status.permission_policy.unwrap()).unwrap();
    assert!(
        permission.to_string().contains("amazon.nova-2-lite"),
        "{permission}"
    );
}

#[test]
fn reason_of_ready_names_a_wrong_trust_policy() {
    let status = Case {
        deployment: Some(starting()),
        pods: vec![
            failing("no OpenIDConnect provider found"),
            pod("chat-gateway-2"),
        ],
        ..Case::default()
    }
    .status();
    check(
        &status,
        &[
            ("Ready", "False", "InvalidIdentityToken"),
            ("Reconciling", "True", "RollingOut"),
            ("Stalled", "False", "UpToDate"),
            ("CredentialsReady", "False", "InvalidIdentityToken"),
        ],
    );
    let message = &find(&status, "CredentialsReady").unwrap().message;
    assert!(message.contains("1 of 2 gateway pods"), "{message}");
    assert!(
        message.contains("no OpenIDConnect provider found"),
        "{message}"
    );
}

#[test]
fn reason_of_ready_names_an_image_that_cannot_be_pulled() {
    let status = Case {
        deployment: Some(starting()),
        pods: vec![PodState {
            waiting: Some((
                "ImagePullBackOff".to_owned(),
                Some("Back-off pulling image".to_owned()),
            )),
            ..pod("chat-gateway-1")
        }],
        ..Case::default()
    }
    .status();
    check(
        &status,
        &[
            ("Ready", "False", "ImagePullBackOff"),
            ("GatewayAvailable", "False", "ImagePullBackOff"),
            ("CredentialsReady", "Unknown", "Pending"),
        ],
    );
}

#[test]
fn access_without_pods_is_rolling_out() {
    let status = Case {
        deployment: None,
        pods: Vec::new(),
        ..Case::default()
    }
    .status();
    check(
        &status,
        &[
            ("Ready", "False", "RollingOut"),
            ("Reconciling", "True", "RollingOut"),
            ("CredentialsReady", "Unknown", "NoPods"),
        ],
    );
}

#[test]
fn rollout_is_not_ready_before_the_new_pods_are() {
    let status = Case {
        deployment: Some(deployment(&json!({
            "observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2, "availableReplicas": 2,
        }))),
        ..Case::default()
    }
    .status();
    check(
        &status,
        &[
            ("Ready", "False", "RollingOut"),
            ("GatewayAvailable", "True", "Ready"),
        ],
    );
}

#[test]
fn access_stays_ready_while_one_of_two_pods_serves() {
    let status = Case {
        deployment: Some(deployment(&json!({
            "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 1, "availableReplicas": 1,
        }))),
        ..Case::default()
    }
    .status();
    check(
        &status,
        &[
            ("Ready", "True", "Ready"),
            ("Reconciling", "True", "RollingOut"),
        ],
    );
}

#[test]
fn deployment_past_its_progress_deadline_is_stalled() {
    let status = Case {
        deployment: Some(deployment(&json!({
            "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2,
            "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}],
        }))),
        pods: Vec::new(),
        ..Case::default()
    }
    .status();
    check(
        &status,
        &[
            ("Ready", "False", "GatewayUnavailable"),
            ("Stalled", "True", "GatewayUnavailable"),
        ],
    );
}

#[test]
fn invalid_object_is_stalled_and_names_the_field() {
    let problem = Problem {
        field: "spec.region".to_owned(),
        message: "is no region".to_owned(),
    };
    let status = Case {
        error: Some(Error::Validate(ValidateError::Invalid(vec![problem]))),
        ..Case::default()
    }
    .status();
    check(
        &status,
        &[
            ("Ready", "False", "InvalidSpec"),
            ("Reconciling", "False", "InvalidSpec"),
            ("Stalled", "True", "InvalidSpec"),
            ("GatewayAvailable", "True", "Ready"),
        ],
    );
    assert_eq!(
        find(&status, "Ready").unwrap().message,
        "spec.region: is no region"
    );
}

#[test]
fn status_of_an_unchanged_object_does_not_depend_on_time() {
    let first = Case::default().status();
    let second = Case {
        previous: Some(first.clone()),
        now: time(5000),
        ..Case::default()
    }
    .status();
    assert_eq!(first, second);
}

#[test]
fn another_request_id_in_the_message_is_not_a_change() {
    let case = |message: &str, previous| Case {
        deployment: Some(starting()),
        pods: vec![failing(message)],
        previous,
        now: time(200),
        ..Case::default()
    };
    let first = case(
        "denied (request id 0f0b1d7a-1111-2222-3333-444444444444)",
        None,
    )
    .status();
    let second = case(
        "denied (request id 9f0b1d7a-aaaa-bbbb-cccc-444444444444)",
        Some(first.clone()),
    )
    .status();
    assert_eq!(first, second);
    let third = case("another sentence", Some(first.clone())).status();
    assert_ne!(first, third);
}

#[test]
fn transition_time_follows_the_status_and_not_the_reason() {
    let first = Case {
        deployment: Some(starting()),
        pods: vec![pod("a")],
        ..Case::default()
    }
    .status();
    let second = Case {
        deployment: Some(starting()),
        pods: vec![failing("x")],
        previous: Some(first.clone()),
        now: time(300),
        ..Case::default()
    }
    .status();
    assert_ne!(
        find(&first, "Ready").unwrap().reason,
        find(&second, "Ready").unwrap().reason
    );
    assert_eq!(
        find(&second, "Ready").unwrap().last_transition_time,
        Time(time(100))
    );
    let third = Case {
        previous: Some(second),
        now: time(400),
        ..Case::default()
    }
    .status();
    assert_eq!(
        find(&third, "Ready").unwrap().last_transition_time,
        Time(time(400))
    );
}

#[test]
fn accepted_stays_while_policies_cannot_be_evaluated_and_is_removed_with_the_last_policy() {
    let mut previous = Case::default().status();
    let accepted = Condition {
        type_: "Accepted".to_owned(),
        status: "True".to_owned(),
        reason: "Allowed".to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(time(1)),
    };
    previous.conditions.push(accepted.clone());
    previous.observed_generation = Some(2);
    let status = Case {
        previous: Some(previous),
        evaluation: None,
        ..Case::default()
    }
    .status();
    assert_eq!(find(&status, "Accepted"), Some(&accepted));
    assert_eq!(
        status.observed_generation,
        Some(2),
        "the spec was neither accepted nor denied"
    );
    let status = Case {
        previous: Some(status),
        evaluation: Some(Evaluation::Unrestricted {
            unruled: Vec::new(),
        }),
        ..Case::default()
    }
    .status();
    assert_eq!(find(&status, "Accepted"), None);
}
