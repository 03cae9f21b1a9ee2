//! Calls to Bedrock: signed, sent, retried on other targets, and read.

pub(crate) mod attribution;
pub(crate) mod aws_credentials;
pub(crate) mod call;
pub(crate) mod call_record;
pub(crate) mod failover;
pub(crate) mod guardrail;
pub(crate) mod health;
pub(crate) mod listing;
mod members;
pub(crate) mod operation;
pub(crate) mod remote_media;
pub(crate) mod response;
pub(crate) mod retry;
mod s3_sources;
mod send;
mod sign;
pub(crate) mod stream;
pub(crate) mod target;
mod words;
