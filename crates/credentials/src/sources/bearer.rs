//! A Bedrock API key in `AWS_BEARER_TOKEN_BEDROCK`, sent as a bearer token instead of a signature.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html>. As in AWS's SDKs it overrides access keys.

use crate::{
    active::Material,
    secret::{BearerToken, Secret},
    sources::{Fetch, Source},
    unavailable::{Reason, Unavailable},
};

pub(crate) const BEARER_TOKEN: &str = "AWS_BEARER_TOKEN_BEDROCK";

/// The API key.
#[derive(Debug)]
pub(crate) struct Bearer(pub(crate) Secret);

impl Source for Bearer {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(async { Ok(Material::Bearer(BearerToken::new(self.0.clone()))) })
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(Reason::Rejected, "timeout while reading the environment")
    }

    fn fix(&self) -> &'static str {
        "The Bedrock API key in AWS_BEARER_TOKEN_BEDROCK is expired, deleted or for another region: create a new key and restart"
    }
}
