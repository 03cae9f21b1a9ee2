//! One chat with each source of AWS credentials: the gateway and the simulated AWS as programs of their own, on loopback.
//!
//! The record of the simulated AWS shows where the credentials came from. For trying clients,
//! `bedrock-gateway serve --simulate` has both in one process.

use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    build::{self, Profile},
    console::{Console, Step},
    http, interrupt,
    process::{background, capture, command, stop},
    repository,
};

/// Longest time for a program to start, and to exit.
const TIMEOUT: Duration = Duration::from_secs(20);
const REGION: &str = "us-east-1";
const MODEL: &str = "us.amazon.nova-lite-v1:0";
const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";
const ISSUER: &str = "https://oidc.double.example";
/// Credential paths of an ECS task and of the EKS Pod Identity agent.
const CONTAINER_PATH: &str = "/v2/credentials/4f2a7c1e-0000-4000-8000-1234567890ab";
const POD_IDENTITY_PATH: &str = "/v1/credentials";
/// The user of the simulated account, with the example key of the AWS documentation.
const ACCESS_KEY: (&str, &str) = (
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
);

/// Source of the gateway's AWS credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::enum_variant_names,
    reason = "web identity is the name that AWS uses"
)]
enum Identity {
    /// Access keys in the environment.
    Static,
    /// Access keys in a profile of the shared config file.
    Profile,
    /// Access keys, with a role assumed on top.
    AssumeRole,
    /// A token file, exchanged at STS for credentials of a role.
    WebIdentity,
    /// The credential endpoint of an ECS task.
    Container,
    /// The instance metadata service of EC2.
    Imds,
    /// The agent of EKS Pod Identity.
    PodIdentity,
    /// A Bedrock API key.
    Bearer,
}

impl Identity {
    const ALL: [Self; 8] = [
        Self::Static,
        Self::Profile,
        Self::AssumeRole,
        Self::WebIdentity,
        Self::Container,
        Self::Imds,
        Self::PodIdentity,
        Self::Bearer,
    ];

    /// The recorded call that proves this source of credentials; `None` if it makes no call.
    fn expected_call(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Static | Self::Profile | Self::Bearer => None,
            Self::AssumeRole => Some(("operation", "AssumeRole")),
            Self::WebIdentity => Some(("operation", "AssumeRoleWithWebIdentity")),
            Self::Container => Some(("path", CONTAINER_PATH)),
            Self::Imds => Some(("operation", "GetRoleCredentials")),
            Self::PodIdentity => Some(("path", POD_IDENTITY_PATH)),
        }
    }

    /// Kind of the caller of Converse in the record of the simulated AWS.
    fn expected_caller(self) -> &'static str {
        match self {
            Self::Static | Self::Profile => "user",
            Self::Bearer => "bearer",
            _ => "session",
        }
    }
}

/// Serves one chat with each source of credentials, on a free port.
///
/// # Errors
/// When a program is not built, does not start, or sends a wrong response.
pub(crate) fn every_identity(console: &Console) -> Result<()> {
    for identity in Identity::ALL {
        run(console, identity)?;
    }
    Ok(())
}

/// Starts both programs, chats, and stops them.
fn run(console: &Console, identity: Identity) -> Result<()> {
    interrupt::note_signals()?;
    let directory = repository::scratch("identities")?;
    client_key(&directory)?;
    let mut pair = Pair::default();
    let result = start(console, free_address()?, identity, &directory, &mut pair);
    pair.end();
    result
}

/// The running programs, stopped in this order.
#[derive(Default)]
struct Pair {
    gateway: Option<Child>,
    awsdouble: Option<Child>,
}

impl Pair {
    /// Fails if one of them has exited.
    fn alive(&mut self) -> Result<()> {
        for (name, child) in [
            ("awsdouble", &mut self.awsdouble),
            ("bedrock-gateway", &mut self.gateway),
        ] {
            if let Some(child) = child
                && let Ok(Some(status)) = child.try_wait()
            {
                bail!("{name} ended with {status}");
            }
        }
        ensure!(!interrupt::interrupted(), "interrupted");
        Ok(())
    }

    fn end(&mut self) {
        for child in [&mut self.gateway, &mut self.awsdouble]
            .into_iter()
            .flatten()
        {
            stop(child, TIMEOUT);
        }
    }
}

