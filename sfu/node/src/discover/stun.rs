//! One question to a STUN server: which address do you see me at?
//!
//! Owns the request and the reading of its answer. Must not believe an answer that is not to our request
//! or not from whom was asked. RFC 8489 sections 5, 6.2.1, 14.1 and 14.2.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{UdpSocket, lookup_host},
    time::{Instant, timeout, timeout_at},
};

use crate::config::StunServer;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const MAGIC_COOKIE: u32 = 0x2112_A442;
const MAPPED_ADDRESS: u16 = 0x0001;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const HEADER: usize = 20;

/// Wait for the first answer; doubles with each request that is sent again.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Why a server told no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("has no address of this family")]
    NoAddress,
    #[error("cannot be reached ({0})")]
    Io(#[from] io::Error),
    #[error("did not answer in time")]
    Late,
}

/// Asks over the family of `local`, an unspecified address.
pub(super) async fn ask(
    server: &StunServer,
    local: IpAddr,
    within: Duration,
) -> Result<IpAddr, AskError> {
    let end = Instant::now() + within;
    let found = timeout_at(end, lookup_host(server.as_str())).await;
    let server = found
        .map_err(|_| AskError::Late)??
        .find(|address| address.is_ipv4() == local.is_ipv4())
        .ok_or(AskError::NoAddress)?;
    let socket = UdpSocket::bind(SocketAddr::new(local, 0)).await?;
    socket.connect(server).await?;
    let transaction: [u8; 12] = rand::random();
    timeout_at(end, exchange(&socket, transaction))
        .await
        .map_err(|_| AskError::Late)?
}

async fn exchange(socket: &UdpSocket, transaction: [u8; 12]) -> Result<IpAddr, AskError> {
    let mut wait = FIRST_WAIT;
    loop {
        socket.send(&request(transaction)).await?;
        if let Ok(answer) = timeout(wait, answer(socket, transaction)).await {
            return answer;
        }
        wait *= 2;
    }
}

/// The first datagram that is an answer; others are passed over.
async fn answer(socket: &UdpSocket, transaction: [u8; 12]) -> Result<IpAddr, AskError> {
    let mut buffer = [0; 1500];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(ip) = mapped_address(&buffer[..length], transaction) {
            return Ok(ip);
        }
    }
}

