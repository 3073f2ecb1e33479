//! How long a switch takes: from the wish for another layer to the first frame of another encoding.

#[derive(Debug, Clone, Default)]
pub(super) struct SwitchMeter {
    /// When another layer was wished for, and the format of the picture then.
    wish: Option<(u64, u32)>,
    /// Format of the newest frame that told one; 0: none did.
    format: u32,
    times_ns: Vec<u64>,
}

impl SwitchMeter {
    /// The viewer wishes for another layer. A wish not fulfilled yet is forgotten.
    pub(super) fn on_layer_change(&mut self, now_ns: u64) {
        self.wish = Some((now_ns, self.format));
    }

    /// A frame is shown; `format` names its encoding or size, 0 if it does not tell.
    pub(super) fn on_frame(&mut self, now_ns: u64, format: u32) {
        if format == 0 || format == self.format {
            return;
        }
        self.format = format;
        if let Some((since, before)) = self.wish.filter(|(_, before)| *before != format) {
            // Without a picture before there was nothing to switch from.
            if before != 0 {
                self.times_ns.push(now_ns.saturating_sub(since));
            }
            self.wish = None;
        }
    }

    pub(super) fn begin(&mut self) {
        self.times_ns.clear();
    }

    pub(super) fn times_ns(&self) -> &[u64] {
        &self.times_ns
    }

    /// Whether a wish stands unfulfilled.
    pub(super) fn is_waiting(&self) -> bool {
        self.wish.is_some_and(|(_, before)| before != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_runs_from_the_last_wish_to_the_first_other_picture() {
        let mut meter = SwitchMeter::default();
        meter.on_layer_change(5);
        meter.on_frame(10, 1);
        assert!(
            meter.times_ns().is_empty(),
            "the first picture is no switch"
        );
        meter.on_layer_change(100);
        meter.on_frame(110, 1);
        meter.on_frame(120, 0);
        assert!(meter.is_waiting());
        meter.on_layer_change(130);
        meter.on_frame(170, 2);
        // By the forwarding unit's own will.
        meter.on_frame(300, 3);
        assert_eq!((meter.times_ns(), meter.is_waiting()), (&[40][..], false));
    }
}
