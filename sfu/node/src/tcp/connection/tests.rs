use std::net::SocketAddr;

use tokio::io::DuplexStream;

use super::*;

const IDLE: Duration = Duration::from_secs(30);

/// A connection under test: the client's end, its worker's inputs, and its end.
struct Fixture {
    client: DuplexStream,
    inputs: Vec<mpsc::Receiver<TcpInput>>,
    end: tokio::task::JoinHandle<Option<TcpEnd>>,
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn connect(workers: usize) -> Fixture {
    let (client, server) = tokio::io::duplex(1024);
    let (reader, writer) = tokio::io::split(server);
    let (senders, inputs): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(4)).unzip();
    let link = TcpLink {
        number: 1,
        local: address(1),
        remote: address(2),
    };
    let config = TcpConfig::default();
    let end = tokio::spawn(async move { serve(reader, writer, link, &config, &senders).await });
    Fixture {
        client,
        inputs,
        end,
    }
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(frame);
    bytes
}

#[test]
fn frames_are_written_from_where_they_are_however_much_is_taken_at_a_time() {
    let sent: Vec<Vec<u8>> = (1..=5_u8).map(|n| vec![n; usize::from(n) * 7]).collect();
    let all: Vec<u8> = sent.iter().flat_map(|frame| framed(frame)).collect();
    for taken in 1..all.len() {
        let mut frames = Frames::default();
        frames
            .renew()
            .extend(sent.iter().map(|frame| Bytes::from(framed(frame))));
        let mut written: Vec<u8> = Vec::new();
        while frames.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 3];
            let count = frames.chunks_vectored(&mut slices);
            let bytes: Vec<u8> = slices[..count]
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .collect();
            assert_eq!(frames.chunk(), &*slices[0]);
            let step = taken.min(bytes.len());
            written.extend(&bytes[..step]);
            frames.advance(step);
        }
        assert_eq!(written, all, "{taken} at a time");
    }
}

/// A binding request for a session of ours.
fn binding_request(ufrag: &str) -> Vec<u8> {
    let username = format!("{ufrag}:them");
    let mut body = [0, 6, 0, u8::try_from(username.len()).unwrap()].to_vec();
    body.extend(username.as_bytes());
    body.resize(body.len().next_multiple_of(4), 0);
    let mut message = [
        0,
        1,
        0,
        u8::try_from(body.len()).unwrap(),
        0x21,
        0x12,
        0xA4,
        0x42,
    ]
    .to_vec();
    message.extend([7; 12]);
    message.extend(body);
    message
}

impl Fixture {
    async fn write(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    /// The way back to the client, and the first frame.
    async fn opened(&mut self, worker: usize) -> (mpsc::Sender<Bytes>, Vec<u8>) {
        let Some(TcpInput::Open { frames, .. }) = self.inputs[worker].recv().await else {
            panic!("not opened");
        };
        (frames, self.frame(worker).await)
    }

    async fn frame(&mut self, worker: usize) -> Vec<u8> {
        match self.inputs[worker].recv().await {
            Some(TcpInput::Frame { bytes, .. }) => bytes,
            _ => panic!("no frame"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn frames_go_both_ways_whatever_the_pieces() {
    let mut fixture = connect(1);
    let request = binding_request("0ours");
    let mut bytes = framed(&request);
    bytes.extend(framed(b""));
    bytes.extend(framed(b"second"));
    for byte in bytes {
        fixture.write(&[byte]).await;
    }
    let (frames, first) = fixture.opened(0).await;
    assert_eq!(first, request);
    assert_eq!(fixture.frame(0).await, b"second");

    frames.send(framed(b"one").into()).await.unwrap();
    frames.send(framed(b"three").into()).await.unwrap();
    let mut got = [0; 12];
    fixture.client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"\0\x03one\0\x05three");

    drop(frames);
    assert_eq!(fixture.end.await.unwrap(), Some(TcpEnd::Closed));
    assert!(matches!(
        fixture.inputs[0].recv().await,
        Some(TcpInput::Closed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn the_first_frame_chooses_the_worker() {
    let mut fixture = connect(3);
    fixture.write(&framed(&binding_request("2ours"))).await;
    fixture.opened(2).await;

    let mut fixture = connect(3);
    fixture.write(&framed(&binding_request("3ours"))).await;
    assert_eq!(fixture.end.await.unwrap(), Some(TcpEnd::NotIce));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_begin_with_ice_is_closed() {
    let mut fixture = connect(1);
    fixture.write(&framed(b"GET / HTTP/1.1")).await;
    assert_eq!(fixture.end.await.unwrap(), Some(TcpEnd::NotIce));
}

#[tokio::test(start_paused = true)]
async fn a_frame_past_the_limit_is_closed_before_it_is_read() {
    let mut fixture = connect(1);
    let length = u16::try_from(MAX_FRAME + 1).unwrap();
    fixture.write(&length.to_be_bytes()).await;
    assert_eq!(fixture.end.await.unwrap(), Some(TcpEnd::FrameSize));
}

#[tokio::test(start_paused = true)]
async fn a_frame_at_the_limit_passes() {
    let mut fixture = connect(1);
    fixture.write(&framed(&binding_request("0ours"))).await;
    let _open = fixture.opened(0).await;
    let frame = vec![7; MAX_FRAME];
    fixture.write(&framed(&frame)).await;
    assert_eq!(fixture.frame(0).await, frame);
}

#[tokio::test(start_paused = true)]
async fn deadlines_end_silent_and_dribbling_clients() {
    let started = tokio::time::Instant::now();
    let fixture = connect(1);
    assert_eq!(fixture.end.await.unwrap(), Some(TcpEnd::Timeout));
    assert_eq!(started.elapsed(), TcpConfig::default().first_frame_timeout);

    let mut fixture = connect(1);
    fixture.write(&framed(&binding_request("0ours"))).await;
    let opened = fixture.opened(0).await;
    let started = tokio::time::Instant::now();
    // A byte now and then is not a frame.
    let mut dribble = tokio::time::interval(IDLE / 3);
    let bytes = framed(&[0; 100]);
    for byte in &bytes[..3] {
        dribble.tick().await;
        fixture.write(&[*byte]).await;
    }
    assert_eq!(fixture.end.await.unwrap(), Some(TcpEnd::Timeout));
    assert_eq!(started.elapsed(), IDLE);
    drop(opened);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_closed() {
    let mut fixture = connect(1);
    fixture.write(&framed(&binding_request("0ours"))).await;
    let (frames, _) = fixture.opened(0).await;
    for _ in 0..4 {
        frames.send(framed(&[0; 1000]).into()).await.unwrap();
    }
    assert_eq!(fixture.end.await.unwrap(), Some(TcpEnd::Timeout));
}
