//! Fields of requests as data; see [`crate::openai::fields`], where this began.

pub(crate) use crate::openai::fields::{Fate, Field, Fields, Verdict};
