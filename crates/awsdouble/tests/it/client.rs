//! Clients of a double: the AWS SDK, and a raw HTTP/1.1 client for requests that the SDK does not send.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_sts::config::{Credentials, Region};
use awsdouble::{Config, Double, TokenIssuer, allow_bedrock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/Bedrock";
pub(crate) const ISSUER: &str = "https://oidc.example/id/ABC";

#[expect(
    clippy::disallowed_methods,
    reason = "tests issue tokens with the current time"
)]
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A double with an OIDC provider and a role for `team-a/app`.
pub(crate) async fn irsa() -> (Double, TokenIssuer) {
    irsa_with(|config| config).await
}

pub(crate) async fn irsa_with(change: impl FnOnce(Config) -> Config) -> (Double, TokenIssuer) {
    let issuer = TokenIssuer::generate(ISSUER).unwrap();
    let config = Config::default()
        .with_issuer(ISSUER, issuer.jwks())
        .with_user(
            "anna",
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG",
            allow_bedrock(),
        )
        .with_bearer_key("ci", "bedrock-api-key-0123456789", allow_bedrock());
    let trust = config.irsa_trust(ISSUER, "team-a", "app");
    let config = config.with_role(ROLE, trust, allow_bedrock());
    (Double::start(change(config)).await.unwrap(), issuer)
}

pub(crate) fn token(issuer: &TokenIssuer) -> String {
    issuer
        .service_account_token("team-a", "app", "sts.amazonaws.com", now(), now() + 600)
        .unwrap()
}

pub(crate) fn user() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", None, None, "test")
}

pub(crate) fn sts(double: &Double, credentials: Option<Credentials>) -> aws_sdk_sts::Client {
    let mut config = aws_sdk_sts::Config::builder()
        .behavior_version_latest()
        .region(Region::new("us-east-1"))
        .endpoint_url(double.url())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled());
    config.set_credentials_provider(
        credentials.map(aws_sdk_sts::config::SharedCredentialsProvider::new),
    );
    aws_sdk_sts::Client::from_conf(config.build())
}

pub(crate) fn bedrock(double: &Double, credentials: Credentials) -> aws_sdk_bedrockruntime::Client {
    let config = aws_sdk_bedrockruntime::Config::builder()
        .behavior_version_latest()
        .region(Region::new("us-east-1"))
        .endpoint_url(double.url())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(aws_sdk_bedrockruntime::config::retry::RetryConfig::disabled())
        .credentials_provider(credentials);
    aws_sdk_bedrockruntime::Client::from_conf(config.build())
}

/// Temporary credentials for a web identity token.
pub(crate) async fn assume(double: &Double, token: &str) -> Credentials {
    let reply = sts(double, None)
        .assume_role_with_web_identity()
        .role_arn(ROLE)
        .role_session_name("test")
        .web_identity_token(token)
        .send()
        .await
        .unwrap();
    keys(reply.credentials().unwrap())
}

pub(crate) fn keys(credentials: &aws_sdk_sts::types::Credentials) -> Credentials {
    Credentials::new(
        credentials.access_key_id(),
        credentials.secret_access_key(),
        Some(credentials.session_token().to_owned()),
        None,
        "test",
    )
}

/// Sends raw bytes and reads the complete response: status, head, body.
async fn raw(address: &str, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut reply)).await;
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    (status, head.to_lowercase(), body.to_owned())
}

/// Sends a request to the double's main address and closes the connection.
pub(crate) async fn http(
    double: &Double,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    http_at(&double.address().to_string(), method, target, headers, body).await
}

/// Sends a request to an address and closes the connection.
pub(crate) async fn http_at(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    let extra: Vec<String> = headers
        .iter()
        .map(|(name, value)| {
            format!(
                "{name}: {value}
"
            )
        })
        .collect();
    let extra = extra.concat();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{extra}content-length: {}\r\n\r\n{body}",
        address,
        body.len()
    );
    raw(address, &request).await
}

/// Sends a request to the double's main address, signed by AWS's signer with the user's keys.
pub(crate) async fn signed(
    double: &Double,
    service: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    let address = double.address().to_string();
    signed_at(&address, service, method, target, headers, body).await
}

/// Sends a signed request to an address.
pub(crate) async fn signed_at(
    address: &str,
    service: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4;

    let identity = user().into();
    let host = address.to_owned();
    #[expect(
        clippy::disallowed_methods,
        reason = "the double verifies the signature by its clock"
    )]
    let time = SystemTime::now();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let all = std::iter::once(("host", host.as_str())).chain(headers.iter().copied());
    let request = SignableRequest::new(
        method,
        format!("http://{host}{target}"),
        all,
        SignableBody::Bytes(body.as_bytes()),
    )
    .unwrap();
    let (instructions, _) = sign(request, &parameters).unwrap().into_parts();
    let (added, _) = instructions.into_parts();
    let mut sent: Vec<(&str, &str)> = headers.to_vec();
    sent.extend(added.iter().map(|header| (header.name(), header.value())));
    http_at(address, method, target, &sent, body).await
}
