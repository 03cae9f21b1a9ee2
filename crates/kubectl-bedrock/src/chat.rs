//! `kubectl bedrock chat`: a chat with an endpoint from this machine, through a forwarded port, as a ServiceAccount that the
//! BedrockAccess admits. The gateway's `chat` command sends the requests.
//!
//! The token is requested for this chat, has the audience of the endpoint, and stays in memory.

use std::{io::Write, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use api::{
    names,
    v1alpha1::{BedrockAccess, client_audience, client_config_name, gateway_name, tls::TlsSpec},
};
use credentials::ProcessEnvironment;
use gateway::{Settings, cli::chat};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, ServiceAccount},
};
use kube::{Api, ResourceExt, api::PostParams};

use crate::{
    cluster::{Cluster, failed},
    forward::Forward,
    read,
    tunnel::Tunnel,
};

/// Key of a ConfigMap with certificates.
const AUTHORITIES: &str = "ca.crt";
/// Lifetime of the token, in seconds.
const TOKEN_SECONDS: i64 = 3600;

/// Send a prompt to an endpoint from this machine, or chat on a terminal.
#[derive(Clone, Debug, clap::Args)]
#[command(
    mut_arg("base_url", |argument| argument.hide(true)),
    mut_arg("wait", |argument| argument.hide(true)),
    after_help = EXAMPLES,
)]
#[group(skip)]
pub(crate) struct Args {
    /// Name of the BedrockAccess.
    #[arg(value_name = "NAME")]
    name: String,
    /// ServiceAccount to chat as [default: the first one in spec.clients.serviceAccounts].
    #[arg(long, value_name = "[NAMESPACE/]NAME", conflicts_with_all = ["api_key", "token_file"])]
    service_account: Option<String>,
    #[command(flatten)]
    chat: chat::Args,
}

const EXAMPLES: &str = "Requires permission to create pods/portforward, and serviceaccounts/token for the ServiceAccount. With an API
key (--api-key or BEDROCK_GATEWAY_API_KEY), no token is requested.

Examples:
  kubectl bedrock chat chat -n team-a \"Say hello.\"
  kubectl bedrock chat chat --service-account app --model fast";

/// Sends the prompt, or chats until the end of the input.
///
/// # Errors
/// No gateway runs, the caller lacks a permission, or the gateway returns an error.
pub(crate) async fn run(
    args: Args,
    cluster: &Cluster,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let access = read::access(cluster, &args.name).await?;
    let mut arguments = args.chat;
    if !access.spec.gateway.enabled {
        bail!(
            "{} has no gateway pods: chat from a pod with its sidecar",
            args.name
        );
    }
    if arguments.api_key.is_none() && arguments.token_file.is_none() {
        let account = account(&access, args.service_account.as_deref())?;
        if let Some((namespace, name)) = account {
            arguments.api_key = Some(token(cluster, &access, &namespace, &name).await?);
        }
    }
    if arguments.model.is_none() && arguments.session.is_none() {
        arguments.model = access.spec.models.first().map(|model| model.name.clone());
    }
    let pod = read::running_pod(cluster, &args.name).await?;
    let port = names::GATEWAY_PORT;
    let forward = Forward::open(cluster, &cluster.namespace, &pod, port).await?;
    let tunnel = match &access.spec.gateway.tls {
        Some(tls) => {
            let authorities = authorities(cluster, &access, tls).await?;
            let service = format!("{}.{}.svc", gateway_name(&args.name), cluster.namespace);
            Some(Tunnel::open(forward.address(), &service, &authorities).await?)
        }
        None => None,
    };
    let address = tunnel.as_ref().map(|tunnel| tunnel.address().to_string());
    let address = address.unwrap_or_else(|| forward.address());
    arguments.base_url = format!("http://{address}/v1");
    let settings = Settings::new(Arc::new(ProcessEnvironment));
    chat::run(&arguments, &settings, out).await?;
    Ok(ExitCode::SUCCESS)
}

