//! bedrock.
