//! What OpenAI's two chat endpoints share: Chat Completions and Responses.
//!
//! Both endpoints have the same functions, tool choice, JSON Schemas, reasoning efforts, sampling and service
//! fields, errors and finish reasons. Each endpoint's own module reads the fields that differ.

pub(crate) mod error;
pub(crate) mod fields;
mod reasoning;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod response_format;
mod sampling;
mod service;
pub(crate) mod tools;