fn start(
    console: &Console,
    listen: SocketAddr,
    identity: Identity,
    directory: &Path,
    pair: &mut Pair,
) -> Result<()> {
    let token = directory.join("token");
    let aws = free_address()?;
    let with_log =
        |step: &Step, error: anyhow::Error| error.context(format!("log: {}", step.log().display()));
    console.step("start the simulated AWS", |step| {
        let account = directory.join("account.yaml");
        repository::write(&account, account_of(identity).to_string())?;
        let mut awsdouble = command(build::program(Profile::Dev, "awsdouble")?);
        awsdouble
            .arg("--listen")
            .arg(aws.to_string())
            .arg("--config")
            .arg(&account);
        let audience = match identity {
            Identity::WebIdentity => Some("sts.amazonaws.com"),
            Identity::PodIdentity => Some("pods.eks.amazonaws.com"),
            _ => None,
        };
        if let Some(audience) = audience {
            awsdouble
                .args(["--web-identity-issuer", ISSUER])
                .args(["--web-identity-audience", audience, "--web-identity-token"])
                .arg(&token);
        }
        pair.awsdouble = Some(background(step, &mut awsdouble)?);
        http::wait_for(aws, "/_double/health", TIMEOUT, || pair.alive())
            .map_err(|error| with_log(step, error))
    })?;
    console.step("start the gateway", |step| {
        let mut gateway = command(build::program(Profile::Dev, "bedrock-gateway")?);
        gateway
            .arg("serve")
            .arg("--listen")
            .arg(listen.to_string())
            .arg("--api-key-file")
            .arg(directory.join("key"));
        set_environment(&mut gateway, aws, identity, directory)?;
        pair.gateway = Some(background(step, &mut gateway)?);
        http::wait_for(listen, "/healthz", TIMEOUT, || pair.alive())
            .map_err(|error| with_log(step, error))
    })?;
    console.step("send a test request", |step| {
        let question = "Are you there?";
        let answer = capture(
            step,
            command(build::program(Profile::Dev, "bedrock-gateway")?)
                .args(["chat", "--base-url", &format!("http://{listen}/v1")])
                .args(["--model", MODEL, "--wait", "20"])
                .arg("--token-file")
                .arg(directory.join("key"))
                .arg(question),
        )?;
        ensure!(
            answer.trim() == question,
            "the simulated model repeats the question, but the response is {answer}"
        );
        check_calls(aws, identity)
    })
}

/// Checks the source of the credentials in the record of the simulated AWS.
fn check_calls(aws: SocketAddr, identity: Identity) -> Result<()> {
    let (_, record) = http::get(aws, "/_double/calls")?;
    let calls: Vec<Value> =
        serde_json::from_str(&record).context("the record of the simulated AWS is not JSON")?;
    let succeeded = |field: &str, value: &str| {
        calls.iter().find(|call| {
            call.get(field).and_then(Value::as_str) == Some(value)
                && call.get("status").and_then(Value::as_u64) == Some(200)
        })
    };
    if let Some((field, value)) = identity.expected_call() {
        ensure!(
            succeeded(field, value).is_some(),
            "the simulated AWS recorded no successful call with {field} {value}: {record}"
        );
    }
    let caller = succeeded("operation", "Converse")
        .and_then(|call| call.pointer("/identity/kind"))
        .and_then(Value::as_str);
    ensure!(
        caller == Some(identity.expected_caller()),
        "Converse was called by {caller:?}, expected {:?}: {record}",
        identity.expected_caller()
    );
    Ok(())
}

/// Writes a new key for clients into a file that only its owner can read.
fn client_key(directory: &Path) -> Result<()> {
    let mut random = [0; 20];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .context("failed to read /dev/urandom")?;
    let key = random
        .iter()
        .fold("sk-".to_owned(), |key, byte| format!("{key}{byte:02x}"));
    let path = directory.join("key");
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, key.as_bytes()))
        .with_context(|| format!("failed to write {}", path.display()))?;
    Ok(())
}

