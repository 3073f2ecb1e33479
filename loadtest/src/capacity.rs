//! Finding how much load still passes: which load to try next, and what the tries found.
//!
//! Owns the search, as a machine that is told results and says the next load; it runs nothing itself,
//! so that it is tested without a network. `crate::cli` runs the steps, `crate::report::steps` shows them.

use serde::{Deserialize, Serialize};

use crate::report::{Quantiles, Report};

/// What is stepped up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Vary {
    /// Subscribers per room.
    Subscribers,
    /// Publishers per room.
    Publishers,
    /// Rooms.
    Rooms,
}

impl Vary {
    /// The key of the scenario.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Subscribers => "subscribers",
            Self::Publishers => "publishers",
            Self::Rooms => "rooms",
        }
    }
}

/// How the load grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// By so much each time, until a step fails.
    Add(u32),
    /// Twofold until a step fails, then halving the gap between what passed and what failed.
    Double,
}

/// What to search, and how closely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The first load.
    pub start: u32,
    /// How it grows.
    pub growth: Growth,
    /// The largest load.
    pub max: u32,
    /// Share of the load at which a gap is small enough, 0 to 1; only for [`Growth::Double`].
    pub precision: f64,
    /// A load has failed when it failed this many times: one hiccup of the machine is no limit.
    pub tries: u32,
}

/// The search so far.
#[derive(Debug, Clone)]
pub struct Search {
    plan: Plan,
    passed: Option<u32>,
    failed: Option<u32>,
    failures_here: u32,
}

impl Search {
    /// A search with nothing tried.
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self {
            plan,
            passed: None,
            failed: None,
            failures_here: 0,
        }
    }

    /// The load to try next; `None` when the search has ended.
    #[must_use]
    pub fn poll_next(&self) -> Option<u32> {
        let start = self.plan.start.clamp(1, self.plan.max.max(1));
        match (self.passed, self.failed) {
            (None, None) => Some(start),
            (Some(passed), None) => {
                let next = match self.plan.growth {
                    Growth::Add(step) => passed.saturating_add(step.max(1)),
                    Growth::Double => passed.saturating_mul(2),
                };
                (passed < self.plan.max).then(|| next.min(self.plan.max))
            }
            (passed, Some(failed)) => {
                let passed = passed.unwrap_or(0);
                let gap = failed - passed;
                let small = (f64::from(passed) * self.plan.precision).max(1.0);
                let halves =
                    self.plan.growth == Growth::Double && f64::from(gap) > small && gap > 1;
                halves.then(|| passed + gap / 2)
            }
        }
    }

    /// Takes the result of the load that [`poll_next`](Self::poll_next) named.
    pub fn handle_result(&mut self, load: u32, passed: bool) {
        if passed {
            self.passed = Some(self.passed.map_or(load, |before| before.max(load)));
            self.failures_here = 0;
            return;
        }
        self.failures_here += 1;
        if self.failures_here >= self.plan.tries.max(1) {
            self.failed = Some(self.failed.map_or(load, |before| before.min(load)));
            self.failures_here = 0;
        }
    }

    /// The largest load that passed.
    #[must_use]
    pub const fn capacity(&self) -> Option<u32> {
        self.passed
    }

    /// The smallest load that failed; `None`: none did up to the largest.
    #[must_use]
    pub const fn limit(&self) -> Option<u32> {
        self.failed
    }
}

/// What a search found: the file that `--json` writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityReport {
    /// Version of the file, as of [`Report::format`].
    pub format: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// Where the server was, without secrets.
    pub url: String,
    /// What was stepped up.
    pub vary: Vary,
    /// The largest load that passed; `null` when none did.
    pub capacity: Option<u32>,
    /// The smallest load that failed; `null` when none did up to the largest tried.
    pub limit: Option<u32>,
    /// Each try in the order made.
    pub steps: Vec<Step>,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The load: how many of what varies.
    pub load: u32,
    /// Whether it passed.
    pub passed: bool,
    /// Thresholds that failed, or why it could not run.
    pub failed: Vec<String>,
    /// All numbers; `null` when it could not run.
    pub report: Option<Report>,
}

