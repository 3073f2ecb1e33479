//! The signalling gateway's section. Owns how it is put into the configuration; the keys, defaults,
//! checks and explanations are the gateway's own.

use crate::signal::{EXPLAINED, SignalConfig};

use plenum_service::config::{Given, Key, Mistakes, Setting, print_external, read_external};

impl Setting for SignalConfig {
    const IS_TABLE: bool = true;

    fn read(&mut self, given: Given, key: &Key, mistakes: &mut Mistakes) {
        read_external(self, given, key, mistakes);
    }

    fn print(&self, key: &Key, about: &[&str], out: &mut String) {
        print_external(self, EXPLAINED, key, about, out);
    }
}

/// Notes what the gateway itself finds wrong.
pub(super) fn check(signal: &SignalConfig, mistakes: &mut Mistakes) {
    for mistake in signal.mistakes() {
        mistakes.add(&Key::of("signal").child(mistake.key), mistake.problem);
    }
}
