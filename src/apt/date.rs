//! Dates as archives write them, in seconds since 1970.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_PER_DAY: i64 = 86_400;

/// Reads `Sat, 11 Jul 2026 10:23:49 UTC`, the form of RFC 5322, section 3.3.
pub(super) fn parse(text: &str) -> Option<i64> {
    let rest = text.split_once(',').map_or(text, |(_weekday, rest)| rest);
    let mut words = rest.split_ascii_whitespace();
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let (time, zone) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let days = days(number(year, 1970, 9999)?, month, number(day, 1, 31)?);
    Some(days * SECONDS_PER_DAY + seconds(time)? - offset(zone)?)
}

/// Returns a day as `2026-07-11`.
pub(super) fn day(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

fn number(text: &str, least: i64, most: i64) -> Option<i64> {
    let all_digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = all_digits.then(|| text.parse().ok()).flatten()?;
    (least..=most).contains(&value).then_some(value)
}

fn seconds(time: &str) -> Option<i64> {
    let mut parts = time.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some(number(hour, 0, 23)? * 3600 + number(minute, 0, 59)? * 60 + number(second, 0, 60)?)
}

fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "UTC" | "GMT" | "Z") {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    Some(sign * (number(hours, 0, 23)? * 3600 + number(minutes, 0, 59)? * 60))
}

/// Days since 1970 in the Gregorian calendar, counted in years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + day_of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_archives_are_read() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 UTC", Some(0)),
            ("Sat, 11 Jul 2026 10:23:49 UTC", Some(1_783_765_429)),
            ("Sat, 11 Jul 2026 12:23:49 +0200", Some(1_783_765_429)),
            ("29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Sat, 11 Jul 2026", None),
            ("Sat, 11 Jul 2026 10:23:49", None),
            ("Sat, 11 Jul 2026 25:23:49 UTC", None),
            ("2026-07-11", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_day_survives_the_way_there_and_back() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_783_765_429, "2026-07-11"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(day(seconds), expected);
        }
        for day_number in (0..40_000).step_by(13) {
            let (year, month, day) = civil(day_number);
            assert_eq!(days(year, month, day), day_number);
        }
    }
}
