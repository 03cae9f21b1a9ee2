//! `POST /v1/images/generations`: one request, as many calls of InvokeModel as its model needs.
//! <https://platform.openai.com/docs/api-reference/images/create>
//!
//! Calls go out a few at a time and their pictures come back in order. Only targets of the same kind of
//! model stand in for each other.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State as FromState},
    response::Response,
};
use bytes::Bytes;
use dialects::images::{
    ImageRequest, ImageResult, decode_images, encode_images, read_image_response,
};
use futures::{StreamExt, TryStreamExt, stream};
use http::HeaderMap;

use crate::{
    http::error::GatewayError,
    pipeline::{
        active_config::Live,
        admit::{Admitted, admit},
        driver::{json, refuse},
        record::{Account, Calls},
        route::Target,
    },
    server::router::{State, seconds},
    telemetry::request_id::Arrival,
    upstream::{
        call::{Answer, Call, Content, Prepared},
        operation::Operation,
    },
};

pub(crate) const PATH: &str = "/v1/images/generations";
/// Calls of one request at once.
const AT_ONCE: usize = 4;

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    request: Request,
) -> Response {
    let mut account = Account::open(&state, &arrival, PATH, "images");
    match answer(&state, request, &mut account).await {
        Ok(response) => {
            account.succeeded();
            response
        }
        Err(error) => refuse(&mut account, &error),
    }
}

async fn answer(
    state: &State,
    request: Request,
    account: &mut Account,
) -> Result<Response, GatewayError> {
    let Admitted {
        live,
        body,
        mut targets,
        first,
        ..
    } = admit(state, request, account).await?;
    let ImageRequest {
        calls,
        output_format,
        mut warnings,
    } = decode_images(
        &body,
        &first.capabilities,
        live.config.strict,
        fastrand::u64(..),
    )?;
    targets.retain(|target| target.capabilities.image == first.capabilities.image);
    let empty = account.calls().fork();
    let results: Vec<(ImageResult, Calls)> = stream::iter(calls)
        .map(|call| draw(state, &live, &targets, Bytes::from(call), empty.fork()))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut images = Vec::with_capacity(results.len());
    for (result, calls) in results {
        account.join(calls);
        if let Some(why) = &result.blocked {
            // A header takes printable ASCII only.
            let plain = why.replace(|c: char| !(c == ' ' || c.is_ascii_graphic()), " ");
            warnings.push(format!("n: some pictures were kept back, {plain}"));
        }
        images.push(result);
    }
    let body = encode_images(&images, &output_format, seconds(state.now()));
    Ok(json(body, &HeaderMap::new(), &warnings))
}

/// One call; gives its pictures and what became of its tries.
async fn draw(
    state: &State,
    live: &Arc<Live>,
    targets: &[Arc<Target>],
    body: Bytes,
    mut calls: Calls,
) -> Result<(ImageResult, Calls), GatewayError> {
    let prepared = move |body: Bytes| Prepared {
        operation: Operation::InvokeModel,
        headers: HeaderMap::new(),
        body,
        warnings: Vec::new(),
        context: (),
    };
    let upstream = Call {
        state: state.clone(),
        live: Arc::clone(live),
        targets: targets.to_vec(),
        first: prepared(body.clone()),
        prepare: Arc::new(move |_| Ok(prepared(body.clone()))),
    };
    let Answer { content, .. } = upstream.perform(&mut calls).await?;
    let Content::Whole(body) = content else {
        return Err(GatewayError::Internal("a stream where none was asked for"));
    };
    calls.complete(None);
    Ok((read_image_response(&body)?, calls))
}
