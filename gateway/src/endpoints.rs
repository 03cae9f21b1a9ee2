//! The API, one file for each endpoint.

pub(crate) mod bedrock_api;
pub(crate) mod chat_completions;
pub(crate) mod client_credentials;
pub(crate) mod count_tokens;
pub(crate) mod embeddings;
pub(crate) mod images;
pub(crate) mod landing;
pub(crate) mod messages;
pub(crate) mod models;
mod openai;
pub(crate) mod openapi;
pub(crate) mod rerank;
pub(crate) mod responses;
