//! The double as a program, for tests in other languages and for demos.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use awsdouble::config::{JwksSource, OidcProvider};
use awsdouble::{Config, Double, TokenIssuer};
use clap::Parser;

/// Simulated STS, credentials endpoints and Bedrock Runtime.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, env = "AWSDOUBLE_LISTEN", default_value = "127.0.0.1:4566")]
    listen: SocketAddr,
    /// Address that simulates bedrock-mantle.REGION.api.aws; defaults to a free port.
    #[arg(long, env = "AWSDOUBLE_MANTLE_LISTEN", value_name = "LISTEN")]
    mantle_listen: Option<SocketAddr>,
    /// Configuration of the simulated account: a YAML file, see `sample.yaml`.
    #[arg(long, env = "AWSDOUBLE_CONFIG")]
    config: Option<PathBuf>,
    /// Key set of the OIDC provider: a file or an http:// URL.
    #[arg(long, env = "AWSDOUBLE_JWKS")]
    jwks: Option<String>,
    /// Issuer of the keys in `--jwks`; required unless the configuration has exactly one provider.
    #[arg(long, env = "AWSDOUBLE_ISSUER")]
    issuer: Option<String>,
    /// Write a web identity token to this file, signed by a generated OIDC provider that the double
    /// trusts; valid for one day.
    #[arg(long, value_name = "FILE", requires = "web_identity_issuer")]
    web_identity_token: Option<PathBuf>,
    /// Issuer of the web identity token, for example https://oidc.example.
    #[arg(long, value_name = "URL", requires = "web_identity_token")]
    web_identity_issuer: Option<String>,
    /// ServiceAccount of the web identity token, as NAMESPACE:NAME.
    #[arg(long, value_name = "SUBJECT", default_value = "default:app")]
    web_identity_subject: String,
    /// Audience of the web identity token; EKS Pod Identity requires pods.eks.amazonaws.com.
    #[arg(long, value_name = "AUDIENCE", default_value = "sts.amazonaws.com")]
    web_identity_audience: String,
    /// Lifetime of issued credentials; overrides the requested duration.
    #[arg(long, env = "AWSDOUBLE_CREDENTIAL_LIFETIME", value_name = "SECONDS")]
    credential_lifetime: Option<u64>,
    /// Append every call to this file, one JSON document per line.
    #[arg(long, env = "AWSDOUBLE_RECORD", value_name = "FILE")]
    record: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let config = with_generated_provider(configuration(&arguments)?, &arguments)?;
    let any_port = SocketAddr::new(arguments.listen.ip(), 0);
    let mantle = arguments.mantle_listen.unwrap_or(any_port);
    let double = Double::start_on_both(config, arguments.listen, mantle).await?;
    if let Some(path) = &arguments.record {
        double
            .record_to(path)
            .with_context(|| format!("failed to open the record file {}", path.display()))?;
    }
    tracing::info!(
        url = double.url(),
        mantle = double.mantle_url(),
        "the double is ready"
    );
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    // Stalled streams never end: limit the wait.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), double.shutdown()).await;
    Ok(())
}

fn configuration(arguments: &Arguments) -> anyhow::Result<Config> {
    let mut config = match &arguments.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            Config::from_yaml(&text)
                .with_context(|| format!("failed to read {}", path.display()))?
        }
        None => Config::default(),
    };
    if let Some(seconds) = arguments.credential_lifetime {
        config.credential_lifetime_seconds = Some(seconds);
    }
    if let Some(jwks) = &arguments.jwks {
        let jwks = if jwks.starts_with("http://") || jwks.starts_with("https://") {
            JwksSource::Url { url: jwks.clone() }
        } else {
            JwksSource::File { file: jwks.into() }
        };
        match (&arguments.issuer, config.oidc_providers.as_mut_slice()) {
            (None, [only]) => only.jwks = jwks,
            (None, _) => bail!("--jwks needs --issuer, or a configuration with one provider"),
            (Some(issuer), providers) => {
                match providers
                    .iter_mut()
                    .find(|provider| provider.issuer == *issuer)
                {
                    Some(provider) => provider.jwks = jwks,
                    None => config.oidc_providers.push(OidcProvider {
                        issuer: issuer.clone(),
                        audiences: vec!["sts.amazonaws.com".to_owned()],
                        jwks,
                    }),
                }
            }
        }
    }
    Ok(config)
}

/// Adds the OIDC provider of `--web-identity-token` and writes the token.
fn with_generated_provider(config: Config, arguments: &Arguments) -> anyhow::Result<Config> {
    let (Some(path), Some(url)) = (
        &arguments.web_identity_token,
        &arguments.web_identity_issuer,
    ) else {
        return Ok(config);
    };
    let (namespace, name) = arguments
        .web_identity_subject
        .split_once(':')
        .context("--web-identity-subject is not of the form NAMESPACE:NAME")?;
    let issuer = TokenIssuer::generate(url)?;
    let now = u64::try_from(time::OffsetDateTime::now_utc().unix_timestamp())?;
    let expiry = now + 24 * 60 * 60;
    let audience = &arguments.web_identity_audience;
    let token = issuer.service_account_token(namespace, name, audience, now, expiry)?;
    std::fs::write(path, token)
        .with_context(|| format!("failed to write the token {}", path.display()))?;
    Ok(config.with_issuer(url, issuer.jwks()))
}
