//! What the system says of processes: CPU time and memory, from `/proc` (proc_pid_stat(5),
//! proc_pid_status(5)), and how many files this one may open.
//!
//! Linux only, like the server. Must not know what is measured.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessSample {
    /// CPU time in user and kernel mode, all threads, also those that have ended.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
}

/// A process cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProcessError {
    /// It has ended, never was, or is not ours to see.
    #[error("process {pid}: {reason}")]
    Unreadable {
        /// Number of the process.
        pid: u32,
        /// What the system says.
        reason: String,
    },
    /// The file does not look as documented.
    #[error("process {pid}: /proc is not as expected")]
    Malformed {
        /// Number of the process.
        pid: u32,
    },
}

impl ProcessSample {
    /// Of another process.
    ///
    /// # Errors
    /// When there is no such process or it may not be looked at.
    pub fn of(pid: u32) -> Result<Self, ProcessError> {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|error| {
                ProcessError::Unreadable {
                    pid,
                    reason: error.to_string(),
                }
            })
        };
        let (stat, status) = (read("stat")?, read("status")?);
        Ok(Self {
            cpu: cpu_of(&stat).ok_or(ProcessError::Malformed { pid })?,
            rss_bytes: rss_of(&status).ok_or(ProcessError::Malformed { pid })?,
        })
    }

    /// Of this program.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn own() -> Result<Self, ProcessError> {
        Self::of(std::process::id())
    }
}

/// Name of a process's program, without its folder; `None` if it cannot be seen.
#[must_use]
pub fn program_of(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let first = line.split(|byte| *byte == 0).next()?;
    let name = String::from_utf8_lossy(first);
    name.rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

/// Raises the number of files this process may open to the most it is allowed, and says it.
#[must_use]
pub fn raise_file_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = getrlimit(Resource::Nofile);
        }
    }
    // None is no limit.
    limit.current.unwrap_or(u64::MAX)
}

/// User and system time of a `stat` line: its fields 14 and 15. The name in field 2 may hold blanks and
/// brackets, so fields are counted from its last bracket.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis(
        (user + system) * 1000 / ticks_per_second,
    ))
}

fn rss_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let rest = "S 1 2 3 0 -1 4194560 100 0 0 0 150 50 7 7 20 0 9 0 12345 1000 200";
        for name in ["plenum", "a (b) c", "x) y"] {
            assert_eq!(
                cpu_of(&format!("77 ({name}) {rest}")),
                Some(Duration::from_secs(2))
            );
        }
        assert_eq!(cpu_of("77 (x) S 1 2"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(
            rss_of("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t3\n"),
            Some(2 << 20)
        );
        assert_eq!(rss_of("Name:\tx\n"), None);
    }

    #[test]
    fn enough_files_can_be_opened_for_a_small_run() {
        assert!(raise_file_limit() >= 64);
    }

    #[test]
    fn this_program_can_be_looked_at_and_one_that_is_not_there_cannot() {
        let sample = ProcessSample::own().expect("readable");
        assert!(sample.rss_bytes > 100_000);
        assert!(program_of(std::process::id()).is_some());
        assert!(matches!(
            ProcessSample::of(u32::MAX),
            Err(ProcessError::Unreadable { .. })
        ));
    }
}
