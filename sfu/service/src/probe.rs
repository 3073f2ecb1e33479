//! Asks a program of this machine how it is, at the address that it wrote down: for probes that cannot know which
//! port it found. Owns the question. Must not judge more than the answer's status. RFC 9112 section 4.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

/// How long it may take to answer, and to be connected to.
const LIMIT: Duration = Duration::from_secs(3);

/// Longest status line that is read, in bytes.
const MAX_LINE: u64 = 1024;

/// Why a program is not well, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nobody wrote down where to ask.
    #[error("http.address_file: must be set, for a probe to know where to ask")]
    NoFile,
    /// The file is not there, or says no address: the program does not listen yet.
    #[error("{path} says no address")]
    NoAddress {
        /// As configured.
        path: String,
    },
    /// Nobody answers there.
    #[error("{address} does not answer")]
    Silent {
        /// As written down.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The program answers that it is not well.
    #[error("{0}")]
    Unwell(String),
}

/// Asks for `target`, such as `/healthz`; the address is in the file.
///
/// # Errors
/// Any answer but 200, or none.
pub fn ask(file: Option<&str>, target: &str) -> Result<(), ProbeError> {
    let path = file.ok_or(ProbeError::NoFile)?;
    let address: SocketAddr = fs::read_to_string(Path::new(path))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| ProbeError::NoAddress {
            path: path.to_owned(),
        })?;
    let line =
        status_line(address, target).map_err(|source| ProbeError::Silent { address, source })?;
    match line.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(ProbeError::Unwell(line.trim_end().to_owned())),
    }
}

fn status_line(address: SocketAddr, target: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Answers once, and gives back what was asked.
    fn server(answer: &'static str) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let serve = move || {
            let (stream, _) = listener.accept().expect("a connection");
            let mut asked = String::new();
            let mut reader = BufReader::new(stream);
            reader.read_line(&mut asked).expect("a line");
            reader.get_mut().write_all(answer.as_bytes()).expect("sent");
            asked
        };
        (address, thread::spawn(serve))
    }

    #[test]
    fn only_200_is_well() {
        let file = std::env::temp_dir().join(format!("plenum-probe-{}", std::process::id()));
        let path = file.to_str().expect("a path");
        for (answer, is_well) in [
            ("HTTP/1.1 200 OK\r\n\r\nok", true),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
            ("HTTP/1.1 2000 OK\r\n\r\n", false),
            ("", false),
        ] {
            let (address, server) = server(answer);
            fs::write(&file, format!("{address}\n")).expect("written");
            assert_eq!(ask(Some(path), "/readyz").is_ok(), is_well, "{answer}");
            assert_eq!(server.join().expect("served"), "GET /readyz HTTP/1.1\r\n");
        }
        // The last server is gone.
        let gone = ask(Some(path), "/readyz");
        assert!(matches!(gone, Err(ProbeError::Silent { .. })), "{gone:?}");
        fs::write(&file, "nowhere").expect("written");
        let wrong = ask(Some(path), "/readyz");
        assert!(
            matches!(wrong, Err(ProbeError::NoAddress { .. })),
            "{wrong:?}"
        );
        fs::remove_file(&file).expect("removed");
        let missing = ask(Some(path), "/readyz");
        assert!(
            matches!(missing, Err(ProbeError::NoAddress { .. })),
            "{missing:?}"
        );
        assert!(matches!(ask(None, "/"), Err(ProbeError::NoFile)));
    }
}
