//! How much may be under way to another node. Media between nodes follows what is wanted, not what the link
//! gives, and what is lost by chance is sent again: so a share of loss that any other stream would take for
//! congestion changes nothing here. Only past it, or when nothing comes through, less is sent.

use std::{any::Any, sync::Arc, time::Instant};

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;

/// Bytes under way at the beginning.
const INITIAL: u64 = 256 * 1024;

/// Bytes under way at least, and at most: 1 Gbit/s over 250 ms.
const LEAST: u64 = 32 * 1024;
const MOST: u64 = 32 * 1024 * 1024;

/// Share of bytes that may be lost, in hundredths.
const TOLERATED: u64 = 15;

/// What is kept of the window when more is lost, in hundredths.
const KEPT: u64 = 70;

/// Makes a window for each connection.
#[derive(Debug, Default)]
pub(super) struct Windows;

/// The window of one connection.
#[derive(Debug, Clone)]
struct Window {
    bytes: u64,
    mtu: u64,
    /// It was never too much: the window grows by what arrives.
    is_starting: bool,
    /// Since the window was last judged.
    arrived: u64,
    lost: u64,
}

impl ControllerFactory for Windows {
    fn build(self: Arc<Self>, _: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Window::new(mtu))
    }
}

impl Window {
    fn new(mtu: u16) -> Self {
        Self {
            bytes: INITIAL,
            mtu: mtu.into(),
            is_starting: true,
            arrived: 0,
            lost: 0,
        }
    }

    /// Once a window's worth of bytes has met its fate.
    fn judge(&mut self) {
        let all = self.arrived + self.lost;
        if all < self.bytes {
            return;
        }
        if self.lost * 100 > all * TOLERATED {
            self.is_starting = false;
            self.bytes = (self.bytes * KEPT / 100).max(LEAST);
        } else if !self.is_starting {
            self.bytes = (self.bytes + 8 * self.mtu).min(MOST);
        }
        (self.arrived, self.lost) = (0, 0);
    }
}

impl Controller for Window {
    fn on_ack(&mut self, _: Instant, _: Instant, bytes: u64, app_limited: bool, _: &RttEstimator) {
        self.arrived += bytes;
        if self.is_starting && !app_limited {
            self.bytes = (self.bytes + bytes).min(MOST);
        }
        self.judge();
    }

    fn on_congestion_event(&mut self, _: Instant, _: Instant, is_persistent: bool, lost: u64) {
        self.lost += lost;
        if is_persistent {
            (self.bytes, self.is_starting) = (LEAST, false);
        }
        self.judge();
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.mtu = mtu.into();
    }

    fn window(&self) -> u64 {
        self.bytes
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred windows, of which a share of the bytes, in hundredths, is lost.
    fn after(lost: u64, is_persistent: bool) -> u64 {
        let mut window = Window::new(1_200);
        window.is_starting = false;
        for _ in 0..100 {
            window.lost += window.bytes * lost / 100;
            window.arrived += window.bytes - window.bytes * lost / 100;
            window.judge();
        }
        let now = Instant::now();
        window.on_congestion_event(now, now, is_persistent, 0);
        window.bytes
    }

    #[test]
    fn loss_by_chance_does_not_shrink_the_window_and_congestion_does() {
        for (lost, is_persistent, grows) in [
            (0, false, true),
            (5, false, true),
            (15, false, true),
            (20, false, false),
        ] {
            assert_eq!(
                after(lost, is_persistent) > INITIAL,
                grows,
                "{lost} in a hundred"
            );
        }
        assert_eq!(after(40, false), LEAST);
        assert_eq!(after(0, true), LEAST, "when nothing comes through");
    }
}
