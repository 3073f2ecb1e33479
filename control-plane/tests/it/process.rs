//! The program itself: its command line, its words, its end.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Output, Stdio},
};

use crate::support::keys;

fn plenum() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plenum"));
    // Nothing of the environment of the tests may reach it.
    command.env_clear();
    command
}

fn run(command: &mut Command) -> (Output, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

#[test]
fn a_token_is_made_on_the_command_line() {
    let (output, out, err) = run(plenum().args(
        "token create --room tea --identity ada --name Ada --ttl 10m --admin --no-publish"
            .split(' '),
    ));
    assert!(output.status.success(), "{err}");
    let (token, link) = out.trim_end().split_once('\n').expect("two lines");
    assert_eq!(
        link,
        format!("http://127.0.0.1:7880/?room=tea#token={token}")
    );
    let verified = keys().verify(token).expect("a good token");
    assert_eq!(verified.require_join(), Ok("tea"));
    assert_eq!(verified.require_room_admin("tea"), Ok(()));
    assert!(!verified.permissions().can_publish);

    let (output, _, err) = run(plenum().args(["token", "create", "--key", "none", "--list-rooms"]));
    assert!(
        !output.status.success() && err.contains("unknown API key"),
        "{err}"
    );
}

#[test]
fn the_printed_configuration_is_a_good_one() {
    let (output, printed, err) = run(plenum().arg("--print-default-config"));
    assert!(output.status.success(), "{err}");
    let mut file = tempfile();
    file.write_all(printed.as_bytes()).expect("written");
    let (output, out, err) = run(plenum()
        .arg("--check-config")
        .arg("--config")
        .arg(file.path()));
    assert!(
        output.status.success() && out.contains("good"),
        "{out}{err}"
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let mut file = tempfile();
    file.write_all(b"[http]\nlisten = 5\n[node]\nworkers = 99\n[signal]\nnope = 1\n")
        .unwrap();
    let (output, _, err) = run(plenum()
        .args(["--check-config", "--set", "log.format=xml", "--config"])
        .arg(file.path())
        .env("PLENUM_API__MAX_EVENT_STREAMS", "0"));
    assert_eq!(output.status.code(), Some(1));
    for key in [
        "http.listen:",
        "node.workers:",
        "signal.nope:",
        "log.format:",
        "api.max_event_streams:",
    ] {
        assert!(err.contains(key), "{key} missing in {err}");
    }
    let (output, _, err) = run(plenum().args(["--check-config", "--config", "/nowhere.toml"]));
    assert!(
        !output.status.success() && err.contains("/nowhere.toml"),
        "{err}"
    );
}

#[test]
fn the_development_key_stays_on_the_loopback_address() {
    let (output, out, err) = run(plenum().env("PLENUM_HTTP__LISTEN", "0.0.0.0:0"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err.contains("http.listen") && err.contains("keys") && err.contains("devkey"),
        "{err}"
    );
    assert_eq!(out, "");
}

#[test]
fn it_greets_and_ends_when_told() {
    let mut child = serving(&[]);
    let greeting = greeting(&mut child);
    for part in [
        "http://127.0.0.1:",
        "/?room=",
        "devkey",
        "udp 127.0.0.1:",
        "tcp 127.0.0.1:",
    ] {
        assert!(greeting.contains(part), "{part} missing in {greeting}");
    }
    end(child);
}

/// The program, serving on ports the system chooses.
pub(crate) fn serving(settings: &[&str]) -> Child {
    let ports = [
        "http.listen=127.0.0.1:0",
        "node.udp.listen=127.0.0.1:0",
        "node.tcp.listen=127.0.0.1:0",
    ];
    plenum()
        .args(
            ports
                .iter()
                .chain(settings)
                .flat_map(|setting| ["--set", *setting]),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs")
}

/// What it says when it can be reached.
pub(crate) fn greeting(child: &mut Child) -> String {
    let mut greeting = String::new();
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line = line.expect("text");
        greeting.push_str(&line);
        greeting.push('\n');
        if line.contains("Ctrl-C") {
            break;
        }
    }
    greeting
}

/// Tells it to end, and waits for that.
pub(crate) fn end(mut child: Child) {
    let pid = child.id().to_string();
    let told = Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .expect("it can be told");
    assert!(told.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

/// A file that goes away with its owner.
struct TempFile(std::path::PathBuf, std::fs::File);

impl TempFile {
    fn path(&self) -> &std::path::Path {
        &self.0
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.1.write_all(bytes)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tempfile() -> TempFile {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("plenum-{:016x}.toml", rand::random::<u64>()));
    let file = std::fs::File::create_new(&path).expect("a file");
    TempFile(path, file)
}
