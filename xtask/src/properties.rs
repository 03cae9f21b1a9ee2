//! `cargo xtask properties`: the property tests with many more cases than in the suite.
//!
//! Optimised, with the checks of a development build. Covers the pure crates, and requests that pass through a real
//! gateway to the simulated AWS.

use anyhow::Result;

use crate::{
    console::{Console, Failures},
    process::{cargo, quiet},
};

/// Runs all properties, or those with `filter` in their name, with `cases` cases each.
pub(crate) fn properties(console: &Console, cases: u32, filter: Option<&str>) -> Result<()> {
    let mut failures = Failures::default();
    let pure = console.step(&format!("pure crates, {cases} cases each"), |step| {
        let mut command = cargo();
        command
            .args(["test", "--locked", "--profile", "properties", "--lib"])
            .args(["--package", "bedrock", "--package", "dialects"])
            .env("PROPTEST_CASES", cases.to_string())
            .arg("--");
        quiet(step, command.args(filter.as_slice()))
    });
    failures.collect("pure crates", pure);
    let generated = "generated_request_passes_bedrocks_validation";
    if filter.is_none_or(|filter| generated.contains(filter)) {
        let through = console.step(
            &format!("{cases} generated requests through a gateway"),
            |step| {
                let mut command = cargo();
                command
                    .args(["test", "--locked", "--profile", "properties"])
                    .args(["--workspace", "--test", "it"])
                    .env("PROPTEST_CASES", cases.to_string())
                    .args(["--", "--nocapture", generated]);
                quiet(step, &mut command)
            },
        );
        failures.collect("generated requests", through);
    }
    failures.conclude()
}
