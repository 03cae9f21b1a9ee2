//! Lambda: the service sets temporary credentials of the function's execution role in the environment.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>. The variables are those of
//! `static_keys.rs`; an execution environment ends before its credentials expire, so they are not renewed.

use crate::{
    active::Material,
    environment::{Environment, value},
    sources::{Fetch, Source, static_keys::Keys},
    unavailable::{Reason, Unavailable},
};

/// The execution role's credentials.
#[derive(Debug)]
pub(crate) struct Lambda(pub(crate) Keys);

/// Whether Lambda set these keys: the function name is set, and the keys have a session token.
pub(crate) fn is_lambda(environment: &dyn Environment, keys: &Keys) -> bool {
    value(environment, "AWS_LAMBDA_FUNCTION_NAME").is_some() && keys.session_token.is_some()
}

impl Source for Lambda {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(async { Ok(Material::Keys(self.0.credentials("Lambda"))) })
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(Reason::Rejected, "timeout while reading the environment")
    }

    fn fix(&self) -> &'static str {
        "The execution role's credentials have expired; Lambda starts a new execution environment with new ones"
    }
}
