//! What the metrics endpoints of both products have in common: the format that a scraper asks for, and metrics of the process.

mod format;
mod process;

pub use format::Format;
pub use process::Process;
