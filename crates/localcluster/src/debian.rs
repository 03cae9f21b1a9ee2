//! Debian packages that a node needs, installed by apt as root.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result, environment, progress};

/// Programs of a node, and their packages.
const PROGRAMS: [(&str, &str); 8] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
];

/// Directories of the network plugins in distributions.
const NETWORK_PLUGINS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// Installs missing packages, and fails if this machine cannot run pods.
pub(crate) fn prepare() -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Err(Error::Unsupported {
            reason: "it needs Linux".to_owned(),
        });
    }
    if !is_root() {
        return Err(Error::Unsupported {
            reason: "it needs root".to_owned(),
        });
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if environment::find("apt-get").is_none() {
        return Err(Error::Unsupported {
            reason: format!(
                "programs are missing and there is no apt to install them with; install what \
                 Debian has in these packages: {packages}"
            ),
        });
    }
    let log = environment::cache()?.join("apt.log");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
            .args(arguments);
        command
    };
    progress::run(
        "read the list of Debian packages",
        &mut apt(&["update"]),
        &log,
    )?;
    let install = [
        &["install", "-y", "--no-install-recommends"],
        missing.as_slice(),
    ]
    .concat();
    progress::run(&format!("install {packages}"), &mut apt(&install), &log)
}

/// The directory of network plugins.
pub(crate) fn network_plugins() -> Option<PathBuf> {
    NETWORK_PLUGINS
        .iter()
        .map(PathBuf::from)
        .find(|directory| directory.join("ptp").is_file())
}

fn missing() -> Vec<&'static str> {
    let mut packages: Vec<_> = PROGRAMS
        .into_iter()
        .filter(|(program, _)| environment::find(program).is_none())
        .map(|(_, package)| package)
        .collect();
    if network_plugins().is_none() {
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    packages
}

fn is_root() -> bool {
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|metadata| metadata.uid() == 0)
}
