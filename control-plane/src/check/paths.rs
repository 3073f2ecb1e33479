//! Asks each address that a client was told of. UDP and TCP are asked by a plain binding request; a TURN
//! server has to carry one to the media port and its answer back, which is what a call needs of it.

use std::{net::SocketAddr, time::Instant};

use livekit_protocol as lk;
use sfu_node::probe::{Link, ProbeError, TlsTrust, TurnClient, binding, resolve};

use super::{
    Found, Way,
    candidate::{TurnUrl, turn_url},
    join::Told,
    why,
};

/// Asks all, one after the other: what is slow does not make another look slow.
pub(super) async fn ask(told: &Told, trust: &TlsTrust) -> Vec<Found> {
    let mut found = Vec::new();
    for &(way, address) in &told.candidates {
        let begun = Instant::now();
        let outcome = direct(way, address).await;
        found.push(Found {
            way,
            place: address.to_string(),
            outcome: outcome
                .map(|()| begun.elapsed())
                .map_err(|error| why(&error)),
        });
    }
    let media: Vec<_> = told
        .candidates
        .iter()
        .filter(|(way, _)| *way == Way::Udp)
        .map(|(_, address)| *address)
        .collect();
    for server in &told.servers {
        for url in &server.urls {
            let Some(parts) = turn_url(url) else {
                continue;
            };
            let begun = Instant::now();
            let outcome = relayed(&parts, server, &media, trust).await;
            found.push(Found {
                way: parts.way,
                place: url.clone(),
                outcome: outcome
                    .map(|()| begun.elapsed())
                    .map_err(|error| why(&error)),
            });
        }
    }
    found
}

async fn direct(way: Way, address: SocketAddr) -> Result<(), ProbeError> {
    let mut link = match way {
        Way::Tcp => Link::frames(address).await?,
        _ => Link::udp(address).await?,
    };
    binding(&mut link).await.map(drop)
}

/// A binding request to a media port and back, through a relay.
async fn relayed(
    url: &TurnUrl<'_>,
    server: &lk::IceServer,
    media: &[SocketAddr],
    trust: &TlsTrust,
) -> Result<(), ProbeError> {
    let addresses = resolve(url.host, url.port).await?;
    let address = addresses.into_iter().next().ok_or(ProbeError::NoAnswer)?;
    let link = match url.way {
        Way::TurnTls => Link::tls(address, url.host, trust).await?,
        Way::TurnTcp => Link::tcp(address).await?,
        _ => Link::udp(address).await?,
    };
    let mut client = TurnClient::new(link, &server.username, &server.credential);
    let Some(&peer) = media.first() else {
        // Without media over UDP there is nothing that a relay could reach.
        return client.allocate(false).await.map(drop);
    };
    client.allocate(peer.is_ipv6()).await?;
    client.permit(peer).await?;
    client.ask_peer(peer).await?;
    // The rest of its life nobody needs it.
    client.refresh(0).await
}
