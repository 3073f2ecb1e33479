//! `plenum egress …`: a participant's media sent out as plain RTP, seen and ended over the API of a running control plane.
//! Must not decide anything that the API does not.

use std::{fs, net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use plenum_proto::v1::{
    CreateEgressRequest, DeleteEgressRequest, Egress, ListEgressesRequest, RtpSink,
    egress_service_client::EgressServiceClient,
};
use plenum_service::cli::AnyError;

use super::at::{At, Delete, List, duration};
use crate::{auth::VideoGrants, config::Front};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send the media of a participant as plain RTP.
    Create(Create),
    /// Show what is sent.
    List(List),
    /// End one.
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Room, which has to exist.
    #[arg(long)]
    room: String,
    /// Participant whose camera and microphone are sent.
    #[arg(long)]
    from: String,
    /// Participant that takes them.
    #[arg(long)]
    identity: String,
    /// IP address to send to.
    #[arg(long, value_name = "IP")]
    to: IpAddr,
    #[command(flatten)]
    ports: Ports,
    /// RTCP goes to the same ports as media, not to the next ones.
    #[arg(long)]
    rtcp_mux: bool,
    /// How often there is to be a keyframe at least; "0s": only when the receiver asks.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    keyframe_interval: Duration,
    /// File to write, by which a player opens what is sent; on the screen unless given.
    #[arg(long, value_name = "FILE")]
    sdp: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Ports {
    /// Port for video, with RTCP on the next.
    #[arg(long, value_name = "PORT")]
    video_port: Option<u16>,
    /// Port for audio, with RTCP on the next.
    #[arg(long, value_name = "PORT")]
    audio_port: Option<u16>,
}

impl Command {
    /// Asks the API; what there is to show.
    pub(super) async fn ask(self, config: &Front) -> Result<String, AnyError> {
        let grants = VideoGrants {
            room_record: true,
            ..VideoGrants::default()
        };
        let at = match &self {
            Self::Create(create) => &create.at,
            Self::List(list) => &list.at,
            Self::Delete(delete) => &delete.at,
        };
        let mut client = EgressServiceClient::new(at.connect(config, grants).await?);
        match self {
            Self::Create(create) => {
                let file = create.sdp.clone();
                let created = client.create_egress(create.request()?).await?.into_inner();
                let Some(file) = file else {
                    return Ok(format!("{}\n{}", text(&created), created.sdp));
                };
                fs::write(file, &created.sdp)?;
                Ok(text(&created))
            }
            Self::List(list) => {
                let request = ListEgressesRequest { room: list.room };
                let listed = client.list_egresses(request).await?.into_inner();
                Ok(listed.egresses.iter().map(text).collect())
            }
            Self::Delete(delete) => {
                let request = DeleteEgressRequest {
                    room: delete.room,
                    id: delete.id,
                };
                client.delete_egress(request).await?;
                Ok(String::new())
            }
        }
    }
}

impl Create {
    fn request(self) -> Result<CreateEgressRequest, AnyError> {
        let port = |port: Option<u16>| port.map_or(0, u32::from);
        let rtp = RtpSink {
            address: self.to.to_string(),
            video_port: port(self.ports.video_port),
            audio_port: port(self.ports.audio_port),
            rtcp_mux: self.rtcp_mux,
            keyframe_interval: Some(self.keyframe_interval.try_into()?),
        };
        Ok(CreateEgressRequest {
            room: self.room,
            identity: self.identity,
            from_identity: self.from,
            rtp: Some(rtp),
        })
    }
}

fn text(egress: &Egress) -> String {
    let state = egress.state().as_str_name();
    let state = state.trim_start_matches("EGRESS_").to_ascii_lowercase();
    let Egress {
        id,
        room,
        identity,
        from_identity,
        problem,
        ..
    } = egress;
    let gap = if problem.is_empty() { "" } else { "  " };
    format!("{id} {room} {from_identity} by {identity} {state}{gap}{problem}\n")
}
