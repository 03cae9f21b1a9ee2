//! `bedrock-gateway` with a recorder of CPU time and allocations by step, for `cargo xtask bench --steps`. Not shipped.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tracking_allocator::Allocator<tikv_jemallocator::Jemalloc> =
    tracking_allocator::Allocator::from_allocator(tikv_jemallocator::Jemalloc);

#[tokio::main]
async fn main() -> ExitCode {
    gateway::measure::count_allocations();
    gateway::cli::main().await
}
