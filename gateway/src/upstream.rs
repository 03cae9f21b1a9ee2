//! Calls of Bedrock: signed, sent, retried on other targets, and read.

pub(crate) mod aws_credentials;
pub(crate) mod call;
pub(crate) mod guardrail;
pub(crate) mod operation;
pub(crate) mod remote_media;
pub(crate) mod retry;
pub(crate) mod send;
pub(crate) mod sign;
pub(crate) mod stream;
