// A publisher by WHIP or a player by WHEP on GStreamer's webrtcbin, as small as it gets: one offer with all its
// candidates, posted by curl, and a count of the buffers that went or were decoded, once a second, until it is
// told to stop (SIGINT). The certificate is webrtcbin's own.
//
//   client publish|play URL TOKEN vp8|h264

#define GST_USE_UNSTABLE_API
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <gst/sdp/sdp.h>
#include <gst/webrtc/webrtc.h>
#include <stdio.h>
#include <string.h>

static const char *PUBLISH[] = {
    "vp8", "vp8enc deadline=1 target-bitrate=600000 keyframe-max-dist=50 ! rtpvp8pay picture-id-mode=2",
    "h264", "x264enc bitrate=600 speed-preset=ultrafast tune=zerolatency key-int-max=50"
            " ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency"};

static GMainLoop *loop;
static GstElement *webrtc, *pipeline;
static char *url, *token, *location;
static int counts[2];

// Runs a command of curl with the token; returns what it printed.
static char *curl(const char *more) {
  char *command = g_strdup_printf("curl -sS -H 'Authorization: Bearer %s' %s", token, more), *out = NULL;
  char *argv[] = {"/bin/sh", "-c", command, NULL};
  if (!g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, &out, NULL, NULL, NULL)) g_error("cannot run curl");
  g_free(command);
  return out;
}

static void negotiate(void) {
  GstWebRTCSessionDescription *offer;
  g_object_get(webrtc, "local-description", &offer, NULL);
  char *text = gst_sdp_message_as_text(offer->sdp), *file = NULL;
  g_close(g_file_open_tmp("offer-XXXXXX", &file, NULL), NULL);
  g_file_set_contents(file, text, -1, NULL);
  if (g_getenv("SHOW_SDP")) g_print("%s\n", text);
  char *more = g_strdup_printf("-i -H 'Content-Type: application/sdp' --data-binary @%s '%s'", file, url);
  char *answer = curl(more), *found = g_strstr_len(answer, -1, "\nlocation: "), *body = g_strstr_len(answer, -1, "\r\n\r\n");
  remove(file);
  if (!strstr(answer, " 201 ") || !found || !body) g_error("refused: %s", answer);
  char *server = g_strndup(url, strchr(strstr(url, "://") + 3, '/') - url);
  location = g_strconcat(server, g_strstrip(g_strndup(found + 11, strcspn(found + 11, "\r"))), NULL);
  g_print("answered, session %s\n", location);
  if (g_getenv("SHOW_SDP")) g_print("%s\n", body + 4);
  GstSDPMessage *sdp;
  gst_sdp_message_new_from_text(body + 4, &sdp);
  GstWebRTCSessionDescription *remote = gst_webrtc_session_description_new(GST_WEBRTC_SDP_TYPE_ANSWER, sdp);
  g_signal_emit_by_name(webrtc, "set-remote-description", remote, NULL);
}

// The offer goes once all candidates are in it.
static gboolean look(void) {
  GstWebRTCICEGatheringState state;
  g_object_get(webrtc, "ice-gathering-state", &state, NULL);
  if (state != GST_WEBRTC_ICE_GATHERING_STATE_COMPLETE) return TRUE;
  negotiate();
  return FALSE;
}

static void on_offer(GstPromise *promise) {
  GstWebRTCSessionDescription *offer;
  gst_structure_get(gst_promise_get_reply(promise), "offer", GST_TYPE_WEBRTC_SESSION_DESCRIPTION, &offer, NULL);
  g_signal_emit_by_name(webrtc, "set-local-description", offer, NULL);
}

static void on_negotiation(GstElement *element) {
  GstPromise *promise = gst_promise_new_with_change_func((GstPromiseChangeFunc)(void *)on_offer, NULL, NULL);
  g_signal_emit_by_name(element, "create-offer", NULL, promise);
}

static void on_state(GObject *object) {
  GstWebRTCPeerConnectionState state;
  g_object_get(object, "connection-state", &state, NULL);
  g_print("connection state %d%s\n", state, state == GST_WEBRTC_PEER_CONNECTION_STATE_CONNECTED ? " (connected)" : "");
}

static GstPadProbeReturn count(GstPad *pad, GstPadProbeInfo *info, gpointer what) {
  (void)pad, (void)info;
  g_atomic_int_inc((int *)what);
  return GST_PAD_PROBE_OK;
}

