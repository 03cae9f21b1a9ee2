//! Real client libraries, installed by the tests themselves into folders under `target/`.
//!
//! The folder is named by the hash of its requirements, so a change of version installs anew and
//! everything else reuses what is there. Installing is locked between processes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context, Result, bail, ensure};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("{command:?} did not start"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// FNV-1a, enough to tell two lists of requirements apart.
fn fingerprint(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// Makes `folder` by `fill` unless an earlier run finished it; one process at a time.
fn prepared(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    fs::create_dir_all(folder)?;
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock()?;
    let done = folder.join("done");
    if !done.exists() {
        fill(folder)?;
        fs::write(done, "")?;
    }
    Ok(())
}

/// A Python interpreter with the packages of `tests/clients/python/requirements.txt`.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let requirements = repository().join("tests/clients/python/requirements.txt");
        let text = fs::read_to_string(&requirements).unwrap();
        let folder = repository().join("target/clients").join(format!("python-{}", fingerprint(&text)));
        prepared(&folder, |folder| {
            let venv = folder.join("venv");
            if run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).is_err() {
                bail!("python3 with the venv module is missing: on Debian, apt-get install python3-venv");
            }
            run(Command::new(venv.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(&requirements))?;
            Ok(())
        })
        .unwrap();
        folder.join("venv/bin/python")
    })
}

/// Runs a script of `tests/clients/python` and reads the JSON it prints.
pub(crate) async fn python_client(script: &str, environment: &[(&str, &str)]) -> serde_json::Value {
    let script = repository().join("tests/clients/python").join(script);
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    tokio::task::spawn_blocking(move || {
        let printed = run(Command::new(python()).arg(&script).envs(environment)).unwrap();
        serde_json::from_str(&printed)
            .unwrap_or_else(|error| panic!("{}: {error}: {printed}", script.display()))
    })
    .await
    .unwrap()
}
