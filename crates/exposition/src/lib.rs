//! What the metrics endpoints of both products have in common: the format that a scraper asks for, metrics of the process,
//! and the reader of the usage that gateways report.

mod format;
mod process;
mod usage;

pub use format::Format;
pub use process::Process;
pub use usage::{Line, Sample, Usage};