// What was decoded ends in a sink and is counted.
static void on_decoded(GstElement *decoder, GstPad *pad) {
  (void)decoder;
  char *kind = gst_caps_to_string(gst_pad_get_current_caps(pad));
  g_print("decoded: %.90s\n", kind);
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, count, &counts[g_str_has_prefix(kind, "audio") ? 0 : 1], NULL);
  GstElement *sink = gst_element_factory_make("fakesink", NULL);
  gst_bin_add(GST_BIN(pipeline), sink);
  gst_element_sync_state_with_parent(sink);
  gst_pad_link(pad, gst_element_get_static_pad(sink, "sink"));
}

static void on_pad(GstElement *element, GstPad *pad) {
  (void)element;
  if (GST_PAD_DIRECTION(pad) != GST_PAD_SRC) return;
  GstElement *decoder = gst_element_factory_make("decodebin", NULL);
  g_signal_connect(decoder, "pad-added", G_CALLBACK(on_decoded), NULL);
  gst_bin_add(GST_BIN(pipeline), decoder);
  gst_element_sync_state_with_parent(decoder);
  gst_pad_link(pad, gst_element_get_static_pad(decoder, "sink"));
}

static gboolean tick(void) {
  g_print("audio %d, video %d\n", g_atomic_int_get(&counts[0]), g_atomic_int_get(&counts[1]));
  return TRUE;
}

static gboolean on_signal(void) {
  g_main_loop_quit(loop);
  return FALSE;
}

static void add(const char *caps) {
  GstWebRTCRTPTransceiver *made;
  GstCaps *wanted = gst_caps_from_string(caps);
  g_signal_emit_by_name(webrtc, "add-transceiver", GST_WEBRTC_RTP_TRANSCEIVER_DIRECTION_RECVONLY, wanted, &made);
  g_object_set(made, "do-nack", TRUE, NULL);
}

int main(int argc, char **argv) {
  gst_init(&argc, &argv);
  if (argc != 5) g_error("usage: client publish|play URL TOKEN vp8|h264");
  gboolean is_publishing = g_str_equal(argv[1], "publish");
  url = argv[2], token = argv[3];
  const char **codec = g_str_equal(argv[4], "vp8") ? &PUBLISH[0] : &PUBLISH[2];
  char *text = is_publishing
    ? g_strdup_printf("webrtcbin name=w bundle-policy=max-bundle"
        " videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=25/1 ! videoconvert ! %s"
        " name=v pt=96 ! application/x-rtp,media=video,encoding-name=%s,payload=96 ! w."
        " audiotestsrc is-live=true ! audioconvert ! opusenc ! rtpopuspay name=a pt=97"
        " ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! w.",
        codec[1], codec == PUBLISH ? "VP8" : "H264")
    : g_strdup("webrtcbin name=w bundle-policy=max-bundle");
  GError *error = NULL;
  pipeline = gst_parse_launch(text, &error);
  if (error) g_error("%s", error->message);
  if (GST_IS_PIPELINE(pipeline)) webrtc = gst_bin_get_by_name(GST_BIN(pipeline), "w");
  else {
    webrtc = pipeline;
    pipeline = gst_pipeline_new(NULL);
    gst_bin_add(GST_BIN(pipeline), webrtc);
  }
  const char *names[] = {"a", "v"};
  for (int i = 0; is_publishing && i < 2; i++) {
    GstPad *pad = gst_element_get_static_pad(gst_bin_get_by_name(GST_BIN(pipeline), names[i]), "src");
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST, count, &counts[i], NULL);
  }
  g_signal_connect(webrtc, "notify::connection-state", G_CALLBACK(on_state), NULL);
  // What is to be sent is known when its first packets are there; what is to be received, now.
  if (is_publishing) g_signal_connect(webrtc, "on-negotiation-needed", G_CALLBACK(on_negotiation), NULL);
  g_signal_connect(webrtc, "pad-added", G_CALLBACK(on_pad), NULL);
  gst_element_set_state(pipeline, GST_STATE_READY);
  if (!is_publishing) {
    add("application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2");
    add(codec == PUBLISH ? "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000"
      : "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000,packetization-mode=(string)1,profile-level-id=(string)42e01f");
  }
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  if (!is_publishing) on_negotiation(webrtc);
  g_timeout_add(100, (GSourceFunc)(void *)look, NULL);
  g_unix_signal_add(SIGINT, (GSourceFunc)(void *)on_signal, NULL);
  g_timeout_add_seconds(1, (GSourceFunc)(void *)tick, NULL);
  loop = g_main_loop_new(NULL, FALSE);
  g_main_loop_run(loop);
  if (location) g_print("ended with %s\n", curl(g_strdup_printf("-X DELETE -o /dev/null -w '%%{http_code}' '%s'", location)));
  gst_element_set_state(pipeline, GST_STATE_NULL);
  return 0;
}
