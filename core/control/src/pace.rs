//! When something that somebody on the network has refused is tried again.

use std::time::Duration;

/// How long to wait after the first attempt that failed; twice as long after each further one.
const AGAIN_MIN: Duration = Duration::from_mins(1);
const AGAIN_MAX: Duration = Duration::from_hours(6);

/// How long to wait after so many failures in a row: not all balancers at once.
pub(crate) fn pause(times: u32) -> Duration {
    let doubled = AGAIN_MIN.saturating_mul(1 << times.saturating_sub(1).min(16));
    let mut random = [0];
    // Without chance all wait the same.
    let _filled = aws_lc_rs::rand::fill(&mut random);
    let share = 0.9 + f64::from(random[0]) / 255.0 * 0.2;
    doubled.min(AGAIN_MAX).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_six_hours_and_differ_a_little() {
        for (times, minutes) in [
            (1, 1.0),
            (2, 2.0),
            (5, 16.0),
            (12, 360.0),
            (u32::MAX, 360.0),
        ] {
            for _ in 0..100 {
                let share = pause(times).as_secs_f64() / 60.0 / minutes;
                assert!((0.899..=1.101).contains(&share), "{times}: {share}");
            }
        }
    }
}