/// The simulated account: a user, a role that the user or the token's subject may assume, a Bedrock API key.
fn account_of(identity: Identity) -> Value {
    let all = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["bedrock:*", "sts:*"], "Resource": "*"}]});
    let (action, principal) = if identity == Identity::WebIdentity {
        let host = ISSUER.trim_start_matches("https://");
        (
            "sts:AssumeRoleWithWebIdentity",
            json!({"Federated": format!("arn:aws:iam::123456789012:oidc-provider/{host}")}),
        )
    } else {
        let principal = match identity {
            Identity::Container => json!({"Service": "ecs-tasks.amazonaws.com"}),
            Identity::Imds => json!({"Service": "ec2.amazonaws.com"}),
            Identity::PodIdentity => json!({"Service": "pods.eks.amazonaws.com"}),
            _ => json!({"AWS": "arn:aws:iam::123456789012:root"}),
        };
        ("sts:AssumeRole", principal)
    };
    json!({
        "users": [{
            "name": "developer",
            "access_key_id": ACCESS_KEY.0,
            "secret_access_key": ACCESS_KEY.1,
            "policies": [all],
        }],
        "bearer_keys": [{ "name": "developer-bedrock", "key": bearer_key(), "policies": [all] }],
        "roles": [{
            "arn": ROLE,
            "policies": [all],
            "trust_policy": {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": [action, "sts:TagSession"], "Principal": principal}]},
        }],
        "containers": [{ "path": CONTAINER_PATH, "role_arn": ROLE }],
        "instance": { "role_arn": ROLE },
        "pod_identity_associations": [
            { "namespace": "default", "service_account": "app", "role_arn": ROLE }],
    })
}

fn bearer_key() -> String {
    format!("{}-{}", "bedrock-api-key", "example")
}

/// Replaces the AWS variables of the user's environment.
fn set_environment(
    gateway: &mut Command,
    aws: SocketAddr,
    identity: Identity,
    directory: &Path,
) -> Result<()> {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            gateway.env_remove(name);
        }
    }
    let url = format!("http://{aws}");
    let nowhere = directory.join("none");
    gateway
        .env("AWS_REGION", REGION)
        .env(
            "AWS_EC2_METADATA_DISABLED",
            (identity != Identity::Imds).to_string(),
        )
        .env("AWS_CONFIG_FILE", &nowhere)
        .env("AWS_SHARED_CREDENTIALS_FILE", &nowhere);
    for service in ["BEDROCK_RUNTIME", "BEDROCK", "STS"] {
        gateway.env(format!("AWS_ENDPOINT_URL_{service}"), &url);
    }
    let (id, secret) = ACCESS_KEY;
    match identity {
        Identity::Static => {
            gateway
                .env("AWS_ACCESS_KEY_ID", id)
                .env("AWS_SECRET_ACCESS_KEY", secret);
        }
        Identity::AssumeRole => {
            gateway
                .env("AWS_ACCESS_KEY_ID", id)
                .env("AWS_SECRET_ACCESS_KEY", secret)
                .env("AWS_ROLE_ARN", ROLE);
        }
        Identity::Profile => {
            let config = directory.join("config");
            let text = format!(
                "[profile double]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"
            );
            repository::write(&config, text)?;
            gateway
                .env("AWS_PROFILE", "double")
                .env("AWS_CONFIG_FILE", config);
        }
        Identity::WebIdentity => {
            gateway
                .env("AWS_ROLE_ARN", ROLE)
                .env("AWS_WEB_IDENTITY_TOKEN_FILE", directory.join("token"));
        }
        Identity::Container => {
            gateway.env(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                format!("{url}{CONTAINER_PATH}"),
            );
        }
        Identity::Imds => {
            gateway.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url);
        }
        Identity::PodIdentity => {
            gateway
                .env(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    format!("{url}{POD_IDENTITY_PATH}"),
                )
                .env(
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                    directory.join("token"),
                );
        }
        Identity::Bearer => {
            gateway.env("AWS_BEARER_TOKEN_BEDROCK", bearer_key());
        }
    }
    Ok(())
}

/// A free port of loopback; another process may still take it.
fn free_address() -> Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .context("failed to find a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_key_is_random_and_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let key = || {
            client_key(directory.path()).unwrap();
            fs::read_to_string(directory.path().join("key")).unwrap()
        };
        let first = key();
        assert!(first.starts_with("sk-") && first.len() == 43, "{first}");
        assert_ne!(key(), first);
        let mode = fs::metadata(directory.path().join("key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
