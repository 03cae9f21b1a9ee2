//! Lists the models of a region with the credentials of a command.

use api::Region;
use bytes::Bytes;
use credentials::{ActiveCredentials, Handle};
use http::Method;

use crate::{
    cli::aws::{
        Service,
        client::{AwsClient, Call, CallError},
    },
    upstream::listing::{self, Malformed},
};

pub(crate) use crate::upstream::listing::{Entry, RegionModels};

/// Lists models and inference profiles. If only the profiles are unavailable, returns the models with a note.
///
/// # Errors
/// `ListFoundationModels` failed.
pub(crate) async fn list(
    client: &AwsClient,
    handle: &Handle,
    credentials: &ActiveCredentials,
    base: &str,
    region: &Region,
) -> Result<RegionModels, CallError> {
    listing::list(|path| async move {
        let call = Call {
            method: Method::GET,
            url: format!("{base}{path}"),
            service: Service::Bedrock.signing_name(),
            region: region.to_string(),
            content_type: None,
            headers: http::HeaderMap::new(),
            body: Bytes::new(),
        };
        let response = client.send(call, handle, credentials).await?;
        Ok(response.body)
    })
    .await
}

impl From<Malformed> for CallError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.to_string())
    }
}
