//! Tells which ways to the media work from where it runs, and why the others do not: joins as any client
//! does, and then asks every address it was told of.
//!
//! Owns the order of the questions and what the answers mean together. Must not know the command line;
//! it knows of the server what a client is told, and no more.

mod candidate;
mod join;
mod paths;

use std::{fmt, io, path::PathBuf, time::Duration};

use sfu_node::probe::{ProbeError, TlsTrust};

pub(crate) use join::JoinError;

/// Where to ask, and with what right.
#[derive(Debug)]
pub(crate) struct Question {
    /// `ws:`, `wss:`, `http:` or `https:`.
    pub(crate) url: String,
    /// Admits to a room.
    pub(crate) token: String,
    /// More authorities to trust, a PEM file.
    pub(crate) authorities: Option<PathBuf>,
}

/// A way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Signalling,
    Udp,
    Tcp,
    TurnUdp,
    TurnTcp,
    TurnTls,
}

/// What was found of one address.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) way: Way,
    /// Address or URL.
    pub(crate) place: String,
    /// How long the answer took, or why there is none.
    pub(crate) outcome: Result<Duration, String>,
}

/// All that was found.
#[derive(Debug)]
pub(crate) struct Report(pub(crate) Vec<Found>);

/// What all answers mean together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every way that is offered works.
    Everything,
    /// Media gets through, though not every way works.
    Something,
    /// Media does not get through.
    Nothing,
}

impl Way {
    const ALL: [Self; 6] = [
        Self::Signalling,
        Self::Udp,
        Self::Tcp,
        Self::TurnUdp,
        Self::TurnTcp,
        Self::TurnTls,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Signalling => "signalling",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::TurnUdp => "turn/udp",
            Self::TurnTcp => "turn/tcp",
            Self::TurnTls => "turn/tls",
        }
    }
}

impl Report {
    pub(crate) fn verdict(&self) -> Verdict {
        let of_media = |found: &&Found| found.way != Way::Signalling;
        let works = |found: &Found| found.outcome.is_ok();
        if self.0.iter().filter(of_media).any(works) {
            if self.0.iter().all(works) {
                Verdict::Everything
            } else {
                Verdict::Something
            }
        } else {
            Verdict::Nothing
        }
    }
}

/// One line for each way that was tried, and for each that is not offered.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for way in Way::ALL {
            let mut of_way = self.0.iter().filter(|found| found.way == way).peekable();
            if of_way.peek().is_none() {
                writeln!(f, "{:<11} -        not offered", way.name())?;
            }
            for found in of_way {
                match &found.outcome {
                    Ok(took) => writeln!(
                        f,
                        "{:<11} works    {} in {} ms",
                        way.name(),
                        found.place,
                        took.as_millis()
                    )?,
                    Err(why) => writeln!(f, "{:<11} FAILS    {}: {why}", way.name(), found.place)?,
                }
            }
        }
        f.write_str(match self.verdict() {
            Verdict::Everything => "Everything that is offered works from here.\n",
            Verdict::Something => "Calls work from here, though not by every way.\n",
            Verdict::Nothing => "Calls do not work from here: no way to the media is open.\n",
        })
    }
}

/// Asks everything.
///
/// # Errors
/// Why the server could not even be joined: then nothing is known of its other addresses.
pub(crate) async fn run(question: &Question) -> Result<Report, JoinError> {
    let trust = TlsTrust::new(question.authorities.as_deref()).map_err(JoinError::Authorities)?;
    let begun = std::time::Instant::now();
    let told = join::join(question, &trust).await?;
    let mut found = vec![Found {
        way: Way::Signalling,
        place: question.url.clone(),
        outcome: Ok(begun.elapsed()),
    }];
    found.extend(paths::ask(&told, &trust).await);
    Ok(Report(found))
}

/// Why there is no answer, in words that help.
fn why(error: &ProbeError) -> String {
    match error {
        ProbeError::Network(network) if network.kind() == io::ErrorKind::TimedOut => {
            why(&ProbeError::NoAnswer)
        }
        ProbeError::NoAnswer => format!("{error}; a firewall may drop it"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ways: &[(Way, bool)]) -> Report {
        let found = |&(way, works): &(Way, bool)| Found {
            way,
            place: "there".into(),
            outcome: if works {
                Ok(Duration::from_millis(3))
            } else {
                Err("no answer".into())
            },
        };
        Report(ways.iter().map(found).collect())
    }

    #[test]
    fn the_verdict_is_about_media() {
        for (ways, verdict) in [
            (&[(Way::Signalling, true)][..], Verdict::Nothing),
            (
                &[(Way::Signalling, true), (Way::Udp, false)],
                Verdict::Nothing,
            ),
            (
                &[(Way::Signalling, true), (Way::Udp, true)],
                Verdict::Everything,
            ),
            (
                &[
                    (Way::Signalling, true),
                    (Way::Udp, false),
                    (Way::TurnTls, true),
                ],
                Verdict::Something,
            ),
        ] {
            assert_eq!(report(ways).verdict(), verdict, "{ways:?}");
        }
    }

    #[test]
    fn every_way_has_a_line() {
        let text = report(&[(Way::Signalling, true), (Way::Udp, false)]).to_string();
        assert!(
            text.contains("signalling  works    there in 3 ms\n"),
            "{text}"
        );
        assert!(
            text.contains("udp         FAILS    there: no answer\n"),
            "{text}"
        );
        assert!(
            text.contains("turn/tls    -        not offered\n"),
            "{text}"
        );
        assert!(text.ends_with("no way to the media is open.\n"), "{text}");
    }
}
