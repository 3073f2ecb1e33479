//! The numbers on top of the page.

use crate::report::{
    Report,
    format::{Unit, plural},
    page::escape,
};

/// A number on top: its name, its value, and a line more.
type Tile = (&'static str, String, String);

/// The numbers that one asks for first.
pub(super) fn render(report: &Report) -> String {
    let millis = |value| Unit::Millis.show_or_dash(value);
    let latency = &report.forward_latency_ms;
    let mut tiles = vec![
        (
            "packets forwarded",
            Unit::PerSecond.show(report.packets_per_second),
            format!(
                "{} in all",
                Unit::Count.show(report.packets_forwarded as f64)
            ),
        ),
        (
            "out of the server",
            Unit::BitRate.show(report.bitrate_bps.egress),
            format!("{} in", Unit::BitRate.show(report.bitrate_bps.ingress)),
        ),
        (
            "packets lost",
            Unit::Share.show_or_dash(report.packets_lost_ratio),
            lost(report),
        ),
        (
            "forwarding latency p99",
            millis(latency.p99),
            format!(
                "half under {}, max {}",
                millis(latency.p50),
                millis(latency.max)
            ),
        ),
    ];
    if report.frames_expected > 0 {
        tiles.push((
            "frames decodable",
            Unit::Share.show_or_dash(report.frames_decodable_ratio),
            plural(report.freezes, "freeze"),
        ));
    }
    let first = report.first_frame_ms.p95;
    let first = first.map_or_else(String::new, |first| {
        format!("first frame {}", Unit::Millis.show(first))
    });
    tiles.push(("join p95", millis(report.join_ms.p95), first));
    tiles.extend(server_tiles(report));
    let tile = |(name, value, more): Tile| {
        let (value, more) = (escape(&value), escape(&more));
        format!("<div class=\"tile\"><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>\n")
    };
    let tiles: String = tiles.into_iter().map(tile).collect();
    format!("<dl class=\"tiles\">\n{tiles}</dl>\n")
}

/// What was lost, and by how many wholly or for long.
fn lost(report: &Report) -> String {
    let packets = plural(report.packets_lost, "packet");
    match report.subscriptions_silent {
        0 => packets,
        silent => format!(
            "{packets}; {silent} of {} subscriptions silent",
            report.subscriptions
        ),
    }
}

/// What the server spent, as far as it was taken.
fn server_tiles(report: &Report) -> Vec<Tile> {
    let mut tiles = Vec::new();
    if let Some(seconds) = report.cpu_seconds {
        let cores = seconds / report.duration_s.max(1e-9);
        tiles.push((
            "server CPU per packet",
            Unit::Nanos.show_or_dash(report.cpu_ns_per_forwarded_packet),
            format!("{} processors busy", Unit::Cores.show(cores)),
        ));
    }
    if let Some(max) = report.rss_bytes.max {
        let end = report.rss_bytes.end.map(|bytes| bytes as f64);
        tiles.push((
            "server memory max",
            Unit::Bytes.show(max as f64),
            format!("{} at the end", Unit::Bytes.show_or_dash(end)),
        ));
    }
    tiles
}
