use k8s_openapi::jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::{
    access::{
        observe::PodFacts,
        readiness::Report,
        validate::{Problem, ValidateError},
    },
    fixtures,
    sidecar::fleet::SidecarFacts,
};

mod gateways;
mod sidecars;
mod suspended;
mod target_roles;

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

fn pod(name: &str) -> PodFacts {
    PodFacts {
        name: name.to_owned(),
        ready: false,
        waiting: None,
        report: None,
    }
}

fn failing(message: &str) -> PodFacts {
    PodFacts {
        report: Some(Report {
            ready: false,
            reason: "InvalidIdentityToken".to_owned(),
            message: message.to_owned(),
            roles: Vec::new(),
        }),
        ..pod("chat-gateway-1")
    }
}

struct Case {
    deployment: Option<Arc<DynamicObject>>,
    pods: Vec<PodFacts>,
    sidecars: Vec<SidecarFacts>,
    spec: &'static str,
    suspended: bool,
    error: Option<Error>,
    judgement: Option<Judgement>,
    previous: Option<BedrockAccessStatus>,
    now: Timestamp,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            deployment: Some(settled()),
            pods: vec![PodFacts {
                ready: true,
                ..pod("chat-gateway-1")
            }],
            sidecars: Vec::new(),
            spec: "",
            suspended: false,
            error: None,
            judgement: None,
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
            judgement: self.judgement.as_ref(),
            deployment: self.deployment,
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
fn settled_access_is_ready_and_says_where_and_as_whom() {
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
        permission.to_string().contains("anthropic.claude-3-haiku"),
        "{permission}"
    );
}

#[test]
fn wrong_trust_policy_is_named_by_the_reason_of_ready() {
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
fn image_that_cannot_be_pulled_is_named() {
    let status = Case {
        deployment: Some(starting()),
        pods: vec![PodFacts {
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
fn access_before_its_first_pod_is_on_its_way() {
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
fn rollout_that_has_begun_is_not_ready_before_the_new_pods_are() {
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
fn lost_pod_keeps_the_access_ready_while_another_serves() {
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
fn deployment_that_has_given_up_is_stalled() {
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
fn invalid_object_is_stalled_and_says_which_field() {
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
fn status_of_an_unchanged_world_is_the_same_at_any_time() {
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
fn message_with_another_request_id_is_not_a_change() {
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
fn transition_time_moves_with_the_status_and_not_with_the_reason() {
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
fn judgement_is_kept_while_the_policies_cannot_be_asked_and_goes_with_the_last_policy() {
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
    let status = Case {
        previous: Some(previous),
        ..Case::default()
    }
    .status();
    assert_eq!(find(&status, "Accepted"), Some(&accepted));
    let status = Case {
        previous: Some(status),
        judgement: Some(Judgement::Ungoverned),
        ..Case::default()
    }
    .status();
    assert_eq!(find(&status, "Accepted"), None);
}
