//! NTP time as RTCP carries it (RFC 3550 section 4), and the round trip time that follows from a
//! report (section 6.4.1). Must not read a clock.

use std::time::Duration;

/// Seconds from 1900-01-01 to 1970-01-01.
const UNIX_IN_NTP: u64 = 2_208_988_800;

/// A round trip above this is no measurement but a wrong or forged report.
const MAX_RTT: Duration = Duration::from_secs(30);

/// What a result may lie below zero and still mean "next to nothing": some peers take both stamps
/// from a clock of whole milliseconds. In 1/65,536 s, about 5 ms.
const RTT_SLACK: u32 = 328;

/// Wall clock time in units of 2^-32 s since 1900-01-01, modulo 2^32 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NtpTime(pub u64);

impl NtpTime {
    /// `since_1970` on the wall clock. Wraps in 2036, as the format does.
    pub(crate) fn from_unix(since_1970: Duration) -> Self {
        let seconds = since_1970.as_secs().wrapping_add(UNIX_IN_NTP);
        let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// Time since 1970. Seconds without their highest bit are taken to lie after the wrap of 2036
    /// (RFC 4330 section 3), so this is right until 2104; `None` for the years 1968 and 1969. The inverse of
    /// [`from_unix`](Self::from_unix) to the nanosecond.
    pub(crate) fn to_unix(self) -> Option<Duration> {
        let seconds = self.0 >> 32;
        let era = if seconds >> 31 == 0 { 1 << 32 } else { 0 };
        let fraction = self.0 & 0xffff_ffff;
        // Rounded up, for the way here rounds down.
        let nanos = (fraction * 1_000_000_000)
            .div_ceil(1 << 32)
            .min(999_999_999);
        let since_1970 = (seconds + era).checked_sub(UNIX_IN_NTP)?;
        Some(Duration::from_secs(since_1970) + Duration::from_nanos(nanos))
    }

    /// The middle 32 bits: 1/65,536 s, modulo 18 hours. What LSR and the like carry.
    pub(crate) fn compact(self) -> u32 {
        (self.0 >> 16 & 0xffff_ffff) as u32
    }
}

/// A span of compact NTP time, in 1/65,536 s.
fn compact_to_duration(span: u32) -> Duration {
    Duration::from_nanos((u64::from(span) * 1_000_000_000) >> 16)
}

/// A span as DLSR carries it, in 1/65,536 s; what does not fit saturates (18 hours).
pub(crate) fn duration_to_compact(span: Duration) -> u32 {
    u32::try_from((span.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

/// Round trip time from a report that arrived at `now` (compact NTP, the clock that stamped the
/// sender reports), which names our report `last` (LSR or LRR) and says it was held for `delay`
/// (DLSR or DLRR, 1/65,536 s).
///
/// `None` where no report of ours is named (0), and for results below zero or above 30 s; zero
/// where the result is negative by no more than a coarse clock explains.
pub(crate) fn rtt(now: u32, last: u32, delay: u32) -> Option<Duration> {
    if last == 0 {
        return None;
    }
    let span = now.wrapping_sub(last).wrapping_sub(delay);
    if span.wrapping_neg() <= RTT_SLACK {
        return Some(Duration::ZERO);
    }
    Some(compact_to_duration(span)).filter(|rtt| *rtt <= MAX_RTT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wall_clock_and_ntp_agree() {
        let table = [
            // 1970-01-01, the half second after, the last second before the wrap, the wrap.
            (Duration::ZERO, 0x83aa_7e80_0000_0000),
            (Duration::from_millis(500), 0x83aa_7e80_8000_0000),
            (Duration::from_secs(2_085_978_495), 0xffff_ffff_0000_0000),
            (
                Duration::from_millis(2_085_978_496_250),
                0x0000_0000_4000_0000,
            ),
        ];
        for (unix, ntp) in table {
            assert_eq!(NtpTime::from_unix(unix), NtpTime(ntp), "{unix:?}");
            assert_eq!(NtpTime(ntp).to_unix(), Some(unix), "{ntp:x}");
        }
        assert_eq!(NtpTime(0x83aa_7e7f_ffff_ffff).to_unix(), None, "1969");
    }

    #[test]
    fn round_trip_times() {
        let second = 0x1_0000_u32;
        let table = [
            // The example of RFC 3550 section 6.4.1, figure 2: 6.125 s.
            (0xb710_8000, 0xb705_2000, 0x0005_4000, Some(6.125)),
            (second, 0, 0, None),
            (second, second, 0, Some(0.0)),
            (second, second, 1, Some(0.0)),
            (second, second, RTT_SLACK, Some(0.0)),
            (second, second, RTT_SLACK + 1, None),
            // Across the wrap of the compact form.
            (
                second / 2,
                0_u32.wrapping_sub(second / 2),
                second / 4,
                Some(0.75),
            ),
            (31 * second, second, 0, Some(30.0)),
            (31 * second, second - 1, 0, None),
            (second, 2 * second, 0, None),
            (second, 1, u32::MAX / 2, None),
        ];
        for (now, last, delay, seconds) in table {
            let expected = seconds.map(Duration::from_secs_f64);
            assert_eq!(
                rtt(now, last, delay),
                expected,
                "{now:x} {last:x} {delay:x}"
            );
        }
        assert_eq!(NtpTime(0x0123_4567_89ab_cdef).compact(), 0x4567_89ab);
        assert_eq!(duration_to_compact(Duration::from_secs(1 << 20)), u32::MAX);
    }

    proptest! {
        #[test]
        fn every_nanosecond_until_2104_survives(seconds in 0..4_233_462_144_u64, nanos in 0..1_000_000_000_u32) {
            let unix = Duration::new(seconds, nanos);
            prop_assert_eq!(NtpTime::from_unix(unix).to_unix(), Some(unix));
        }

        #[test]
        fn any_time_and_any_report_is_taken(time: u64, now: u32, last: u32, delay: u32) {
            let _ = NtpTime(time).to_unix();
            if let Some(rtt) = rtt(now, last, delay) {
                prop_assert!(rtt <= MAX_RTT);
            }
        }

        #[test]
        fn the_round_trip_is_what_passed_less_what_was_held(
            sent in 1_u32.., trip in 0..20_000_000_u64, held in 0..10_000_000_u64,
        ) {
            let trip = Duration::from_micros(trip);
            let held = duration_to_compact(Duration::from_micros(held));
            let now = sent.wrapping_add(held).wrapping_add(duration_to_compact(trip));
            let measured = rtt(now, sent, held).unwrap();
            prop_assert!(trip.abs_diff(measured) < Duration::from_micros(16));
        }
    }
}
