//! Who may import whom: reads the paths in the sources of the core, and the manifests of the
//! workspace, and fails on an arrow the design forbids.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Modules of the core, and what of ours each of them may name. What is not listed here may name
/// anything but the shard.
const MAY_NAME: [(&str, &[&str]); 21] = [
    ("ahead", &[]),
    ("rtp", &[]),
    ("rtcp", &["rtp"]),
    ("srtp", &[]),
    ("key", &[]),
    ("time", &[]),
    ("limits", &[]),
    ("stats", &[]),
    ("data", &[]),
    ("timer", &["key"]),
    ("losses", &[]),
    ("wait", &["rtp"]),
    ("track", &["losses", "rtp", "wait"]),
    ("subscription", &["ahead", "rtp", "track", "stats"]),
    ("allocator", &["track"]),
    ("room", &["key", "limits"]),
    ("relay", &["key", "rtp", "track"]),
    ("stun", &[]),
    ("binding", &["stun"]),
    ("demux", &["key", "session"]),
    (
        "session",
        &[
            "ahead", "binding", "config", "key", "limits", "losses", "outbox", "rtp", "rtcp",
            "srtp", "stun", "time", "wait",
        ],
    ),
];

/// Names at the root of the crate, and the module that each comes from.
const ROOT_NAMES: [(&str, &str); 27] = [
    ("CandidateAddress", "config"),
    ("CoreConfig", "config"),
    ("Command", "input"),
    ("CommandError", "input"),
    ("Datagram", "input"),
    ("Reply", "input"),
    ("ControlId", "key"),
    ("LinkKey", "key"),
    ("HopReceiver", "relay"),
    ("HopSender", "relay"),
    ("HopStats", "relay"),
    ("MalformedRelayPacket", "relay"),
    ("Received", "relay"),
    ("RelayFrame", "relay"),
    ("RelayPacket", "relay"),
    ("RelayTransmit", "relay"),
    ("Limits", "limits"),
    ("Event", "output"),
    ("Transmit", "output"),
    ("Certificate", "session"),
    ("CertificateError", "session"),
    ("Shard", "shard"),
    ("Backlog", "stats"),
    ("DropReason", "stats"),
    ("ShardStats", "stats"),
    ("ClockAnchor", "time"),
    // Plain words of the crate itself.
    ("Protocol", ""),
];

fn core() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The module of a file: the first step of its path below `src`.
fn module_of(path: &Path) -> String {
    let below = path
        .strip_prefix(core().join("src"))
        .expect("a source of the core");
    let first = below
        .iter()
        .next()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The file without comments.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first names after `crate::`, also inside braces.
fn named(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let own_path = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if own_path {
            first_names(rest, &mut names);
        }
    }
    names
}

fn first_names(rest: &str, names: &mut BTreeSet<String>) {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(list) = rest.strip_prefix('{') else {
        names.insert(word(rest));
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let name = word(list[start..at].trim_start());
                if !name.is_empty() {
                    names.insert(name);
                }
                start = at + 1;
                if c == '}' {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// The module a name at the root stands for.
fn target(name: &str) -> &str {
    ROOT_NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(name, |(_, module)| module)
}

#[test]
fn no_module_names_what_it_must_not() {
    let mut files = Vec::new();
    sources(&core().join("src"), &mut files);
    assert!(files.len() > 40, "the sources were found");
    let mut found = Vec::new();
    for path in files {
        let module = module_of(&path);
        let code = code(&fs::read_to_string(&path).expect("a source"));
        let allowed = MAY_NAME
            .iter()
            .find(|(name, _)| *name == module)
            .map(|(_, allowed)| *allowed);
        for name in named(&code) {
            let target = target(&name);
            let is_own = target == module || target.is_empty();
            let is_forbidden = match allowed {
                Some(allowed) => !is_own && !allowed.contains(&target),
                None => target == "shard" && !["shard", "lib"].contains(&module.as_str()),
            };
            if is_forbidden {
                found.push(format!("{}: {module} names {name}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_sessions_name_the_engine_and_only_rtp_its_small_types() {
    let mut files = Vec::new();
    sources(&core().join("src"), &mut files);
    let mut seen = BTreeSet::new();
    for path in files {
        let module = module_of(&path);
        if code(&fs::read_to_string(&path).expect("a source")).contains("str0m") {
            assert!(
                ["session", "rtp"].contains(&module.as_str()),
                "{} names it",
                path.display()
            );
            seen.insert(module);
        }
    }
    assert_eq!(
        seen.len(),
        2,
        "both do, else this test looks in the wrong place"
    );
}

#[test]
fn the_allocator_sees_layers_only() {
    let text = fs::read_to_string(core().join("src/allocator/mod.rs")).expect("a source");
    let code = code(&text);
    let named: Vec<_> = code
        .match_indices("crate::")
        .map(|(at, _)| &code[at..])
        .collect();
    assert!(!named.is_empty());
    assert!(
        named
            .iter()
            .all(|path| path.starts_with("crate::track::Layer;")),
        "{named:?}"
    );
}

#[test]
fn paths_are_read_as_they_are_written() {
    let code = "use crate::{\n Limits, key::{A, B},\n session::Role };\nfn f(x: crate::Protocol) {}\n\
        use $crate::hidden; use crate::room::Member;";
    let names: Vec<_> = named(code).into_iter().collect();
    assert_eq!(names, ["Limits", "Protocol", "key", "room", "session"]);
    assert_eq!(target("Limits"), "limits");
}

/// The names of the dependencies in a manifest, those for tests apart.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(manifest).expect("a manifest");
    let mut section = "";
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if section.ends_with("dependencies") && section != "dev-dependencies" {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            if !name.is_empty() && !name.starts_with('#') {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn manifests_keep_the_core_pure_and_the_others_off_it() {
    let workspace = core().join("../..");
    let own = dependencies(&core().join("Cargo.toml"));
    assert!(own.contains("str0m"));
    for runtime in [
        "tokio",
        "tokio-util",
        "tokio-stream",
        "futures-util",
        "tonic",
        "socket2",
        "hyper",
    ] {
        assert!(!own.contains(runtime), "the core depends on {runtime}");
    }
    for (package, is_required) in [("control-plane", true), ("loadtest", false)] {
        let manifest = workspace.join(package).join("Cargo.toml");
        if !is_required && !manifest.exists() {
            continue;
        }
        assert!(
            !dependencies(&manifest).contains("sfu-core"),
            "{package} depends on the core"
        );
    }
    assert!(dependencies(&workspace.join("sfu/node/Cargo.toml")).contains("sfu-core"));
}
