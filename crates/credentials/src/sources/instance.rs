//! The EC2 instance profile, from version 2 of the instance metadata service (IMDSv2), with the SDK's provider.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>. Each fetch
//! creates a new provider, because an existing one returns its previous credentials on failure.

use std::{error::Error, time::Duration};

use aws_config::{
    imds::{
        self,
        client::{EndpointMode, error::ImdsError},
        credentials::ImdsCredentialsProvider,
    },
    provider_config::ProviderConfig,
};
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::{
    active::Material,
    clock::Clock,
    environment::{Environment, flag, value},
    settings::SettingsError,
    sources::{Fetch, Source},
    unavailable::{Reason, Unavailable, causes},
};

pub(crate) const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const ENDPOINT_MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
const HOP_LIMIT_FIX: &str = "Containers need a response hop limit of 2: aws ec2 modify-instance-metadata-options --instance-id … --http-put-response-hop-limit 2. Outside EC2, configure another method, for example AWS_PROFILE";

/// Address of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceSettings {
    pub(crate) endpoint: Option<String>,
    pub(crate) ipv6: bool,
}

/// Calls the metadata service at each fetch; keeps its session token.
#[derive(Debug)]
pub(crate) struct Instance {
    client: imds::Client,
    config: ProviderConfig,
    endpoint: String,
}

impl InstanceSettings {
    /// `None` if the service is disabled.
    pub(crate) fn from_env(environment: &dyn Environment) -> Result<Option<Self>, SettingsError> {
        if flag(environment, DISABLED) {
            return Ok(None);
        }
        let endpoint = value(environment, ENDPOINT);
        if let Some(uri) = &endpoint
            && uri
                .parse::<http::Uri>()
                .ok()
                .and_then(|uri| uri.host().map(str::len))
                .is_none()
        {
            return Err(SettingsError::Endpoint {
                setting: ENDPOINT.to_owned(),
                value: uri.clone(),
            });
        }
        Ok(Some(Self {
            endpoint,
            ipv6: value(environment, ENDPOINT_MODE)
                .is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6")),
        }))
    }
}

impl Instance {
    pub(crate) fn new(
        settings: &InstanceSettings,
        http: SharedHttpClient,
        clock: &Clock,
    ) -> Result<Self, SettingsError> {
        let config = ProviderConfig::without_region()
            .with_http_client(http)
            .with_time_source(clock.clone());
        let mut builder =
            imds::Client::builder()
                .configure(&config)
                .endpoint_mode(if settings.ipv6 {
                    EndpointMode::IpV6
                } else {
                    EndpointMode::IpV4
                });
        if let Some(endpoint) = &settings.endpoint {
            builder = builder
                .endpoint(endpoint)
                .map_err(|_| SettingsError::Endpoint {
                    setting: ENDPOINT.to_owned(),
                    value: endpoint.clone(),
                })?;
        }
        Ok(Self {
            client: builder.build(),
            config,
            endpoint: settings.endpoint.clone().unwrap_or_else(|| {
                if settings.ipv6 {
                    "http://[fd00:ec2::254]"
                } else {
                    "http://169.254.169.254"
                }
                .to_owned()
            }),
        })
    }

    async fn request(&self) -> Result<Material, Unavailable> {
        ImdsCredentialsProvider::builder()
            .configure(&self.config)
            .imds_client(self.client.clone())
            .build()
            .provide_credentials()
            .await
            .map(Material::Keys)
            .map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &CredentialsError) -> Unavailable {
        let text = causes(error);
        let no_role = Unavailable::new(
            Reason::NoInstanceRole,
            format!(
                "the instance metadata service at {} returned no role: attach an instance profile to the instance",
                self.endpoint
            ),
        );
        let unreachable = |what: &str| {
            Unavailable::new(
                Reason::InstanceMetadataUnreachable,
                format!(
                    "{what} from the instance metadata service at {}: {text}. {HOP_LIMIT_FIX}",
                    self.endpoint
                ),
            )
        };
        // The service responds with 403 if it is disabled, so the network is not the problem.
        let refused = || {
            Unavailable::new(
                Reason::InstanceMetadataRefused,
                format!(
                    "HTTP status 403 from the instance metadata service at {}: it is disabled for this instance, or a firewall denies it to this process",
                    self.endpoint
                ),
            )
        };
        match find::<ImdsError>(error) {
            Some(ImdsError::ErrorResponse(response)) => {
                match response.response().status().as_u16() {
                    404 => no_role,
                    403 => refused(),
                    status => unreachable(&format!("HTTP status {status}")),
                }
            }
            // The SDK keeps the status of a rejected token request to itself.
            _ if text.contains("request forbidden") => refused(),
            Some(_) => unreachable("no valid response"),
            // The provider reports both a missing role and a token request without response as "not loaded".
            None if matches!(error, CredentialsError::CredentialsNotLoaded(_))
                && text.contains("404") =>
            {
                no_role
            }
            None if matches!(error, CredentialsError::CredentialsNotLoaded(_)) => {
                unreachable("no response")
            }
            None if matches!(error, CredentialsError::InvalidConfiguration(_)) => {
                Unavailable::new(Reason::AccessDenied, text)
            }
            None => Unavailable::new(
                Reason::InstanceMetadataUnreachable,
                format!("the instance metadata service at {}: {text}", self.endpoint),
            ),
        }
    }
}

/// The first error of type `E` in the chain of an error and its sources.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

impl Source for Instance {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.request())
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(
            Reason::InstanceMetadataUnreachable,
            format!(
                "timeout while waiting for the instance metadata service at {}. {HOP_LIMIT_FIX}",
                self.endpoint
            ),
        )
    }

    fn fix(&self) -> &'static str {
        "The service returns the same credentials until shortly before they expire; if the role's sessions were revoked, detach and reattach the instance profile"
    }
}
