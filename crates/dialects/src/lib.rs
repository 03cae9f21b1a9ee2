//! Translates client dialects to and from Converse: decodes requests, encodes responses and streams.
//!
//! Pure and sans-IO: no clock, network or environment. The capabilities of models come from [`families`], a table
//! with overrides; the code contains no model names. Each dialect is one module. Dialects do not depend on each
//! other; shared code is in [`translation`] (ADR-0007).

pub mod anthropic;
pub mod families;
pub mod images;
pub mod openai;
pub mod rerank;
pub mod responses;
pub mod translation;
mod warned;

pub use warned::Warned;

#[cfg(test)]
pub(crate) mod test_support;
