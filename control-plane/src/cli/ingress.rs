//! `plenum ingress …`: media without WebRTC taken in, seen and ended over the API of a running control plane. Must not
//! decide anything that the API does not.

use std::{fmt::Write as _, fs, path::PathBuf};

use clap::{Args, Subcommand};
use plenum_proto::v1::{
    CreateIngressRequest, DeleteIngressRequest, Ingress, ListIngressesRequest, RtpMedia, RtpSource,
    RtspSource, RtspTransport, create_ingress_request::Source,
    ingress_service_client::IngressServiceClient,
};
use plenum_service::cli::AnyError;

use super::at::{At, Delete, List};
use crate::{auth::VideoGrants, config::Front};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take in plain RTP, or a camera over RTSP.
    Create(Create),
    /// Show what is taken in.
    List(List),
    /// End one.
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Room to which it comes; made when it does not exist.
    #[arg(long)]
    room: String,
    /// Participant that it becomes.
    #[arg(long)]
    identity: String,
    /// Name shown to others.
    #[arg(long, default_value = "")]
    name: String,
    #[command(flatten)]
    from: From,
    /// Of plain RTP: the IP address it comes from; that of the first packet unless given.
    #[arg(long, value_name = "IP", default_value = "", conflicts_with = "rtsp")]
    source_address: String,
    /// Of plain RTP: all media come to one port.
    #[arg(long, conflicts_with = "rtsp")]
    one_port: bool,
    /// Of a camera: it sends by UDP, unless it refuses or nothing comes.
    #[arg(long, requires = "rtsp")]
    udp: bool,
    /// Of a camera behind TLS that signs its own certificate: SHA-256 of it, in hexadecimal.
    #[arg(long, value_name = "DIGEST", default_value = "", requires = "rtsp")]
    certificate_sha256: String,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct From {
    /// A camera, "rtsp://user:password@host/path", or "rtsps://…" for TLS.
    #[arg(long, value_name = "URL")]
    rtsp: Option<String>,
    /// Plain RTP as an SDP file describes it.
    #[arg(long, value_name = "FILE")]
    sdp: Option<PathBuf>,
    /// Plain RTP of this type, "video/H264" or "audio/opus"; may be repeated.
    #[arg(long, value_name = "MIME")]
    media: Vec<String>,
}

impl Command {
    /// Asks the API; what there is to show.
    pub(super) async fn ask(self, config: &Front) -> Result<String, AnyError> {
        let grants = VideoGrants {
            ingress_admin: true,
            ..VideoGrants::default()
        };
        let at = match &self {
            Self::Create(create) => &create.at,
            Self::List(list) => &list.at,
            Self::Delete(delete) => &delete.at,
        };
        let mut client = IngressServiceClient::new(at.connect(config, grants).await?);
        match self {
            Self::Create(create) => {
                let created = client.create_ingress(create.request()?).await?;
                Ok(text(&created.into_inner()))
            }
            Self::List(list) => {
                let request = ListIngressesRequest { room: list.room };
                let listed = client.list_ingresses(request).await?.into_inner();
                Ok(listed.ingresses.iter().map(text).collect())
            }
            Self::Delete(delete) => {
                let request = DeleteIngressRequest {
                    room: delete.room,
                    id: delete.id,
                };
                client.delete_ingress(request).await?;
                Ok(String::new())
            }
        }
    }
}

impl Create {
    fn request(self) -> Result<CreateIngressRequest, AnyError> {
        let source = match self.from.rtsp {
            Some(url) => Source::Rtsp(RtspSource {
                url,
                transport: match self.udp {
                    true => RtspTransport::RtspUdp.into(),
                    false => RtspTransport::RtspInterleaved.into(),
                },
                certificate_sha256: self.certificate_sha256,
                ..RtspSource::default()
            }),
            None => Source::Rtp(RtpSource {
                sdp: self
                    .from
                    .sdp
                    .map(fs::read_to_string)
                    .transpose()?
                    .unwrap_or_default(),
                media: self
                    .from
                    .media
                    .into_iter()
                    .map(|mime| RtpMedia {
                        mime,
                        ..RtpMedia::default()
                    })
                    .collect(),
                source_address: self.source_address,
                one_port: self.one_port,
            }),
        };
        Ok(CreateIngressRequest {
            room: self.room,
            identity: self.identity,
            name: self.name,
            source: Some(source),
            ..CreateIngressRequest::default()
        })
    }
}

fn text(ingress: &Ingress) -> String {
    let state = ingress.state().as_str_name();
    let state = state.trim_start_matches("INGRESS_").to_ascii_lowercase();
    let mut text = format!(
        "{} {} {} {state}",
        ingress.id, ingress.room, ingress.identity
    );
    for part in [&ingress.url, &ingress.problem] {
        if !part.is_empty() {
            text.push_str("  ");
            text.push_str(part);
        }
    }
    for to in &ingress.endpoints {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n  {} (payload type {}) to {}:{}, RTCP {}",
            to.mime, to.payload_type, to.address, to.port, to.rtcp_port
        );
    }
    text.push('\n');
    text
}
