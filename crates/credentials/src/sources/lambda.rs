//! Lambda: the service puts a session of the function's execution role into the environment.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>. The keys are those of
//! `static_keys.rs`; an execution environment lives shorter than its session, so nothing renews them.

use crate::{
    active::Material,
    environment::{Environment, value},
    sources::{Fetch, Source, static_keys::Keys},
    unavailable::{Reason, Unavailable},
};

/// The execution role's session.
#[derive(Debug)]
pub(crate) struct Lambda(pub(crate) Keys);

/// Whether these keys are the ones Lambda itself set: a function, and a session token.
pub(crate) fn is_lambda(environment: &dyn Environment, keys: &Keys) -> bool {
    value(environment, "AWS_LAMBDA_FUNCTION_NAME").is_some() && keys.session_token.is_some()
}

impl Source for Lambda {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(async { Ok(Material::Keys(self.0.credentials("Lambda"))) })
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(Reason::Rejected, "reading the environment took too long")
    }

    fn way_out(&self) -> &'static str {
        "the execution role's session has ended; Lambda starts a new execution environment with a new one"
    }
}
