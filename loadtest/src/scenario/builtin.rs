//! The scenarios that come with the program; they are files like any other.
//!
//! Owns their list. What they do is in `loadtest/scenarios/`.

/// A scenario that comes with the program.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub toml: &'static str,
}

/// All of them.
pub const BUILT_IN: [BuiltIn; 7] = [
    BuiltIn {
        name: "audio",
        toml: include_str!("../../scenarios/audio.toml"),
    },
    BuiltIn {
        name: "meeting",
        toml: include_str!("../../scenarios/meeting.toml"),
    },
    BuiltIn {
        name: "webinar",
        toml: include_str!("../../scenarios/webinar.toml"),
    },
    BuiltIn {
        name: "churn",
        toml: include_str!("../../scenarios/churn.toml"),
    },
    BuiltIn {
        name: "large-room",
        toml: include_str!("../../scenarios/large-room.toml"),
    },
    BuiltIn {
        name: "games",
        toml: include_str!("../../scenarios/games.toml"),
    },
    BuiltIn {
        name: "thin-link",
        toml: include_str!("../../scenarios/thin-link.toml"),
    },
];

/// The built-in scenario of a name.
#[must_use]
pub fn built_in(name: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|built_in| built_in.name == name)
}
