//! Strict parsing of dates and times: `2026-11-24T22:00:00.250+01:00` and parts of it.
//!
//! The HTTP query and the command line use this parser. Any deviation from the format below is an
//! error. No part of the input is ever ignored.

/// A date, optionally with a time of day and an offset from UTC.
///
/// `YYYY-MM-DD`, then `T` or a space and `HH:MM`, `HH:MM:SS`, or `HH:MM:SS.fff`, then `Z`,
/// `+HH:MM`, or `-HH:MM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParsedTime {
    pub(crate) date: Date,
    /// `None` if there is only a date.
    pub(crate) time: Option<TimeOfDay>,
    /// The offset in minutes, positive east of Greenwich. `None` if there is no time.
    pub(crate) offset: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: u32,
    pub(crate) month: u32,
    pub(crate) day: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeOfDay {
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
    pub(crate) nanos: u32,
}

/// The rest of the input.
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    /// Parses a number of exactly this many digits that is at most `max`.
    fn number(&mut self, digits: usize, max: u32) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let mut value = 0;
        for byte in number {
            value = value * 10 + (*byte as char).to_digit(10)?;
        }
        self.0 = rest;
        (value <= max).then_some(value)
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }
}

pub(crate) fn parse(text: &str) -> Option<ParsedTime> {
    let mut rest = Rest(text.as_bytes());
    let date = date(&mut rest)?;
    let mut written = ParsedTime {
        date,
        time: None,
        offset: None,
    };
    if !rest.0.is_empty() {
        rest.skip(b'T').or_else(|| rest.skip(b' '))?;
        written.time = Some(time(&mut rest)?);
        written.offset = match rest.0 {
            [] => None,
            _ => Some(offset(&mut rest)?),
        };
    }
    rest.0.is_empty().then_some(written)
}

/// Parses `HH:MM`, `HH:MM:SS`, or `HH:MM:SS.fff`, and nothing else.
#[allow(
    dead_code,
    reason = "only the command line takes a time without a date"
)]
pub(crate) fn parse_time(text: &str) -> Option<TimeOfDay> {
    let mut rest = Rest(text.as_bytes());
    let time = time(&mut rest)?;
    rest.0.is_empty().then_some(time)
}

fn date(rest: &mut Rest<'_>) -> Option<Date> {
    let year = rest.number(4, 9999)?;
    rest.skip(b'-')?;
    let month = rest.number(2, 12)?;
    rest.skip(b'-')?;
    let day = rest.number(2, 31)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    ((1..=days).contains(&day) && month > 0).then_some(Date { year, month, day })
}

fn time(rest: &mut Rest<'_>) -> Option<TimeOfDay> {
    let hour = rest.number(2, 23)?;
    rest.skip(b':')?;
    let minute = rest.number(2, 59)?;
    let (mut second, mut nanos) = (0, 0);
    if rest.skip(b':').is_some() {
        second = rest.number(2, 59)?;
        if rest.skip(b'.').is_some() {
            let digits = rest.0.iter().take_while(|byte| byte.is_ascii_digit());
            let digits = digits.count();
            if digits > 9 {
                return None;
            }
            nanos = rest.number(digits, u32::MAX)? * 10u32.pow(9 - digits as u32);
            if digits == 0 {
                return None;
            }
        }
    }
    Some(TimeOfDay {
        hour,
        minute,
        second,
        nanos,
    })
}

fn offset(rest: &mut Rest<'_>) -> Option<i32> {
    if rest.skip(b'Z').is_some() {
        return Some(0);
    }
    let sign = match rest.skip(b'+') {
        Some(()) => 1,
        None => rest.skip(b'-').map(|()| -1)?,
    };
    let hours = rest.number(2, 23)?;
    rest.skip(b':')?;
    let minutes = rest.number(2, 59)?;
    Some(sign * (hours * 60 + minutes) as i32)
}

impl ParsedTime {
    /// Returns the milliseconds since 1970 and the remaining nanoseconds. `None` without a time or
    /// an offset, or before 1970.
    pub(crate) fn since_1970(&self) -> Option<(u64, u32)> {
        let (time, offset) = (self.time?, self.offset?);
        let of_day = i64::from(time.hour * 3600 + time.minute * 60 + time.second);
        let seconds = self.date.days_since_1970() * 86_400 + of_day - i64::from(offset) * 60;
        let ms = u64::try_from(seconds).ok()? * 1000 + u64::from(time.nanos / 1_000_000);
        Some((ms, time.nanos % 1_000_000))
    }
}

impl Date {
    fn days_since_1970(&self) -> i64 {
        // Years are counted from March, so that a leap day is the last day of its year.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month = i64::from(self.month + 9) % 12;
        let of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        365 * year + leap_days + of_year - 719_468
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Option<u64> {
        Some(parse(text)?.since_1970()?.0)
    }

    #[test]
    fn times_are_what_the_calendar_says() {
        for (text, expected) in [
            ("1970-01-01T00:00Z", 0),
            ("1970-01-01 00:00:01Z", 1000),
            ("2000-02-28T23:59:59.999Z", 951_782_399_999),
            ("2000-02-29T00:00:00+00:00", 951_782_400_000),
            ("2000-03-01T05:30:00+05:30", 951_868_800_000),
            ("2024-02-29T23:59:59.250Z", 1_709_251_199_250),
            ("2100-02-28T23:59:59Z", 4_107_542_399_000),
            ("2100-02-28T20:00:00-04:00", 4_107_542_400_000),
            ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999),
        ] {
            assert_eq!(ms(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_a_time() {
        for text in [
            "",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "2026-11-31T00:00Z",
            "2026-11-24T",
            "2026-11-24T22",
            "2026-11-24T24:00Z",
            "2026-11-24T22:60Z",
            "2026-11-24T22:00:60Z",
            "2026-11-24T22:00:00.Z",
            "2026-11-24T22:00:00.1234567890Z",
            "2026-11-24T22:00:00,5Z",
            "2026-11-24  22:00Z",
            "2026-11-24T22:00 Z",
            "2026-11-24T22:00z",
            "2026-11-24t22:00Z",
            "2026-11-24T22:00+02",
            "2026-11-24T22:00+0200",
            "2026-11-24T22:00+24:00",
            "2026-11-24T22:00 01:00",
            "2026-11-24T22:00Z[Asia/Tokyo]",
            "2026-11-24T22:00[Asia/Tokyo]",
            "2026-11-24[Asia/Tokyo]",
            "+2026-11-24T22:00Z",
            "2026-11-24Z",
            " 2026-11-24",
            "２026-11-24",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        // These are valid but have no offset.
        for text in ["2026-11-24", "2026-11-24T22:00", "2026-11-24 22:00:01.5"] {
            assert_eq!(parse(text).unwrap().since_1970(), None, "{text:?}");
        }
        assert_eq!(ms("1969-12-31T23:59:59Z"), None);
        assert_eq!(parse_time("22:00+02"), None);
        assert_eq!(parse_time("22:00").unwrap().hour, 22);
    }
}
