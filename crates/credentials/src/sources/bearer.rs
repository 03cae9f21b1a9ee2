//! A Bedrock API key in `AWS_BEARER_TOKEN_BEDROCK`, sent as a bearer token in place of a signature.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html>. As in AWS's SDKs it wins over keys.

use crate::{
    active::Material,
    secret::{BearerToken, Secret},
    sources::{Fetch, Source},
    unavailable::{Reason, Unavailable},
};

pub(crate) const BEARER_TOKEN: &str = "AWS_BEARER_TOKEN_BEDROCK";

/// The key as it was set.
#[derive(Debug)]
pub(crate) struct Bearer(pub(crate) Secret);

impl Source for Bearer {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(async { Ok(Material::Bearer(BearerToken::new(self.0.clone()))) })
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(Reason::Rejected, "reading the environment took too long")
    }

    fn way_out(&self) -> &'static str {
        "the Bedrock API key of AWS_BEARER_TOKEN_BEDROCK is expired, deleted or for another region; make a new one and restart"
    }
}
