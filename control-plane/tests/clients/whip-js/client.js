// An encoder and a player as a page has them without any SDK: a peer connection and fetch. Runs in the
// page, whose origin is another one than the server's.

class Session {
  constructor(url, token) {
    this.url = url;
    this.token = token;
    this.peer = new RTCPeerConnection({ iceServers: [] });
    this.stream = new MediaStream();
    this.peer.ontrack = ({ track }) => this.stream.addTrack(track);
    this.candidates = [];
    this.peer.onicecandidate = ({ candidate }) => candidate && this.candidates.push(candidate);
  }

  request(method, headers = {}, body = undefined, path = '') {
    const authorization = `Bearer ${this.token}`;
    return fetch((this.resource ?? this.url) + path, {
      method,
      headers: { authorization, ...headers },
      body,
    });
  }

  async open() {
    await this.peer.setLocalDescription(await this.peer.createOffer());
    const { sdp } = this.peer.localDescription;
    const response = await this.request('POST', { 'content-type': 'application/sdp' }, sdp);
    const answer = await response.text();
    if (response.status !== 201) throw new Error(`${response.status}: ${answer}`);
    this.resource = new URL(response.headers.get('location'), this.url).href;
    this.tag = response.headers.get('etag');
    this.links = response.headers.get('link');
    await this.peer.setRemoteDescription({ type: 'answer', sdp: answer });
  }

  // Candidates found so far, and with `restart` those of a new ICE session: returns the status.
  async patch(restart = false) {
    if (restart) await this.peer.setLocalDescription(await this.peer.createOffer({ iceRestart: true }));
    const { sdp } = this.peer.localDescription;
    const line = (start) => sdp.split('\r\n').find((l) => l.startsWith(start));
    const fragment = [
      line('m='),
      line('a=mid:'),
      line('a=ice-ufrag:'),
      line('a=ice-pwd:'),
      ...this.candidates.splice(0).map((c) => `a=${c.candidate}`),
      '',
    ].join('\r\n');
    const headers = {
      'content-type': 'application/trickle-ice-sdpfrag',
      'if-match': restart ? '*' : this.tag,
    };
    const response = await this.request('PATCH', headers, fragment);
    if (response.status === 200) {
      this.tag = response.headers.get('etag');
      await this.peer.setRemoteDescription({ type: 'answer', sdp: this.restarted(await response.text()) });
    }
    return response.status;
  }

  // The answer of before with the credentials and candidates of a fragment.
  restarted(fragment) {
    const lines = fragment.split('\r\n');
    const of = (start) => lines.find((l) => l.startsWith(start));
    const sdp = this.peer.remoteDescription ?? this.peer.currentRemoteDescription;
    return sdp.sdp
      .split('\r\n')
      .map((l) => (l.startsWith('a=ice-ufrag:') ? of('a=ice-ufrag:') : l))
      .map((l) => (l.startsWith('a=ice-pwd:') ? of('a=ice-pwd:') : l))
      .join('\r\n');
  }

  async close() {
    const { status } = await this.request('DELETE');
    this.peer.close();
    return status;
  }

  async inbound(kind) {
    const report = await this.peer.getStats();
    return [...report.values()].find((s) => s.type === 'inbound-rtp' && s.kind === kind) ?? null;
  }

  async outbound() {
    const report = await this.peer.getStats();
    return [...report.values()]
      .filter((s) => s.type === 'outbound-rtp' && s.kind === 'video')
      .map((s) => ({ ...s, codec: report.get(s.codecId)?.mimeType }));
  }
}

const sessions = new Map();

// Publishes camera and microphone; `rids` are the encodings of simulcast, smallest first.
async function publish(key, url, token, rids = [], codec = undefined) {
  const session = new Session(url, token);
  sessions.set(key, session);
  // Of smaller pictures the browser makes two encodings at most.
  const video = rids.length ? { width: 960, height: 540 } : { width: 640, height: 360 };
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video });
  const [camera] = media.getVideoTracks();
  session.peer.addTransceiver(media.getAudioTracks()[0], { direction: 'sendonly', streams: [media] });
  const sendEncodings = rids.map((rid, i) => ({
    rid,
    scaleResolutionDownBy: 2 ** (rids.length - 1 - i),
  }));
  const transceiver = session.peer.addTransceiver(camera, {
    direction: 'sendonly',
    streams: [media],
    ...(rids.length && { sendEncodings }),
  });
  if (codec) prefer(transceiver, codec);
  await session.open();
}

// Plays; what comes is shown, so that it is decoded and heard.
async function play(key, url, token) {
  const session = new Session(url, token);
  sessions.set(key, session);
  session.peer.addTransceiver('audio', { direction: 'recvonly' });
  session.peer.addTransceiver('video', { direction: 'recvonly' });
  await session.open();
  const element = document.createElement('video');
  element.srcObject = session.stream;
  element.autoplay = true;
  document.querySelector('main').append(element);
}

function prefer(transceiver, codec) {
  const all = RTCRtpSender.getCapabilities('video').codecs;
  const first = all.filter((c) => c.mimeType === `video/${codec}`);
  const rest = all.filter((c) => c.mimeType !== `video/${codec}`);
  transceiver.setCodecPreferences([...first, ...rest]);
}

window.whip = { sessions, publish, play };
