//! The clock of the double: the system clock plus an adjustable skew, and AWS's time formats.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const AMZ_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");
const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
const ISO_MILLIS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const HTTP_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// System time with an adjustable skew.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    skew_seconds: AtomicI64,
}

impl Clock {
    /// The simulated AWS time, used for signatures, `Date` headers and expiration of credentials.
    pub(crate) fn now(&self) -> SystemTime {
        let seconds = self.skew_seconds.load(Ordering::Relaxed);
        let skew = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            Self::real() - skew
        } else {
            Self::real() + skew
        }
    }

    /// The time of the machine, used to verify tokens.
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place where the double reads the system time"
    )]
    pub(crate) fn real() -> SystemTime {
        SystemTime::now()
    }

    pub(crate) fn set_skew(&self, seconds: i64) {
        self.skew_seconds.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn skew(&self) -> i64 {
        self.skew_seconds.load(Ordering::Relaxed)
    }
}

fn write(at: SystemTime, format: &[BorrowedFormatItem<'_>]) -> String {
    OffsetDateTime::from(at).format(&format).unwrap_or_default()
}

/// `20260102T030405Z`, as in `X-Amz-Date`.
pub(crate) fn amz_date(at: SystemTime) -> String {
    write(at, AMZ_DATE)
}

/// `2026-01-02T03:04:05Z`, as in credentials documents and STS responses.
pub(crate) fn iso(at: SystemTime) -> String {
    write(at, ISO)
}

/// Like [`iso`], with milliseconds, for recorded calls.
pub(crate) fn iso_millis(at: SystemTime) -> String {
    write(at, ISO_MILLIS)
}

/// `Fri, 02 Jan 2026 03:04:05 GMT`, as in `Date`.
pub(crate) fn http_date(at: SystemTime) -> String {
    write(at, HTTP_DATE)
}

/// Reads `20260102T030405Z`.
pub(crate) fn parse_amz_date(text: &str) -> Option<SystemTime> {
    let parsed = time::PrimitiveDateTime::parse(text, &AMZ_DATE).ok()?;
    Some(parsed.assume_utc().into())
}

/// Whole seconds since 1970; zero for earlier times.
pub(crate) fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_times_like_aws() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_440_938_160_250);
        assert_eq!(amz_date(at), "20150830T123600Z");
        assert_eq!(iso(at), "2015-08-30T12:36:00Z");
        assert_eq!(iso_millis(at), "2015-08-30T12:36:00.250Z");
        assert_eq!(http_date(at), "Sun, 30 Aug 2015 12:36:00 GMT");
        assert_eq!(
            parse_amz_date("20150830T123600Z").map(unix_seconds),
            Some(1_440_938_160)
        );
        assert_eq!(parse_amz_date("2015-08-30T12:36:00Z"), None);
    }
}
