//! Settings of media that goes out without WebRTC. Must not check them; `validate` does.

use serde::{Deserialize, Serialize};

use super::Network;

/// Media that goes out without WebRTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressConfig {
    /// Networks (`"192.168.7.0/24"`) to which plain RTP may be sent; on a node whose media is bound to loopback its own
    /// machine, too. Nothing else is: whoever may ask for it could flood others with it.
    pub allowed_targets: Vec<Network>,
    /// Sinks at a time.
    pub max_sinks: usize,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            allowed_targets: Vec::new(),
            max_sinks: 50,
        }
    }
}
