//! What a WebSocket is kept open for after its close frame: a socket that is closed on a client that still sends is
//! reset, and the client may lose the close frame with it. RFC 6455 section 7.1.1.

use std::time::Duration;

use axum::extract::ws::WebSocket;
use tokio::time;

/// How long a client may take to answer a close frame.
const SPAN: Duration = Duration::from_secs(1);

/// Most frames read from a client after its close frame.
const FRAMES: usize = 4_096;

/// Reads until the client has closed as well. `is_readable`: the library reads no further after some errors, and all
/// that helps then is to wait.
pub(crate) async fn linger(socket: &mut WebSocket, is_readable: bool) {
    if !is_readable {
        return time::sleep(SPAN).await;
    }
    let reading = async {
        for _ in 0..FRAMES {
            if !matches!(socket.recv().await, Some(Ok(_))) {
                return;
            }
        }
    };
    let _ = time::timeout(SPAN, reading).await;
}
