//! `bedrock-gateway serve --simulate`: the gateway with a simulated AWS in the same process, to try clients.
//!
//! The simulated AWS is `awsdouble`, on a free port of loopback, with one user and static keys that exist there only. The
//! gateway is the real one: it signs each request, and errors come from the simulated AWS. Refused wherever a gateway for
//! real use could run: in a pod, with a configuration file, and with AWS credentials of a role in the environment. Built
//! with the feature `simulate` only.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use awsdouble::{Config, Double, config::Model};
use serde_json::json;

use crate::{
    config::Settings,
    server::{Drained, ServeError, Server},
};

/// The region of the simulated account.
const REGION: &str = "us-east-1";
/// The model of the printed commands.
const MODEL: &str = "us.amazon.nova-2-lite-v1:0";
/// A model that the policy of the simulated user denies.
const DENIED_MODEL: &str = "meta.llama4-scout-17b-instruct-v1:0";
/// A model that the simulated account has no access to.
const MODEL_WITHOUT_ACCESS: &str = "deepseek.r1-v1:0";
/// Name, access key id and secret of the simulated user; the keys are valid in this process only.
const USER: [&str; 3] = [
    "simulated",
    "AKIASIMULATEDSIMULAT",
    "simulated-secret-access-key",
];
/// The simulated AWS runs for days; its record of calls, with bodies, must stay small.
const KEPT_CALLS: usize = 20;
/// Variables with AWS credentials of a role, as in a pod, a task, a function or a session of a person.
const ROLE_VARIABLES: [&str; 5] = [
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SESSION_TOKEN",
];

/// Why AWS is not simulated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error(
        "--simulate is not supported in a Kubernetes pod (KUBERNETES_SERVICE_HOST is set). Fix: omit --simulate to call \
        Amazon Bedrock, or run it on your machine"
    )]
    Pod,
    #[error(
        "--simulate does not support a configuration file ({}). Fix: omit --config and unset BEDROCK_GATEWAY_CONFIG, or \
        omit --simulate",
        .0.display()
    )]
    ConfigFile(PathBuf),
    #[error(
        "--simulate is not supported with AWS credentials of a role ({0} is set). Fix: omit --simulate to call Amazon \
        Bedrock with them, or unset {0}"
    )]
    Role(&'static str),
}

/// Serves with a simulated AWS until `shutdown` completes.
///
/// # Errors
/// It is refused here, or the simulated AWS does not start; inside, the gateway does not start.
pub(super) async fn serve(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<Result<Drained, ServeError>> {
    check(&settings)?;
    let aws = Double::start(account()).await?;
    let has_key = settings.api_key.is_some() || settings.api_key_file.is_some();
    let server = match Server::bind(simulated(settings, &aws)).await {
        Ok(server) => server,
        Err(error) => return Ok(Err(error)),
    };
    print(&greeting(server.local_addr(), has_key));
    Ok(Ok(server.run(shutdown).await))
}

fn check(settings: &Settings) -> Result<(), Refusal> {
    let environment = settings.environment.as_ref();
    let is_set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    if is_set("KUBERNETES_SERVICE_HOST") {
        return Err(Refusal::Pod);
    }
    if let Some(path) = &settings.config {
        return Err(Refusal::ConfigFile(path.clone()));
    }
    match ROLE_VARIABLES.into_iter().find(|name| is_set(name)) {
        Some(name) => Err(Refusal::Role(name)),
        None => Ok(()),
    }
}

/// The simulated account: all models, except one that the user may not call and one without model access.
fn account() -> Config {
    let [name, id, secret] = USER;
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["bedrock:*", "bedrock-mantle:*", "sts:*"], "Resource": "*" },
        { "Effect": "Deny", "Action": "bedrock:InvokeModel*",
          "Resource": format!("arn:aws:bedrock:*::foundation-model/{DENIED_MODEL}") }] });
    let mut config = Config::default().with_user(name, id, secret, policy);
    config.models.push(Model {
        id: MODEL_WITHOUT_ACCESS.to_owned(),
        family: None,
        regions: Vec::new(),
        on_demand: false,
        profiles: vec!["us".to_owned()],
        access: false,
        legacy: false,
    });
    config.assistant = true;
    config.keep_calls = KEPT_CALLS;
    config
}