impl Step {
    /// Of a run that ended. Buckets are left out: a search would be mostly those.
    #[must_use]
    pub fn of_report(load: u32, mut report: Report) -> Self {
        let spreads = [
            &mut report.forward_latency_ms,
            &mut report.jitter_ms,
            &mut report.join_ms,
            &mut report.first_frame_ms,
            &mut report.switch_ms,
            &mut report.rejoin_ms,
            &mut report.data.reliable.latency_ms,
            &mut report.data.lossy.latency_ms,
        ];
        for spread in spreads {
            *spread = std::mem::take::<Quantiles>(spread).without_buckets();
        }
        let failed = report.thresholds.iter().filter(|row| !row.passed);
        Self {
            load,
            passed: report.passed,
            failed: failed.map(|row| row.name.clone()).collect(),
            report: Some(report),
        }
    }

    /// Of a run that could not be made, as when the server refused everyone.
    #[must_use]
    pub fn of_error(load: u32, error: String) -> Self {
        Self {
            load,
            passed: false,
            failed: vec![error],
            report: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a server that holds up to `capacity`; gives the loads tried.
    fn search(plan: Plan, mut passes: impl FnMut(u32) -> bool) -> (Vec<u32>, Search) {
        let mut search = Search::new(plan);
        let mut tried = Vec::new();
        while let Some(load) = search.poll_next() {
            tried.push(load);
            search.handle_result(load, passes(load));
            assert!(tried.len() < 100, "does not end: {tried:?}");
        }
        (tried, search)
    }

    fn plan(start: u32, growth: Growth, max: u32) -> Plan {
        Plan {
            start,
            growth,
            max,
            precision: 0.05,
            tries: 1,
        }
    }

    #[test]
    fn the_load_grows_until_it_fails() {
        let add = Growth::Add;
        let double = Growth::Double;
        // Plan, capacity of the server, loads tried, capacity found, limit found.
        type Case = (Plan, u32, &'static [u32], Option<u32>, Option<u32>);
        let cases: &[Case] = &[
            (
                plan(50, add(50), 500),
                120,
                &[50, 100, 150],
                Some(100),
                Some(150),
            ),
            (
                plan(50, add(50), 130),
                500,
                &[50, 100, 130],
                Some(130),
                None,
            ),
            (plan(50, add(50), 500), 20, &[50], None, Some(50)),
            (plan(50, add(0), 52), 500, &[50, 51, 52], Some(52), None),
            (
                plan(100, double, 1_000),
                330,
                &[100, 200, 400, 300, 350, 325, 337],
                Some(325),
                Some(337),
            ),
            (
                plan(100, double, 1_000),
                5_000,
                &[100, 200, 400, 800, 1_000],
                Some(1_000),
                None,
            ),
            (plan(8, double, 64), 3, &[8, 4, 2, 3], Some(3), Some(4)),
            (plan(1, double, 64), 0, &[1], None, Some(1)),
            (plan(500, double, 100), 5_000, &[100], Some(100), None),
            (plan(0, double, 4), 2, &[1, 2, 4, 3], Some(2), Some(3)),
        ];
        for (plan, capacity, loads, found, limit) in cases {
            let (tried, search) = search(*plan, |load| load <= *capacity);
            assert_eq!(tried, *loads, "{plan:?} {capacity}");
            assert_eq!(
                (search.capacity(), search.limit()),
                (*found, *limit),
                "{plan:?} {capacity}"
            );
        }
    }

    #[test]
    fn a_step_keeps_no_buckets() {
        let spread = || Quantiles::of_samples([1.0, 2.0]);
        let mut report = Report {
            forward_latency_ms: spread(),
            jitter_ms: spread(),
            join_ms: spread(),
            first_frame_ms: spread(),
            switch_ms: spread(),
            rejoin_ms: spread(),
            ..Report::default()
        };
        report.data.reliable.latency_ms = spread();
        report.data.lossy.latency_ms = spread();
        let text = |of: &Report| serde_json::to_string(of).expect("json");
        assert_eq!(text(&report).matches("buckets").count(), 8);
        let step = Step::of_report(1, report);
        let kept = step.report.expect("the report");
        assert!(!text(&kept).contains("buckets") && kept.rejoin_ms.count == 2);
    }

    #[test]
    fn a_hiccup_is_tried_again() {
        let plan = Plan {
            tries: 2,
            ..plan(10, Growth::Add(10), 40)
        };
        let mut hiccups = vec![20];
        let (tried, found) = search(plan, |load| {
            let hiccup = hiccups.iter().position(|at| *at == load);
            hiccup.map(|at| hiccups.remove(at)).is_none() && load <= 30
        });
        assert_eq!(tried, [10, 20, 20, 30, 40, 40]);
        assert_eq!((found.capacity(), found.limit()), (Some(30), Some(40)));
    }
}
