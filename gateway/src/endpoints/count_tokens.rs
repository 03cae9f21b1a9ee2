//! `POST /v1/messages/count_tokens`: the input tokens of a request, as counted by Bedrock. Models without counting get
//! an error, never an estimate. <https://docs.claude.com/en/api/messages-count-tokens>

use std::sync::Arc;

use bedrock::apis::{BedrockApi, Protocol};
use bytes::Bytes;
use dialects::anthropic::{
    Endpoint as ClaudeEndpoint, count_by_converse, count_passthrough, encode_count, passthrough,
    read_count,
};

use super::messages::prepare::{betas, endpoint_headers, unsupported};
use crate::{
    http::{
        dialect::Dialect,
        error::{GatewayError, Result},
    },
    pipeline::{
        converse,
        endpoint::{Endpoint, Preparation, Reply, TargetRequest},
        record::RequestRecord,
    },
    upstream::{
        call::Prepared,
        operation::Operation,
        target::{Target, Targets},
    },
};

/// Part of Bedrock's error for models without counting.
const UNCOUNTED: &str = "doesn't support counting tokens";

/// Token counting.
pub(crate) struct CountTokens {
    model: String,
}

/// The API that counts the tokens of a target.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counting {
    /// An Anthropic endpoint, in the client's dialect.
    Passthrough,
    /// Bedrock's CountTokens.
    Bedrock,
}

impl Endpoint for CountTokens {
    const PATH: &'static str = "/v1/messages/count_tokens";
    const OPERATION: &'static str = "count_tokens";
    const DIALECT: Dialect = Dialect::Anthropic;
    type Context = Counting;

    fn new(model: &str, _: u64) -> Self {
        Self {
            model: model.to_owned(),
        }
    }

    fn targets(targets: Targets) -> Result<Targets> {
        targets.try_map(countable)
    }

    fn prepare(&self, request: TargetRequest<'_>) -> Result<Preparation<Self::Context>> {
        let TargetRequest { target, body, .. } = request;
        let options = converse::decode_options(&request)?;
        let betas = betas(request.headers);
        if let Some(api) = endpoint(target) {
            let via = ClaudeEndpoint::Anthropic {
                model: &target.model_id,
            };
            let sent = passthrough(body, &betas, via, &options)?;
            let operation = Operation::Passthrough {
                api,
                protocol: Protocol::CountMessageTokens,
                stream: false,
            };
            return Ok(Prepared {
                headers: endpoint_headers(request.headers, &sent.betas)?,
                warnings: sent.warnings,
                ..Prepared::new(operation, sent.body, Counting::Passthrough)
            }
            .into());
        }
        let (body, warnings) = match target.capabilities.apis.messages {
            None => return Err(unsupported(target)),
            Some(BedrockApi::InvokeModel) => count_passthrough(body, &betas, &options)?,
            Some(_) => count_by_converse(body, &betas, &options)?,
        };
        Ok(Prepared {
            warnings,
            ..Prepared::new(Operation::CountTokens, body, Counting::Bedrock)
        }
        .into())
    }

    /// Bedrock rejects models without counting as invalid requests; in this dialect they are not found.
    fn map_error(&self, error: GatewayError) -> GatewayError {
        match &error {
            GatewayError::Service(refusal) if refusal.error.message.contains(UNCOUNTED) => {
                GatewayError::TokensUncounted {
                    model: self.model.clone(),
                    why: "Bedrock counts for some models only; send the request and read usage",
                }
            }
            _ => error,
        }
    }

    fn whole(&self, reply: Reply<'_, Self::Context>, _: &mut RequestRecord) -> Result<Bytes> {
        match reply.context {
            Counting::Passthrough => Ok(reply.body),
            Counting::Bedrock => {
                let tokens = read_count(&reply.body)
                    .ok_or_else(|| GatewayError::Unreadable("no token count".to_owned()))?;
                Ok(Bytes::from(encode_count(tokens)))
            }
        }
    }
}

/// The API of a target that counts in this dialect.
fn endpoint(target: &Target) -> Option<BedrockApi> {
    let api = target.capabilities.apis.messages?;
    api.path(Protocol::CountMessageTokens).map(|_| api)
}

/// The target for counting: CountTokens supports foundation models only, no inference profiles.
fn countable(target: &Arc<Target>) -> Result<Arc<Target>> {
    if endpoint(target).is_some() {
        return Ok(Arc::clone(target));
    }
    target
        .foundation_model()
        .map(Arc::new)
        .ok_or_else(|| GatewayError::TokensUncounted {
            model: target.model_id.clone(),
            why: "its id does not contain the foundation model, which Bedrock needs; the gateway's \
                  administrator can set it as baseModel of the target",
        })
}
