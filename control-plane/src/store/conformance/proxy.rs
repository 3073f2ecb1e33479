//! A link to a server that can be cut: nothing passes, in either direction, and nobody is told. Must not look into what
//! passes.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// See the module. Dropped, its connections end.
pub(super) struct Link {
    address: SocketAddr,
    is_whole: Arc<watch::Sender<bool>>,
    _passing: JoinSet<()>,
}

impl Link {
    /// To the server at a URL.
    pub(super) async fn to(url: &str) -> Self {
        let server = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_whole = Arc::new(watch::Sender::new(true));
        let mut passing = JoinSet::new();
        passing.spawn(listen(listener, server, Arc::clone(&is_whole)));
        Self {
            address,
            is_whole,
            _passing: passing,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    pub(super) fn heal(&self) {
        self.is_whole.send_replace(true);
    }
}

async fn listen(listener: TcpListener, server: String, is_whole: Arc<watch::Sender<bool>>) {
    let mut passing = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let (server, mut whole) = (server.clone(), is_whole.subscribe());
        passing.spawn(async move {
            // One that comes while the link is cut waits.
            let _ = whole.wait_for(|is_whole| *is_whole).await;
            let Ok(mut server) = TcpStream::connect(server).await else {
                return;
            };
            let is_cut = tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => false,
                cut = whole.wait_for(|is_whole| !*is_whole) => cut.is_ok(),
            };
            if is_cut {
                // It stands, and nothing passes any more.
                let _ = whole.wait_for(|is_whole| *is_whole).await;
            }
        });
    }
}
