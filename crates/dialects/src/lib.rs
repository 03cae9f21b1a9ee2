//! Client dialects to and from Converse: requests decoded, responses and streams encoded.
//!
//! Pure and sans-IO: bytes in, bytes out, no clock, no network, no environment. What a model takes
//! comes from [`families`], a table of data with overrides; no model's name stands in the code. One
//! folder a dialect; what all share is in [`translation`], and [`responses`] builds on [`openai`], whose
//! second endpoint it is (ADR-0007). Steps 3 and 7 of the request pipeline.

pub mod anthropic;
pub mod families;
pub mod images;
pub mod openai;
pub mod rerank;
pub mod responses;
pub mod translation;

#[cfg(test)]
pub(crate) mod test_support;
