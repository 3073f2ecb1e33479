//! `gst-launch-1.0` with GStreamer's elements for WHIP and WHEP in it, which Debian has not: runs the pipeline
//! of its arguments until it is told to stop (SIGINT). What the element `play` decodes ends here, and is
//! counted once a second.
//!
//!     elements whepclientsrc name=play stun-server= signaller::whep-endpoint=…

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gst::{glib, prelude::*};

fn main() {
    gst::init().expect("GStreamer");
    gstrswebrtc::plugin_register_static().expect("its WebRTC");
    gstrsrtp::plugin_register_static().expect("its RTP");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pipeline = gst::parse::launch(&arguments.join(" ")).expect("a pipeline");
    // One element alone is no pipeline yet.
    let pipeline = pipeline
        .downcast::<gst::Pipeline>()
        .unwrap_or_else(|element| {
            let pipeline = gst::Pipeline::new();
            pipeline.add(&element).expect("a place");
            pipeline
        });
    let [audio, video] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    if let Some(player) = pipeline.by_name("play") {
        let (audio, video) = (audio.clone(), video.clone());
        player.connect_pad_added(move |player, pad| {
            let count = if pad.name().starts_with("audio") {
                &audio
            } else {
                &video
            };
            end(player, pad, count.clone());
        });
    }
    let main_loop = glib::MainLoop::new(None, false);
    glib::timeout_add(Duration::from_secs(1), move || {
        let [audio, video] = [&audio, &video].map(|count| count.load(Ordering::Relaxed));
        println!("audio {audio}, video {video}");
        glib::ControlFlow::Continue
    });
    let told = main_loop.clone();
    ctrlc::set_handler(move || told.quit()).expect("a signal");
    let failed = main_loop.clone();
    let bus = pipeline.bus().expect("a bus");
    let _watch = bus.add_watch(move |_, message| {
        if let gst::MessageView::Error(error) = message.view() {
            eprintln!("{}: {:?}", error.error(), error.debug());
            failed.quit();
        }
        glib::ControlFlow::Continue
    });
    pipeline.set_state(gst::State::Playing).expect("it plays");
    main_loop.run();
    pipeline.set_state(gst::State::Null).expect("it ends");
}

/// Lets what comes out of a pad end, and counts it.
fn end(player: &gst::Element, pad: &gst::Pad, count: Arc<AtomicU64>) {
    let sink = gst::ElementFactory::make("fakesink")
        .build()
        .expect("a sink");
    let pipeline = player
        .parent()
        .and_downcast::<gst::Bin>()
        .expect("a pipeline");
    pipeline.add(&sink).expect("a place");
    sink.sync_state_with_parent().expect("it plays");
    pad.link(&sink.static_pad("sink").expect("its pad"))
        .expect("they fit");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
}
