//! Prints the field table of an endpoint; `cargo xtask fields` writes it to the docs.
#![expect(clippy::print_stdout, reason = "the example prints a table")]

fn main() {
    let table = match std::env::args().nth(1).as_deref() {
        Some("messages") => dialects::anthropic::field_table(),
        Some("responses") => dialects::responses::field_table(),
        _ => dialects::openai::field_table(),
    };
    print!("{table}");
}