/// Settings with an environment that has nothing but the simulated AWS.
fn simulated(settings: Settings, aws: &Double) -> Settings {
    let [_, id, secret] = USER;
    let variables = [
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", id.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_ENDPOINT_URL", aws.url()),
        ("AWS_ENDPOINT_URL_BEDROCK_MANTLE", aws.mantle_url()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    let environment: BTreeMap<String, String> = variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Settings {
        environment: Arc::new(environment),
        simulated: true,
        ..settings
    }
}

/// What a person reads at the start.
fn greeting(address: SocketAddr, has_key: bool) -> String {
    let host = if address.ip().is_unspecified() {
        format!("127.0.0.1:{}", address.port())
    } else {
        address.to_string()
    };
    let (key, shown, header) = if has_key {
        (
            "YOUR_KEY",
            "the configured key",
            " -H 'Authorization: Bearer YOUR_KEY'",
        )
    } else {
        ("any", "none (any value works)", "")
    };
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r#"bedrock-gateway {version} with a SIMULATED AWS: no account, no network, no real model
Base URL: http://{host}/v1 (OpenAI), http://{host} (Anthropic, AWS SDKs). API key: {shown}. Model: {MODEL}

  curl http://{host}/v1/chat/completions{header} -d '{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
  python3 -c 'from openai import OpenAI; print(OpenAI(base_url="http://{host}/v1", api_key="{key}").chat.completions.create(model="{MODEL}", messages=[{{"role": "user", "content": "What is 6 * 7?"}}]).choices[0].message.content)'
  python3 -c 'from anthropic import Anthropic; print(Anthropic(base_url="http://{host}", api_key="{key}").messages.create(model="{MODEL}", max_tokens=100, messages=[{{"role": "user", "content": "Write a haiku."}}]).content[0].text)'

Send "help" for more prompts; open http://{host}/ for models and paths. Press Ctrl-C to stop.
"#
    )
}

#[expect(
    clippy::print_stderr,
    reason = "the greeting is for the person who started the program"
)]
fn print(text: &str) {
    eprint!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let environment: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Settings::new(Arc::new(environment))
    }

    #[test]
    fn refuses_a_pod_a_configuration_file_and_credentials_of_a_role_by_name() {
        assert_eq!(
            check(&settings(&[("KUBERNETES_SERVICE_HOST", "10.96.0.1")])),
            Err(Refusal::Pod)
        );
        let with_file = settings(&[("BEDROCK_GATEWAY_CONFIG", "/etc/gateway.yaml")]);
        assert_eq!(
            check(&with_file),
            Err(Refusal::ConfigFile("/etc/gateway.yaml".into()))
        );
        for name in ROLE_VARIABLES {
            let refusal = check(&settings(&[(name, "x")])).unwrap_err();
            let text = refusal.to_string();
            assert!(text.contains(name) && text.contains("Fix: "), "{text}");
        }
    }

    #[test]
    fn static_keys_and_a_profile_of_the_user_are_not_used() {
        let user = settings(&[
            ("AWS_ACCESS_KEY_ID", "AKIAREALREALREALREAL"),
            ("AWS_SECRET_ACCESS_KEY", "real"),
            ("AWS_PROFILE", "work"),
            ("HOME", "/home/user"),
        ]);
        assert_eq!(check(&user), Ok(()));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let aws = Double::start(account()).await.unwrap();
            let simulated = simulated(user, &aws);
            for name in ["AWS_PROFILE", "HOME"] {
                assert_eq!(simulated.environment.get(name), None);
            }
            let id = simulated.environment.get("AWS_ACCESS_KEY_ID");
            assert_eq!(id.as_deref(), Some(USER[1]));
        });
    }

    #[test]
    fn greeting_names_a_reachable_address_and_no_secret() {
        let text = greeting("0.0.0.0:8000".parse().unwrap(), true);
        assert!(text.contains("http://127.0.0.1:8000/v1"), "{text}");
        assert!(text.contains("Bearer YOUR_KEY"), "{text}");
        assert!(!text.contains(USER[2]), "{text}");
        let open = greeting("127.0.0.1:9".parse().unwrap(), false);
        assert!(open.contains("API key: none"), "{open}");
    }
}