fn request(transaction: [u8; 12]) -> [u8; HEADER] {
    let mut request = [0; HEADER];
    request[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    request[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    request[8..].copy_from_slice(&transaction);
    request
}

/// The address in a success response to our request.
fn mapped_address(message: &[u8], transaction: [u8; 12]) -> Option<IpAddr> {
    let (header, mut attributes) = message.split_at_checked(HEADER)?;
    if header[..2] != BINDING_SUCCESS.to_be_bytes()
        || header[4..8] != MAGIC_COOKIE.to_be_bytes()
        || header[8..] != transaction
        || usize::from(u16::from_be_bytes([header[2], header[3]])) != attributes.len()
    {
        return None;
    }
    let mut plain = None;
    while let Some((head, rest)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (value, rest) = rest.split_at_checked(length)?;
        match u16::from_be_bytes([head[0], head[1]]) {
            XOR_MAPPED_ADDRESS => return address(value, &header[4..]),
            // What servers of before RFC 5389 say.
            MAPPED_ADDRESS => plain = address(value, &[0; 16]),
            _ => {}
        }
        // Attributes are padded to four bytes.
        attributes = rest.get(length.next_multiple_of(4) - length..)?;
    }
    plain
}

/// An address, each byte combined with those of `mask`.
fn address(value: &[u8], mask: &[u8]) -> Option<IpAddr> {
    let (head, bytes) = value.split_first_chunk::<4>()?;
    let clear: Vec<u8> = bytes.iter().zip(mask).map(|(a, b)| a ^ b).collect();
    if clear.len() != bytes.len() {
        return None;
    }
    match head[1] {
        1 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(clear).ok()?).into()),
        2 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(clear).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: [u8; 12] = [7; 12];

    fn response(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = BINDING_SUCCESS.to_be_bytes().to_vec();
        message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(MAGIC_COOKIE.to_be_bytes());
        message.extend(TRANSACTION);
        message.extend(body);
        message
    }

    /// 192.0.2.1, as in the example of RFC 5769 section 2.2.
    const V4: &[u8] = &[0, 1, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43];

    #[test]
    fn the_address_is_read_from_either_attribute() {
        let software: (u16, &[u8]) = (0x8022, b"abc");
        let plain: (u16, &[u8]) = (MAPPED_ADDRESS, &[0, 1, 0x80, 0x55, 10, 0, 0, 1]);
        let v6: Vec<u8> = {
            let ip: Ipv6Addr = "2001:db8:1234:5678:11:2233:4455:6677".parse().unwrap();
            let mut mask = MAGIC_COOKIE.to_be_bytes().to_vec();
            mask.extend(TRANSACTION);
            let hidden = ip.octets().into_iter().zip(mask).map(|(a, b)| a ^ b);
            [0, 2, 0xA1, 0x47].into_iter().chain(hidden).collect()
        };
        for (attributes, expected) in [
            (vec![software, (XOR_MAPPED_ADDRESS, V4)], Some("192.0.2.1")),
            (vec![plain, (XOR_MAPPED_ADDRESS, V4)], Some("192.0.2.1")),
            (
                vec![(XOR_MAPPED_ADDRESS, v6.as_slice())],
                Some("2001:db8:1234:5678:11:2233:4455:6677"),
            ),
            (vec![software, plain], Some("10.0.0.1")),
            (vec![software], None),
            (vec![(XOR_MAPPED_ADDRESS, &V4[..7])], None),
            (vec![(XOR_MAPPED_ADDRESS, &[0, 3, 0, 0, 1, 2, 3, 4])], None),
            (vec![(XOR_MAPPED_ADDRESS, &[0; 40])], None),
        ] {
            let found = mapped_address(&response(&attributes), TRANSACTION);
            assert_eq!(found.map(|ip| ip.to_string()).as_deref(), expected);
        }
    }

    #[test]
    fn what_is_not_an_answer_to_us_tells_nothing() {
        let whole = response(&[(XOR_MAPPED_ADDRESS, V4)]);
        for end in 0..whole.len() {
            assert_eq!(
                mapped_address(&whole[..end], TRANSACTION),
                None,
                "cut at {end}"
            );
        }
        for at in [0, 1, 3, 4, 8, 19] {
            let mut message = whole.clone();
            message[at] ^= 1;
            assert_eq!(mapped_address(&message, TRANSACTION), None, "byte {at}");
        }
        assert_eq!(mapped_address(&request(TRANSACTION), TRANSACTION), None);
    }

    #[tokio::test]
    async fn a_request_is_sent_again_until_an_answer_comes() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let name = server.local_addr().unwrap().to_string().parse().unwrap();
        let serve = async {
            let mut buffer = [0; 100];
            // The first request is lost, and what comes before the answer is no answer.
            server.recv_from(&mut buffer).await.unwrap();
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!((length, &buffer[..2]), (HEADER, &[0, 1][..]));
            server.send_to(b"nonsense", from).await.unwrap();
            let mut answer = response(&[(XOR_MAPPED_ADDRESS, V4)]);
            server.send_to(&answer, from).await.unwrap();
            answer[8..HEADER].copy_from_slice(&buffer[8..HEADER]);
            server.send_to(&answer, from).await.unwrap();
        };
        let local = Ipv4Addr::UNSPECIFIED.into();
        let (told, ()) = tokio::join!(ask(&name, local, Duration::from_secs(60)), serve);
        assert_eq!(told.unwrap().to_string(), "192.0.2.1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let name = server.local_addr().unwrap().to_string().parse().unwrap();
        let local = Ipv4Addr::UNSPECIFIED.into();
        let told = ask(&name, local, Duration::from_secs(2)).await;
        assert!(matches!(told, Err(AskError::Late)), "{told:?}");
        let v6 = ask(&name, Ipv6Addr::UNSPECIFIED.into(), Duration::from_secs(2)).await;
        assert!(matches!(v6, Err(AskError::NoAddress)), "{v6:?}");
    }
}
