//! IAM Identity Center: the SDK reads the cached SSO session below the `HOME` of the process, so the test starts a
//! process with a `HOME` that contains only the files of `aws sso login`.

use std::process::Command;

use credentials::{ProcessEnvironment, Settings};

use crate::support::{Account, TIMEOUT, keys, start};

/// Name of the cache file: the SHA-1 of `team`, the name of the SSO session.
const CACHED_SESSION: &str = "d25187dc137f35c88bc80ec8c3ffbdb17b5eb873.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sso_profile_with_a_cached_session_gets_the_role_of_its_permission_set() {
    let account = Account::start(None).await;
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join(".aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::write(
        home.path().join(".aws/config"),
        format!(
            "[profile sso]\nsso_session = team\nsso_account_id = 123456789012\nsso_role_name = Bedrock\nregion = us-east-1\nservices = local\n\
             [sso-session team]\nsso_region = us-east-1\nsso_start_url = https://d-1234567890.awsapps.com/start\n\
             [services local]\nsso =\n  endpoint_url = {}\n",
            account.double.url()
        ),
    )
    .unwrap();
    std::fs::write(
        cache.join(CACHED_SESSION),
        r#"{"startUrl": "https://d-1234567890.awsapps.com/start", "region": "us-east-1",
            "accessToken": "sso-access-token-of-a-person", "expiresAt": "2099-01-01T00:00:00Z"}"#,
    )
    .unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "sso::inner", "--ignored", "--nocapture"])
        .env_clear()
        .env("HOME", home.path())
        .env("AWS_PROFILE", "sso")
        .env("RUST_BACKTRACE", "0");
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("1 passed"), "{printed}");
    assert!(!printed.contains("sso-access-token-of-a-person"));
    let calls = account.double.calls_of("GetRoleCredentials");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].status, Some(200));
    let issued = calls[0].issued.clone().unwrap();
    assert_eq!(
        issued.role_arn.as_deref(),
        Some("arn:aws:iam::123456789012:role/SsoRole")
    );
    assert!(
        printed.contains(&format!("access key {}", issued.access_key_id)),
        "{printed}"
    );
}

#[tokio::test]
#[ignore = "run by the test above in a separate process"]
async fn inner() {
    let settings =
        Settings::from_env(&ProcessEnvironment, None, Vec::new(), None, "gateway").unwrap();
    let handle = start(settings).await;
    let credentials = handle
        .wait_ready(TIMEOUT)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(credentials.expires_at().is_some());
    assert_eq!(handle.status().region.as_deref(), Some("us-east-1"));
    #[expect(clippy::print_stdout, reason = "the parent process reads the output")]
    {
        println!("access key {}", keys(&credentials).access_key_id());
    }
}
