//! Client dialects to and from Converse: requests decoded, responses and streams encoded.
//!
//! Pure and sans-IO: bytes in, bytes out, no clock, no network, no environment. What a model takes
//! comes from [`families`], a table of data with overrides; no model's name stands in the code. One
//! folder a dialect, none knows another; what they share is in [`translation`]. Steps 3 and 7 of the
//! request pipeline.

pub mod families;
pub mod openai;
pub mod translation;
