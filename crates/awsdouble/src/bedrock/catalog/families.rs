//! Model families and their rules, as declared in `data/models.yaml`.

use std::sync::Arc;

use serde::Deserialize;

use super::CatalogError;

/// A model family with its rules.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) rules: Rules,
}

/// Support for reasoning blocks of earlier turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reasoning {
    /// Not supported.
    None,
    /// Supported, without a signature.
    Plain,
    /// Supported with a valid signature only.
    Signed,
}

/// The format of InvokeModel's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BodyFormat {
    /// A format that the double does not support.
    Unknown,
    /// Anthropic Messages.
    Messages,
    /// Nova's format: Converse's with a schema version.
    Nova,
    /// Llama's format: `prompt` in, `generation` out.
    Llama,
    /// Mistral's format: `prompt` in, `outputs` out.
    Mistral,
    /// OpenAI Chat Completions.
    Chat,
    /// Titan embeddings of one text.
    TitanEmbeddings,
    /// Cohere embeddings of several texts.
    CohereEmbeddings,
    /// Nova embeddings of one text.
    NovaEmbeddings,
    /// Amazon's image task types: Nova Canvas, Titan Image Generator.
    AmazonImage,
    /// Stability's image generation.
    StabilityImage,
    /// Cohere rerank.
    CohereRerank,
    /// Amazon rerank.
    AmazonRerank,
}

impl BodyFormat {
    /// The output modality, as in `outputModalities`.
    pub(crate) fn output(self) -> &'static str {
        match self {
            Self::TitanEmbeddings | Self::CohereEmbeddings | Self::NovaEmbeddings => "EMBEDDING",
            Self::AmazonImage | Self::StabilityImage => "IMAGE",
            _ => "TEXT",
        }
    }

    /// Whether the response can be streamed.
    pub(crate) fn streams(self) -> bool {
        matches!(
            self,
            Self::Unknown | Self::Messages | Self::Nova | Self::Llama | Self::Mistral | Self::Chat
        )
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr,)*) => {
        /// The rules of a family. Rules that the data omits are inherited from the family in `like`, or the default.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct Rules { $($(#[$doc])* pub(crate) $name: $kind,)* }

        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct FamilyData {
            name: String,
            #[serde(rename = "match")]
            patterns: Vec<String>,
            like: Option<String>,
            provider: Option<String>,
            $($name: Option<$kind>,)*
        }

        impl FamilyData {
            fn rules(&self, base: &Rules) -> Rules {
                Rules { $($name: self.$name.clone().unwrap_or_else(|| base.$name.clone()),)* }
            }
        }

        impl Default for Rules {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }
    };
}

rules! {
    /// Whether Converse supports the family.
    converse: bool = true,
    /// The body format of InvokeModel.
    body_format: BodyFormat = BodyFormat::Unknown,
    /// The first message must have the user role.
    user_first: bool = true,
    /// Rejects two messages of the same role in a row.
    alternating: bool = true,
    /// The last message may have the assistant role.
    prefill: bool = true,
    /// Supports `system`.
    system: bool = true,
    /// Supports `toolConfig`.
    tools: bool = true,
    /// Supports `toolConfig` on ConverseStream.
    streaming_tools: bool = true,
    /// Supported types of `toolChoice`.
    tool_choice: Vec<String> = Vec::new(),
    /// Supports `toolResult.status`.
    tool_result_status: bool = true,
    /// Supported media blocks in messages.
    media: Vec<String> = Vec::new(),
    /// Media blocks that may be in S3.
    s3_media: Vec<String> = list(&["image", "document", "video", "audio"]),
    /// Supported media blocks, or formats of documents, in tool results.
    tool_result_media: Vec<String> = Vec::new(),
    /// Blocks, or formats of documents, that a message with tool results may also have.
    beside_tool_result: Vec<String> = list(&["text", "image", "document", "video", "audio"]),
    /// The model checks schemas, images and cited documents like Anthropic's API.
    anthropic: bool = false,
    /// Supported types of Claude's `thinking`.
    thinking: Vec<String> = Vec::new(),
    /// Supported values of `output_config.effort`.
    effort: Vec<String> = Vec::new(),
    /// Prefix of the beta flag that effort requires.
    effort_flag: Option<String> = None,
    /// Supports temperature, `topP` and `top_k`.
    sampling: bool = true,
    /// Messages of InvokeModel may have the role `system`.
    system_role: bool = false,
    /// Supports the tool search by InvokeModel.
    tool_search: bool = false,
    /// Supported beta flags besides those of all Claude models.
    beta_flags: Vec<String> = Vec::new(),
    /// A turn of the assistant may consist of reasoning only.
    reasoning_only_turns: bool = true,
    /// Format of tool use ids; `nine`: exactly nine letters and digits.
    tool_id: Option<String> = None,
    /// Fields in which cache points are allowed.
    caching: Vec<String> = Vec::new(),
    /// A cache point may follow a tool result.
    cache_after_tool_result: bool = true,
    /// Tokens before a cache point below which it has no effect.
    cache_minimum: usize = 0,
    /// Number of blocks before a cache point whose ends it may read from, with the last one.
    cache_lookback: usize = 1,
    /// Caches prefixes without cache points.
    cache_implicit: bool = false,
    /// Support for reasoning blocks of earlier turns.
    reasoning: Reasoning = Reasoning::None,
    /// Maximum of `maxTokens`.
    max_tokens: u64 = 131_072,
    /// Supports `stopSequences`.
    stop_sequences: bool = true,
    /// Maximum number of stop sequences.
    max_stop_sequences: usize = 2500,
    /// Allows only one of temperature and topP.
    one_of_temperature_and_top_p: bool = false,
    /// Supports `outputConfig.textFormat`.
    structured_output: bool = false,
    /// Known `additionalModelRequestFields`.
    additional_fields: Vec<String> = Vec::new(),
    /// Rejects other additional fields.
    strict_fields: bool = false,
    /// CountTokens supports the family.
    count_tokens: bool = false,
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The patterns of model ids, and their family.
pub(super) type Pattern = (Vec<String>, Arc<Family>);

pub(super) fn families(data: &[FamilyData]) -> Result<Vec<Pattern>, CatalogError> {
    data.iter()
        .map(|family| {
            // `like` may refer to a later family, but must not be circular.
            let mut chain = vec![family];
            while let Some(name) = chain.last().and_then(|one| one.like.as_ref()) {
                let base = data.iter().find(|one| one.name == *name).ok_or_else(|| {
                    CatalogError(format!(
                        "family {} is like {name}, which is missing",
                        family.name
                    ))
                })?;
                if chain.len() > data.len() {
                    return Err(CatalogError(format!(
                        "family {} is like itself",
                        family.name
                    )));
                }
                chain.push(base);
            }
            let rules = chain
                .iter()
                .rev()
                .fold(Rules::default(), |base, one| one.rules(&base));
            let provider = chain
                .iter()
                .find_map(|one| one.provider.clone())
                .unwrap_or_default();
            let family = Family {
                name: family.name.clone(),
                provider,
                rules,
            };
            Ok((
                chain
                    .first()
                    .map(|one| one.patterns.clone())
                    .unwrap_or_default(),
                Arc::new(family),
            ))
        })
        .collect()
}
