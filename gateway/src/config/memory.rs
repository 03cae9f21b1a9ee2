//! The memory limit of the process: that of its control group, or the memory of the machine.
//!
//! Both versions of control groups: <https://docs.kernel.org/admin-guide/cgroup-v2.html>,
//! <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>.

use std::{fs, path::Path};

/// Version 1 says "no limit" by a number near the largest one.
const NO_LIMIT: u64 = 1 << 60;

/// The memory limit in bytes, if known.
pub(crate) fn limit() -> Option<u64> {
    limit_below(Path::new("/"))
}

fn limit_below(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // A parent may be stricter. In a container, the path may be the host's, and only its root exists.
        let paths = Path::new(group).ancestors();
        paths
            .filter_map(|path| {
                let path = path.strip_prefix("/").unwrap_or(path);
                let path = Path::new(mount).join(path).join(file);
                read(path.to_str()?)?.trim().parse().ok()
            })
            .min()
    });
    let limit = limits.filter(|limit: &u64| *limit < NO_LIMIT).min();
    let machine = read("proc/meminfo").and_then(|text| machine(&text));
    limit.into_iter().chain(machine).min()
}

/// `MemTotal`.
fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expected: Option<u64>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(limit_below(root.path()), expected, "{files:?}");
    }

    #[test]
    fn strictest_limit_of_the_group_and_its_parents_counts() {
        let meminfo = ("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\n");
        let v2 = ("proc/self/cgroup", "0::/pods/a\n");
        let v1 = ("proc/self/cgroup", "5:cpu:/\n4:memory,x:/pods/a\n0::/\n");
        for (files, expected) in [
            (vec![], None),
            (vec![meminfo], Some(1_024_000)),
            (
                vec![meminfo, v2, ("sys/fs/cgroup/memory.max", "max\n")],
                Some(1_024_000),
            ),
            (
                vec![meminfo, v2, ("sys/fs/cgroup/memory.max", "5000\n")],
                Some(5000),
            ),
            (
                vec![
                    v2,
                    ("sys/fs/cgroup/pods/a/memory.max", "7000\n"),
                    ("sys/fs/cgroup/pods/memory.max", "6000\n"),
                ],
                Some(6000),
            ),
            (
                vec![
                    v1,
                    (
                        "sys/fs/cgroup/memory/pods/a/memory.limit_in_bytes",
                        "9000\n",
                    ),
                ],
                Some(9000),
            ),
            (
                vec![
                    v1,
                    (
                        "sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                ],
                None,
            ),
        ] {
            check(&files, expected);
        }
        if cfg!(target_os = "linux") {
            assert!(limit().is_some_and(|limit| limit > 1 << 20));
        }
    }
}
