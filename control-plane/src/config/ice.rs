//! The section on STUN and TURN servers. Owns how it is put into the configuration; the keys, defaults,
//! checks and explanations are its module's own.

use crate::ice_servers::{EXPLAINED, IceConfig};

use plenum_service::config::{Given, Key, Mistakes, Setting, print_external, read_external};

impl Setting for IceConfig {
    const IS_TABLE: bool = true;

    fn read(&mut self, given: Given, key: &Key, mistakes: &mut Mistakes) {
        read_external(self, given, key, mistakes);
    }

    fn print(&self, key: &Key, about: &[&str], out: &mut String) {
        print_external(self, EXPLAINED, key, about, out);
    }
}

/// Notes what is wrong with the servers.
pub(super) fn check(ice: &IceConfig, mistakes: &mut Mistakes) {
    for (key, problem) in ice.mistakes() {
        mistakes.add(&Key::of("ice").child(&key), problem);
    }
}
