//! Programs of the system: installed from Debian packages as root, named in an error otherwise.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, bail};

use crate::{
    console::Console,
    process::{answers, command, quiet},
};

/// A Debian package, a file of it, and its purpose.
#[derive(Debug)]
struct Package {
    name: &'static str,
    file: &'static str,
    purpose: &'static str,
}

/// Prometheus, whose server and promtool the tests run.
const PROMETHEUS: &str = "prometheus";

/// The browser that tests of the full lane run.
const BROWSER: Package = Package {
    name: "chromium-headless-shell",
    file: "usr/bin/chromium-headless-shell",
    purpose: "browser for the console and the gateway's page",
};

/// Packages for compiling, testing and writing images. The local cluster installs those for running pods.
const PACKAGES: [Package; 9] = [
    Package {
        name: "gcc",
        file: "usr/bin/gcc",
        purpose: "compiles ring and jemalloc",
    },
    Package {
        name: "libc6-dev",
        file: "usr/include/stdio.h",
        purpose: "compiles ring and jemalloc",
    },
    Package {
        name: "make",
        file: "usr/bin/make",
        purpose: "compiles jemalloc",
    },
    Package {
        name: "binutils",
        file: "usr/bin/strip",
        purpose: "strips programs in images",
    },
    Package {
        name: "ca-certificates",
        file: "usr/share/ca-certificates/mozilla",
        purpose: "root certificates in images",
    },
    Package {
        name: "lua5.4",
        file: "usr/bin/lua5.4",
        purpose: "runs the test of Argo CD's health check",
    },
    Package {
        name: "redis-server",
        file: "usr/bin/redis-server",
        purpose: "rate-limit store in tests of the gateway",
    },
    Package {
        name: PROMETHEUS,
        file: "usr/bin/promtool",
        purpose: "checks metrics, alerts and dashboards",
    },
    Package {
        name: "g++",
        file: "usr/bin/g++",
        purpose: "compiles libFuzzer",
    },
];

/// Installs missing packages.
///
/// # Errors
/// When a package is missing and cannot be installed; the error contains the command to run.
pub(crate) fn ensure(console: &Console) -> Result<()> {
    install(console, &[])
}

/// Installs missing packages, and those of the full lane.
///
/// # Errors
/// Those of [`ensure`].
pub(crate) fn ensure_for(console: &Console, full: bool) -> Result<()> {
    install(console, if full { &[BROWSER] } else { &[] })
}

fn install(console: &Console, more: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = PACKAGES
        .iter()
        .chain(more)
        .filter(|package| !Path::new("/").join(package.file).exists())
        .collect();
    if !missing.is_empty() {
        if !(is_root() && answers("apt-get", "--version")) {
            bail!("{}", how_to_install(&missing));
        }
        console.step("install Debian packages", |step| {
            let apt = || {
                let mut apt = command("apt-get");
                apt.env("DEBIAN_FRONTEND", "noninteractive").args([
                    "-o",
                    "DPkg::Lock::Timeout=300",
                    "-q",
                ]);
                apt
            };
            quiet(step, apt().arg("update"))?;
            quiet(
                step,
                apt()
                    .args(["install", "-y", "--no-install-recommends"])
                    .args(missing.iter().map(|package| package.name)),
            )?;
            // The package starts a server on the default port of the gateway's metrics; the tests start their own.
            let installed = missing.iter().any(|package| package.name == PROMETHEUS);
            if installed && Path::new("/run/systemd/system").is_dir() {
                quiet(
                    step,
                    command("systemctl").args(["disable", "--now", PROMETHEUS]),
                )?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn how_to_install(missing: &[&Package]) -> String {
    let mut text = String::from("missing Debian packages:\n");
    for package in missing {
        text = format!("{text}  {:<28} {}\n", package.name, package.purpose);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let names = names.join(" ");
    format!("{text}Fix: as root, run apt-get update && apt-get install -y {names}")
}

/// Whether this process runs as root, by the owner of its own entry in /proc or by id(1).
pub(crate) fn is_root() -> bool {
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        return status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"));
    }
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_packages_are_named_with_their_purpose_and_the_command() {
        let [first, second, ..] = &PACKAGES;
        let text = how_to_install(&[first, second]);
        assert!(text.contains("gcc "), "{text}");
        assert!(text.ends_with("apt-get install -y gcc libc6-dev"), "{text}");
    }
}
