//! What the operating system says of this process, as metrics with the names that Prometheus
//! clients in every language use. What cannot be read is left out.

use std::fmt::{Display, Write};
use std::fs;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};

/// Appends the metrics of the process to a page.
pub(crate) fn write(page: &mut String) {
    if let Some(bytes) = resident_bytes() {
        let name = "process_resident_memory_bytes";
        gauge(page, name, "Memory in use.", bytes);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        gauge(page, "process_open_fds", "Open files.", open.count());
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        gauge(page, "process_max_fds", "The most open files.", most);
    }
    let Some(times) = Times::read() else {
        return;
    };
    let name = "process_cpu_seconds_total";
    sample(
        page,
        name,
        "counter",
        "Time of processors used.",
        times.processor,
    );
    if let Some(start) = times.start {
        let name = "process_start_time_seconds";
        gauge(page, name, "When the process started, since 1970.", start);
    }
}

fn gauge(page: &mut String, name: &str, explanation: &str, value: impl Display) {
    sample(page, name, "gauge", explanation, value);
}

/// Appends one metric that has no labels.
pub(crate) fn sample(
    page: &mut String,
    name: &str,
    kind: &str,
    explanation: &str,
    value: impl Display,
) {
    writeln!(
        page,
        "# HELP {name} {explanation}\n# TYPE {name} {kind}\n{name} {value}"
    )
    .expect("a String takes every write");
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Times from `/proc/self/stat`, in seconds.
struct Times {
    processor: f64,
    start: Option<f64>,
}

impl Times {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program is in parentheses and may hold anything, also parentheses.
        let (_, fields) = stat.rsplit_once(") ")?;
        // proc(5) counts fields from 1; what is left begins with field 3.
        let field = |number: usize| fields.split(' ').nth(number - 3)?.parse::<u32>().ok();
        // A tick is 10 ms on every Linux; 32 bits of them last for years.
        let ticks_per_second = f64::from(u32::try_from(clock_ticks_per_second()).ok()?);
        let seconds = |ticks: u32| f64::from(ticks) / ticks_per_second;
        Some(Self {
            processor: seconds(field(14)?) + seconds(field(15)?),
            start: field(22).and_then(|ticks| Some(boot_time()? + seconds(ticks))),
        })
    }
}

/// When the machine started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(f64::from(line.trim().parse::<u32>().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_scrape_tells_memory_files_and_age_of_the_process() {
        let mut page = String::new();
        write(&mut page);
        let value = |name: &str| -> f64 {
            let line = page.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e5);
        assert!(value("process_open_fds ") >= 3.0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - value("process_start_time_seconds ");
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }
}
