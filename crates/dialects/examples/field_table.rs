//! Prints what becomes of each field of an OpenAI request: what `cargo xtask fields` writes to the docs.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

fn main() {
    print!("{}", dialects::openai::field_table());
}
