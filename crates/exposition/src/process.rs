//! Metrics of the process under the names that Prometheus' client libraries use, read from `/proc` at each scrape.
//!
//! Other systems than Linux have no `/proc`, and none of these metrics.
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// Clock ticks of a second in `/proc`: `USER_HZ`, which is 100 on every architecture that Linux supports today.
const TICKS: f64 = 100.0;

/// Collects the metrics of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

/// The values of a process; `None` for those that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Values {
    cpu_seconds: Option<f64>,
    start_time_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
    threads: Option<u64>,
}

impl Values {
    fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut values = Self::parse(
            &read("/proc/self/stat"),
            &read("/proc/self/status"),
            &read("/proc/self/limits"),
            &read("/proc/stat"),
        );
        values.open_fds = fs::read_dir("/proc/self/fd")
            .ok()
            .and_then(|files| u64::try_from(files.count()).ok());
        values
    }

    /// Parses the files `stat`, `status` and `limits` of a process, and `/proc/stat`:
    /// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.
    fn parse(stat: &str, status: &str, limits: &str, system: &str) -> Self {
        // The second field is a name in parentheses, which may contain spaces. `utime` is field 14.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = |field: usize| {
            let value = fields.split_whitespace().nth(field.checked_sub(3)?)?;
            Some(value.parse::<f64>().ok()? / TICKS)
        };
        let bytes = |name| Some(number(status, name)?.saturating_mul(1024));
        let booted = number(system, "btime").and_then(|seconds| seconds.to_string().parse().ok());
        Self {
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
            start_time_seconds: ticks(22)
                .zip(booted)
                .map(|(after, boot): (f64, f64)| boot + after),
            resident_bytes: bytes("VmRSS:"),
            virtual_bytes: bytes("VmSize:"),
            open_fds: None,
            max_fds: number(limits, "Max open files"),
            threads: number(status, "Threads:"),
        }
    }
}

/// The first number after `name` at the beginning of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let values = Values::read();
        if let Some(seconds) = values.cpu_seconds {
            let counter = ConstCounter::new(seconds);
            let (name, help) = ("process_cpu_seconds", "CPU time of the process in seconds.");
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        if let Some(seconds) = values.start_time_seconds {
            let gauge = ConstGauge::new(seconds);
            let name = "process_start_time_seconds";
            let help = "Start time of the process since 1970 in seconds.";
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Resident memory in bytes.",
                values.resident_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory in bytes.",
                values.virtual_bytes,
            ),
            (
                "process_open_fds",
                "Open file descriptors.",
                values.open_fds,
            ),
            (
                "process_max_fds",
                "Maximum number of open file descriptors.",
                values.max_fds,
            ),
            ("process_threads", "Threads of the process.", values.threads),
        ] {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_from_the_fields_of_proc() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 12000 1000 20 1\n";
        let status = "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t9\n";
        let limits =
            "Limit     Soft Limit  Hard Limit  Units\nMax open files   1024   4096   files\n";
        assert_eq!(
            Values::parse(stat, status, limits, "cpu 1 2\nbtime 1000\n"),
            Values {
                cpu_seconds: Some(2.0),
                start_time_seconds: Some(1120.0),
                resident_bytes: Some(1_048_576),
                virtual_bytes: Some(2_097_152),
                open_fds: None,
                max_fds: Some(1024),
                threads: Some(9),
            }
        );
        assert_eq!(Values::parse("", "", "", ""), Values::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_every_value() {
        let values = Values::read();
        assert!(values.resident_bytes > Some(100_000), "{values:?}");
        assert!(values.open_fds > Some(2), "{values:?}");
        assert!(
            values.start_time_seconds > Some(1_600_000_000.0),
            "{values:?}"
        );
        assert!(
            values.cpu_seconds.is_some() && values.max_fds.is_some() && values.threads.is_some()
        );
    }
}
