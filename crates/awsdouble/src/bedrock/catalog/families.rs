//! Families of models and their rules, as data/models.yaml writes them.

use std::sync::Arc;

use serde::Deserialize;

use super::CatalogError;

/// What a family of models takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) rules: Rules,
}

/// How reasoning blocks of earlier turns are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reasoning {
    /// Not taken.
    None,
    /// Taken, a signature is not needed.
    Plain,
    /// Taken with its signature only.
    Signed,
}

/// The body that InvokeModel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Native {
    /// One that the double does not know.
    Unknown,
    /// Anthropic Messages.
    Messages,
    /// Nova's, which is Converse's with a schema version.
    Nova,
    /// A prompt, answered by `generation`.
    Llama,
    /// A prompt, answered by `outputs`.
    Mistral,
    /// OpenAI Chat Completions.
    Chat,
    /// Titan's embeddings of one text.
    TitanEmbeddings,
    /// Cohere's embeddings of many texts.
    CohereEmbeddings,
    /// Nova's embeddings of one text.
    NovaEmbeddings,
    /// Amazon's task types for images: Nova Canvas, Titan Image Generator.
    AmazonImage,
    /// Stability's prompt for one image.
    StabilityImage,
    /// Cohere's rerank.
    CohereRerank,
    /// Amazon's rerank.
    AmazonRerank,
}

impl Native {
    /// What comes out, as the catalogue names it.
    pub(crate) fn output(self) -> &'static str {
        match self {
            Self::TitanEmbeddings | Self::CohereEmbeddings | Self::NovaEmbeddings => "EMBEDDING",
            Self::AmazonImage | Self::StabilityImage => "IMAGE",
            _ => "TEXT",
        }
    }

    /// Whether the answer can be streamed.
    pub(crate) fn streams(self) -> bool {
        matches!(
            self,
            Self::Unknown | Self::Messages | Self::Nova | Self::Llama | Self::Mistral | Self::Chat
        )
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr,)*) => {
        /// The rules of a family; in the data each may be left out, then the one it is `like` or the default holds.
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
    /// Whether Converse serves it at all.
    converse: bool = true,
    /// The body it takes on InvokeModel.
    native: Native = Native::Unknown,
    /// The first message must be the user's.
    user_first: bool = true,
    /// The last message may be the assistant's.
    prefill: bool = true,
    /// Takes `system`.
    system: bool = true,
    /// Takes `toolConfig`.
    tools: bool = true,
    /// Takes `toolConfig` on ConverseStream.
    streaming_tools: bool = true,
    /// Kinds of `toolChoice`.
    tool_choice: Vec<String> = Vec::new(),
    /// Takes `toolResult.status`.
    tool_result_status: bool = false,
    /// Kinds of media blocks in messages.
    media: Vec<String> = Vec::new(),
    /// Kinds of media blocks in tool results.
    tool_result_media: Vec<String> = Vec::new(),
    /// `nine`: ids of exactly nine letters and digits.
    tool_id: Option<String> = None,
    /// Where cache points may stand.
    caching: Vec<String> = Vec::new(),
    /// A cache point may follow a tool result.
    cache_after_tool_result: bool = true,
    /// Reasoning blocks in history.
    reasoning: Reasoning = Reasoning::None,
    /// Most tokens that may be asked for.
    max_tokens: u64 = 131_072,
    /// Takes `stopSequences`.
    stop_sequences: bool = true,
    /// Most stop sequences.
    max_stop_sequences: usize = 2500,
    /// Only one of temperature and topP.
    one_of_temperature_and_top_p: bool = false,
    /// Takes `outputConfig.textFormat`.
    structured_output: bool = false,
    /// Known `additionalModelRequestFields`.
    additional_fields: Vec<String> = Vec::new(),
    /// Refuses further ones.
    strict_fields: bool = false,
    /// CountTokens serves it.
    count_tokens: bool = false,
}

/// A family behind the patterns of its models' ids.
pub(super) type Pattern = (Vec<String>, Arc<Family>);

pub(super) fn families(data: &[FamilyData]) -> Result<Vec<Pattern>, CatalogError> {
    data.iter()
        .map(|family| {
            // `like` may point at a family further down, but not in circles.
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
