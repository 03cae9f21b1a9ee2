//! The `bedrock-gateway` program, which serves the OpenAI, Anthropic and Bedrock APIs. The commands are in
//! [`gateway::cli`].

use std::process::ExitCode;

/// Returns memory to the system after large requests (ADR-0025).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    gateway::cli::main().await
}