/// The authorities of the gateway's certificate, as PEM.
async fn authorities(
    cluster: &Cluster,
    access: &BedrockAccess,
    tls: &TlsSpec,
) -> anyhow::Result<String> {
    let own = tls.secret_name.is_none() && tls.issuer_ref.is_none();
    let own = own.then(|| client_config_name(&access.name_any()));
    let name = tls.ca_config_map_name.clone().or(own).context(
        "the authority of the gateway's certificate is unknown: set spec.gateway.tls.caConfigMapName, or chat from a pod",
    )?;
    let api = Api::<ConfigMap>::namespaced(cluster.client.clone(), &cluster.namespace);
    let found = api.get(&name).await;
    let found = found.map_err(|error| failed(&format!("read ConfigMap {name}"), &error))?;
    let mut data = found.data.unwrap_or_default();
    data.remove(AUTHORITIES)
        .with_context(|| format!("ConfigMap {name} has no {AUTHORITIES}"))
}

/// Namespace and name of the ServiceAccount; `None` if clients need no authentication.
fn account(
    access: &BedrockAccess,
    given: Option<&str>,
) -> anyhow::Result<Option<(String, String)>> {
    let own = access.namespace().unwrap_or_default();
    let clients = &access.spec.clients;
    if let Some(given) = given {
        let (namespace, name) = given.split_once('/').unwrap_or((&own, given));
        return Ok(Some((namespace.to_owned(), name.to_owned())));
    }
    if clients.anonymous {
        return Ok(None);
    }
    let first = clients.service_accounts.first();
    let first = first.context(
        "spec.clients has no ServiceAccount: use --api-key KEY, with a key of the Secret in spec.clients.apiKeys",
    )?;
    let namespace = first.namespace.clone().unwrap_or(own);
    Ok(Some((namespace, first.name.clone())))
}

async fn token(
    cluster: &Cluster,
    access: &BedrockAccess,
    namespace: &str,
    name: &str,
) -> anyhow::Result<String> {
    let audience = access
        .status
        .as_ref()
        .and_then(|status| status.audience.clone());
    let own = access.namespace().unwrap_or_default();
    let audience = audience.unwrap_or_else(|| client_audience(&own, &access.name_any()));
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![audience],
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let api = Api::<ServiceAccount>::namespaced(cluster.client.clone(), namespace);
    let made: TokenRequest = api
        .create_subresource("token", name, &PostParams::default(), &request)
        .await
        .map_err(|error| {
            failed(
                &format!("get a token of ServiceAccount {namespace}/{name}"),
                &error,
            )
        })?;
    let status = made.status.context("the API server returned no token")?;
    Ok(status.token)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn access(clients: &serde_json::Value) -> BedrockAccess {
        serde_json::from_value(json!({
            "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccess",
            "metadata": {"name": "chat", "namespace": "team-a"},
            "spec": {"region": "us-east-1", "identity": {"podIdentity": {}}, "clients": clients},
        }))
        .unwrap()
    }

    #[test]
    fn chats_as_the_given_or_the_first_service_account() {
        let two =
            json!({"serviceAccounts": [{"namespace": "web", "name": "site"}, {"name": "app"}]});
        let found = |clients, given| account(&access(clients), given).unwrap();
        let pair = |namespace: &str, name: &str| Some((namespace.to_owned(), name.to_owned()));
        assert_eq!(found(&two, None), pair("web", "site"));
        assert_eq!(found(&two, Some("app")), pair("team-a", "app"));
        assert_eq!(found(&two, Some("jobs/nightly")), pair("jobs", "nightly"));
        assert_eq!(found(&json!({"anonymous": true}), None), None);
    }

    #[test]
    fn endpoint_with_api_keys_alone_needs_one() {
        let keys = access(&json!({"apiKeys": {"secretName": "keys"}}));
        let error = account(&keys, None).unwrap_err().to_string();
        assert!(error.contains("--api-key KEY"), "{error}");
    }
}
