//! Steps 3 and 5 for dialects that speak more than one of Bedrock's languages: a request made ready for each
//! target it may go to, with the media it refers to fetched once.

use std::{collections::BTreeMap, sync::Arc};

use bedrock::converse::ConverseRequest;
use bytes::Bytes;
use dialects::translation::{DecodeOptions, Fetch, Fetched, GuardrailRef, RemoteMedia};
use http::HeaderMap;

use crate::{
    http::error::GatewayError,
    pipeline::{active_config::Live, admit::Admitted, route::Target},
    server::router::State,
    upstream::{
        call::{Call, Prepare, Prepared},
        operation::Operation,
    },
};

/// Media by the URL that a request names them by.
pub(crate) type Media = BTreeMap<String, Fetched>;

/// What making a request ready gives.
#[derive(Debug)]
pub(crate) enum Attempt<C> {
    Ready(Box<Prepared<C>>),
    /// These first, then again.
    Wants(Vec<Fetch>),
}

/// A call that asks the targets of a request in turn, each in its own words, which `prepare` finds.
///
/// # Errors
/// When the request cannot be made ready for the first target, or its media cannot be fetched.
pub(crate) async fn call<C, P>(
    state: &State,
    admitted: Admitted,
    prepare: P,
) -> Result<Call<C>, GatewayError>
where
    C: 'static,
    P: Fn(&Live, &Target, &[u8], &Media) -> Result<Attempt<C>, GatewayError>
        + Send
        + Sync
        + 'static,
{
    let Admitted {
        live,
        body,
        targets,
        first: target,
        ..
    } = admitted;
    let mut fetched = Media::new();
    let first = match prepare(&live, &target, &body, &fetched)? {
        Attempt::Ready(prepared) => *prepared,
        Attempt::Wants(wanted) => {
            fetched = state.fetcher().fetch_all(&wanted).await?;
            prepare(&live, &target, &body, &fetched)?.ready()?
        }
    };
    let shared = Arc::clone(&live);
    let prepare: Prepare<C> =
        Arc::new(move |target| prepare(&shared, target, &body, &fetched)?.ready());
    Ok(Call {
        state: state.clone(),
        live,
        targets,
        prepare,
        first,
    })
}

/// A request that has become one of Converse.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn by_converse<C>(
    request: &ConverseRequest<'_>,
    stream: bool,
    warnings: Vec<String>,
    context: C,
) -> Result<Attempt<C>, GatewayError> {
    let body = serde_json::to_vec(request)
        .map_err(|_| GatewayError::Internal("the translated request cannot be written"))?;
    Ok(Attempt::Ready(Box::new(Prepared {
        operation: if stream {
            Operation::ConverseStream
        } else {
            Operation::Converse
        },
        headers: HeaderMap::new(),
        body: Bytes::from(body),
        warnings,
        context,
    })))
}

impl<C> Attempt<C> {
    fn ready(self) -> Result<Prepared<C>, GatewayError> {
        match self {
            Self::Ready(prepared) => Ok(*prepared),
            // All targets see the same request, so they want the same.
            Self::Wants(_) => Err(GatewayError::Internal(
                "a request that wants more media than it did before",
            )),
        }
    }
}

/// How to decode for a target.
pub(crate) fn options<'o>(
    live: &Live,
    target: &'o Target,
    fetched: &'o Media,
) -> DecodeOptions<'o> {
    let config = &live.config;
    DecodeOptions {
        strict: config.strict,
        automatic_cache: config.automatic_cache,
        guardrail: config.guardrail.as_ref().map(|guardrail| GuardrailRef {
            identifier: guardrail.identifier.clone(),
            version: guardrail.version.clone(),
        }),
        remote_media: if config.fetch_remote_media {
            RemoteMedia::Fetch(fetched)
        } else {
            RemoteMedia::Refuse
        },
        ..DecodeOptions::new(&target.capabilities)
    }
}
