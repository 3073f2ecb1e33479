//! The scenario's limits against what was found: a pure function.
//!
//! Owns the rules. A limit whose number could not be taken fails: passing would claim what nobody saw.

use std::time::Duration;

use super::model::{DataReport, Report, ThresholdResult, ratio};
use crate::scenario::{Share, Thresholds};

/// Which side of the limit is good.
#[derive(Clone, Copy)]
enum Good {
    AtMost,
    AtLeast,
}

/// Judges every limit that the scenario sets, in the order of its keys.
#[must_use]
pub fn evaluate(limits: &Thresholds, report: &Report) -> Vec<ThresholdResult> {
    use Good::{AtLeast, AtMost};
    let percent = |share: Option<Share>| share.map(|share| share.ratio() * 100.0);
    let millis = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64() * 1e3);
    let of_ratio = |ratio: Option<f64>| ratio.map(|ratio| ratio * 100.0);
    let failed_joins = of_ratio(ratio(report.joins.failed, report.joins.attempted));
    let freezes = (report.frames_expected > 0).then_some(report.freezes as f64);
    let max_cpu = limits.max_cpu_per_packet.map(|cpu| cpu.as_nanos() as f64);
    let max_rss = limits.max_rss.map(|size| size.bytes() as f64);
    let rss = report.rss_bytes.max.map(|bytes| bytes as f64);
    let cpu = report.cpu_ns_per_forwarded_packet;
    let lost = of_ratio(report.packets_lost_ratio);
    let decodable = of_ratio(report.frames_decodable_ratio);
    let max_silent = limits.max_silent.map(|silent| silent as f64);
    let silent = (report.subscriptions > 0).then_some(report.subscriptions_silent as f64);
    let max_freezes = limits.max_freezes.map(|freezes| freezes as f64);
    let latency = report.forward_latency_ms.p99;
    let (join, first) = (report.join_ms.p95, report.first_frame_ms.p95);
    let switch = report.switch_ms.p95;
    [
        judge("max_lost", AtMost, percent(limits.max_lost), lost, "%"),
        judge(
            "max_unseen",
            AtMost,
            percent(limits.max_unseen),
            of_ratio(report.packets_unseen_ratio),
            "%",
        ),
        judge("max_silent", AtMost, max_silent, silent, ""),
        judge(
            "min_decodable_frames",
            AtLeast,
            percent(limits.min_decodable_frames),
            decodable,
            "%",
        ),
        judge("max_freezes", AtMost, max_freezes, freezes, ""),
        judge(
            "max_latency_p99",
            AtMost,
            millis(limits.max_latency_p99),
            latency,
            "ms",
        ),
        judge(
            "max_data_lost",
            AtMost,
            percent(limits.max_data_lost),
            of_ratio(worst(report, |data| data.messages_lost_ratio)),
            "%",
        ),
        judge(
            "max_data_latency_p99",
            AtMost,
            millis(limits.max_data_latency_p99),
            worst(report, |data| data.latency_ms.p99),
            "ms",
        ),
        judge(
            "max_join_p95",
            AtMost,
            millis(limits.max_join_p95),
            join,
            "ms",
        ),
        judge(
            "max_first_frame_p95",
            AtMost,
            millis(limits.max_first_frame_p95),
            first,
            "ms",
        ),
        judge(
            "max_switch_p95",
            AtMost,
            millis(limits.max_switch_p95),
            switch,
            "ms",
        ),
        judge(
            "max_failed_joins",
            AtMost,
            percent(limits.max_failed_joins),
            failed_joins,
            "%",
        ),
        judge("max_cpu_per_packet", AtMost, max_cpu, cpu, "ns"),
        judge("max_rss", AtMost, max_rss, rss, "bytes"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The larger number of the two kinds of data messages.
fn worst(report: &Report, number: impl Fn(&DataReport) -> Option<f64>) -> Option<f64> {
    let both = [&report.data.reliable, &report.data.lossy];
    both.into_iter().filter_map(number).reduce(f64::max)
}

/// One limit; nothing when the scenario does not set it.
fn judge(
    name: &str,
    good: Good,
    limit: Option<f64>,
    value: Option<f64>,
    unit: &str,
) -> Option<ThresholdResult> {
    let limit = limit?;
    Some(ThresholdResult {
        name: name.to_owned(),
        limit,
        value,
        unit: unit.to_owned(),
        passed: value.is_some_and(|value| match good {
            Good::AtMost => value <= limit,
            Good::AtLeast => value >= limit,
        }),
    })
}

/// What a limit is called where people read it; its key when it is not one of ours.
#[must_use]
pub fn title(name: &str) -> &str {
    match name {
        "max_lost" => "packets lost",
        "max_unseen" => "packets unseen",
        "max_silent" => "silent subscriptions",
        "min_decodable_frames" => "frames decodable",
        "max_freezes" => "freezes",
        "max_latency_p99" => "forwarding latency p99",
        "max_data_lost" => "data messages lost",
        "max_data_latency_p99" => "data messages p99",
        "max_join_p95" => "join p95",
        "max_first_frame_p95" => "first frame p95",
        "max_switch_p95" => "switch of layer p95",
        "max_failed_joins" => "joins failed",
        "max_cpu_per_packet" => "server CPU per packet",
        "max_rss" => "server memory max",
        other => other,
    }
}
