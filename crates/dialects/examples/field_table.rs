//! Prints what becomes of each field of a request of an endpoint: what `cargo xtask fields` writes to the docs.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

fn main() {
    let table = match std::env::args().nth(1).as_deref() {
        Some("messages") => dialects::anthropic::field_table(),
        Some("responses") => dialects::responses::field_table(),
        _ => dialects::openai::field_table(),
    };
    print!("{table}");
}
