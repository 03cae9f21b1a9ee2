//! Days between a date of the calendar and a point in time.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// Whole days from `date`, `YYYY-MM-DD` in UTC, to `now`. `None` if `date` is invalid or later.
pub(super) fn days_since(date: &str, now: SystemTime) -> Option<u64> {
    let mut parts = date.splitn(3, '-').map(str::parse::<u64>);
    let (year, month, day) = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    let today = now.duration_since(UNIX_EPOCH).ok()?.as_secs() / SECONDS_PER_DAY;
    today.checked_sub(days_since_epoch(year, month, day)?)
}

/// Days from 1970-01-01 in the Gregorian calendar. A year begins in March here, so that the leap day is its last day.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let of_years = 365 * year + year / 4 - year / 100 + year / 400;
    // 719,468 days from 0000-03-01 to 1970-01-01.
    (of_years + of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counts_days_of_the_calendar() {
        // `date -u -d DATE +%s` divided by 86,400.
        for (date, days) in [
            ("1970-01-01", 0),
            ("2000-02-29", 11_016),
            ("2000-03-01", 11_017),
            ("2026-10-27", 20_753),
            ("2100-03-01", 47_541),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(days * SECONDS_PER_DAY);
            let next_noon = at + Duration::from_hours(36);
            assert_eq!(days_since(date, at), Some(0), "{date}");
            assert_eq!(days_since(date, next_noon), Some(1), "{date}");
        }
        assert_eq!(days_since("2026-10-27", UNIX_EPOCH), None);
        for invalid in ["", "2026-13-01", "2026-10", "2026-10-27x"] {
            assert_eq!(
                days_since(invalid, SystemTime::UNIX_EPOCH),
                None,
                "{invalid}"
            );
        }
    }
}
