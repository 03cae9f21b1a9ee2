//! Steps 3 and 5 for dialects that are translated to Converse: a request made ready for each target it may
//! go to, with the media it refers to fetched once.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use dialects::translation::{
    DecodeOptions, Fetch, Fetched, GuardrailRef, RemoteMedia, RequestError,
};
use http::HeaderMap;

use crate::{
    admit::Admitted,
    app::State,
    error::GatewayError,
    live::Live,
    route::Target,
    upstream::{Call, Operation, Prepare, Prepared},
};

/// A request as a dialect translates it for one target.
#[derive(Debug)]
pub(crate) struct Translated<C> {
    /// The body of Converse. Incomplete while `fetches` is not empty.
    pub(crate) body: Vec<u8>,
    /// Whether to call ConverseStream.
    pub(crate) stream: bool,
    /// What has to be fetched first.
    pub(crate) fetches: Vec<Fetch>,
    /// What the way back needs.
    pub(crate) context: C,
}

/// How a dialect translates.
pub(crate) type Translate<C> = fn(&[u8], &DecodeOptions<'_>) -> Result<Translated<C>, RequestError>;

/// A dialect's own way to targets that speak it; none for those that are translated for.
pub(crate) type Native<C> = fn(&Live, &Target, &[u8]) -> Result<Option<Prepared<C>>, GatewayError>;

/// A call that asks the targets of a request in turn, each in its own words.
///
/// # Errors
/// When the request cannot be translated for the first target, or its media cannot be fetched.
pub(crate) async fn call<C: 'static>(
    state: &State,
    admitted: Admitted,
    native: Native<C>,
    translate: Translate<C>,
) -> Result<Call<C>, GatewayError> {
    let Admitted {
        live,
        body,
        targets,
        first: target,
        ..
    } = admitted;
    let mut fetched = BTreeMap::new();
    let first = match native(&live, &target, &body)? {
        Some(prepared) => prepared,
        None => match attempt(&live, &body, &target, &fetched, translate)? {
            Attempt::Ready(prepared) => *prepared,
            Attempt::Wants(wanted) => {
                fetched = state.fetcher().fetch_all(&wanted).await?;
                attempt(&live, &body, &target, &fetched, translate)?.ready()?
            }
        },
    };
    let shared = Arc::clone(&live);
    let prepare: Prepare<C> = Arc::new(move |target| match native(&shared, target, &body)? {
        Some(prepared) => Ok(prepared),
        None => attempt(&shared, &body, target, &fetched, translate)?.ready(),
    });
    Ok(Call {
        state: state.clone(),
        live,
        targets,
        prepare,
        first,
    })
}

/// What translating gives.
enum Attempt<C> {
    Ready(Box<Prepared<C>>),
    /// These first, then again.
    Wants(Vec<Fetch>),
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
    fetched: &'o BTreeMap<String, Fetched>,
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
        ..DecodeOptions::new(&target.facts)
    }
}

fn attempt<C>(
    live: &Live,
    body: &[u8],
    target: &Target,
    fetched: &BTreeMap<String, Fetched>,
    translate: Translate<C>,
) -> Result<Attempt<C>, GatewayError> {
    let options = options(live, target, fetched);
    let translated = translate(body, &options)?;
    if !translated.fetches.is_empty() {
        return Ok(Attempt::Wants(translated.fetches));
    }
    Ok(Attempt::Ready(Box::new(Prepared {
        operation: if translated.stream {
            Operation::ConverseStream
        } else {
            Operation::Converse
        },
        headers: HeaderMap::new(),
        body: Bytes::from(translated.body),
        context: translated.context,
    })))
}
