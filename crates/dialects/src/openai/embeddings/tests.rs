//! Tests of embeddings.
