//! Roles assumed with the credentials of a handle: shared base, separate sessions, rejections, shutdown.

use awsdouble::Fault;
use credentials::{AssumeRoleLink, Handle, Reason, SettingsError};

use crate::support::{Account, TIMEOUT, eventually, link, start};

const FIRST: &str = "arn:aws:iam::210987654321:role/Shared";
const SECOND: &str = "arn:aws:iam::123456789012:role/BedrockAccessRole";

struct Pod {
    account: Account,
    base: Handle,
    _directory: tempfile::TempDir,
}

impl Pod {
    async fn start(lifetime_seconds: Option<u64>) -> Self {
        let account = Account::start(lifetime_seconds).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, account.token("app", "sts.amazonaws.com", 3600)).unwrap();
        let base = start(account.web_identity(&file)).await;
        Self {
            account,
            base,
            _directory: directory,
        }
    }

    fn calls(&self, operation: &str) -> usize {
        self.account.double.calls_of(operation).len()
    }

    async fn caller(&self, handle: &Handle) -> String {
        let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
        self.account.caller(&credentials).await
    }
}

fn second(external_id: &str) -> AssumeRoleLink {
    AssumeRoleLink {
        external_id: Some(external_id.to_owned()),
        ..link(SECOND)
    }
}

#[tokio::test]
async fn roles_share_one_base_and_have_separate_sessions() {
    let pod = Pod::start(None).await;
    let first = pod.base.assume(link(FIRST), "a").unwrap();
    let second = pod.base.assume(second("unique-external-id"), "b").unwrap();
    assert!(pod.caller(&first).await.contains("assumed-role/Shared/"));
    assert!(
        pod.caller(&second)
            .await
            .contains("assumed-role/BedrockAccessRole/")
    );
    assert!(
        pod.caller(&pod.base)
            .await
            .contains("assumed-role/BedrockRole/")
    );
    assert_eq!(pod.calls("AssumeRoleWithWebIdentity"), 1);
    assert_eq!(pod.calls("AssumeRole"), 2);
    assert_eq!(first.status().choice.assume_roles, [FIRST]);
}

#[tokio::test]
async fn a_wrong_external_id_is_reported_with_the_role_and_does_not_affect_the_base() {
    let pod = Pod::start(None).await;
    let role = pod.base.assume(second("guessed"), "a").unwrap();
    let pending = role.current().unwrap_err();
    assert_eq!(pending.reason, Reason::Pending);
    assert!(pending.message.contains(SECOND), "{pending}");
    role.first_attempt(TIMEOUT).await;
    let refused = role.current().unwrap_err();
    assert_eq!(refused.reason, Reason::AccessDenied);
    assert!(refused.message.contains(SECOND), "{refused}");
    assert!(refused.message.contains("external id"), "{refused}");
    assert!(pod.base.current().is_ok());
    assert_eq!(pod.calls("AssumeRoleWithWebIdentity"), 1);
}

#[tokio::test]
async fn replaces_revoked_sessions_of_both_role_and_base() {
    let pod = Pod::start(None).await;
    let role = pod.base.assume(link(FIRST), "a").unwrap();
    let credentials = role.wait_ready(TIMEOUT).await.unwrap();
    pod.account.double.revoke_sessions();
    let newer = role
        .replace(&credentials, "ExpiredTokenException")
        .await
        .unwrap();
    assert_eq!(newer.generation(), 2);
    assert!(pod.caller(&role).await.contains("assumed-role/Shared/"));
    assert_eq!(pod.base.current().unwrap().generation(), 2);
}

#[tokio::test]
async fn a_role_waits_for_its_base_credentials() {
    let pod = Pod::start(None).await;
    let exchange = "AssumeRoleWithWebIdentity";
    let fault = Fault::error(exchange, 503, "ServiceUnavailable");
    pod.account.double.inject(fault.times(2));
    let role = pod.base.assume(link(FIRST), "a").unwrap();
    assert!(pod.caller(&role).await.contains("assumed-role/Shared/"));
    assert_eq!(role.status().refreshes_by_result.len(), 1);
}

#[tokio::test]
async fn a_role_is_renewed_until_its_last_handle_is_dropped() {
    let pod = Pod::start(Some(2)).await;
    let role = pod.base.assume(link(FIRST), "a").unwrap();
    eventually("a renewal", || role.status().generation >= 2).await;
    drop(role);
    let before = pod.calls("AssumeRole");
    let renewed = pod.calls("AssumeRoleWithWebIdentity");
    // After two more renewals of the base the role would have been renewed, too.
    eventually("two renewals of the base", || {
        pod.calls("AssumeRoleWithWebIdentity") >= renewed + 2
    })
    .await;
    // One call may have been in flight.
    assert!(pod.calls("AssumeRole") <= before + 1);
}

#[tokio::test]
async fn rejects_invalid_roles_and_names_the_field() {
    let pod = Pod::start(None).await;
    let short = AssumeRoleLink {
        duration_seconds: Some(60),
        ..link(FIRST)
    };
    let error = pod.base.assume(short, "models[0].targets[1].assumeRole");
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("models[0].targets[1].assumeRole.durationSeconds"),
        "{text}"
    );
    let key = Account::settings(&[
        ("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-abc"),
        ("AWS_REGION", "us-east-1"),
    ]);
    let error = start(key).await.assume(link(FIRST), "a").unwrap_err();
    assert_eq!(error, SettingsError::BearerWithRoles);
}
