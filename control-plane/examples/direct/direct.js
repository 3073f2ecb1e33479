// A call for two by the direct API of Plenum (../../docs/direct.md): A offers, B answers, both trickle, connected.
// Open as index.html#token=… (&server=http://host:7880 when the page is not served by Plenum).
const given = new URLSearchParams(location.hash.slice(1));
const server = given.get('server') ?? 'http://127.0.0.1:7880';
const show = (text) => (document.querySelector('#status').textContent = text);

const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
document.querySelector('#mine').srcObject = media;

const socket = new WebSocket(`${server.replace(/^http/, 'ws')}/direct?access_token=${given.get('token')}`);
const send = (message) => socket.send(JSON.stringify(message));
let pc, polite, isOffering, ignored, iceServers, handled;

function connect() {
  pc = new RTCPeerConnection({ iceServers });
  media.getTracks().forEach((track) => pc.addTrack(track, media));
  pc.ontrack = ({ streams }) => (document.querySelector('#theirs').srcObject = streams[0]);
  pc.onicecandidate = ({ candidate }) => candidate && send({ type: 'candidate', ...candidate.toJSON() });
  pc.onnegotiationneeded = () => (polite && !pc.remoteDescription) || offer();
  pc.onconnectionstatechange = () => {
    if (pc.connectionState === 'connected') send({ type: 'connected' });
    if (pc.connectionState === 'failed') send({ type: 'sfu', reason: 'failed' });
    show(pc.connectionState);
  };
}

async function offer() {
  isOffering = true;
  await pc.setLocalDescription();
  send({ type: 'offer', sdp: pc.localDescription.sdp });
  isOffering = false;
}

async function describe({ type, sdp }) {
  ignored = type === 'offer' && !polite && (isOffering || pc.signalingState !== 'stable');
  if (ignored) return;
  await pc.setRemoteDescription({ type, sdp });
  if (type === 'answer') return;
  await pc.setLocalDescription();
  send({ type: 'answer', sdp: pc.localDescription.sdp });
}

const on = {
  hello: (message) => ({ iceServers } = message) && show('Waiting for the other one…'),
  'peer-joined': (message) => ({ polite } = message) && connect(),
  'peer-left': () => (pc.close(), show('The other one left')),
  offer: describe,
  answer: describe,
  candidate: ({ type, ...init }) => pc.addIceCandidate(init).catch((error) => ignored || console.error(error)),
  restart: () => pc.restartIce(),
  sfu: ({ url, token }) => {
    const href = new URL(`#token=${token}`, new URL(url, server));
    const link = Object.assign(document.createElement('a'), { href, textContent: 'Go on by the server' });
    document.querySelector('#status').replaceChildren(link);
  },
  closed: ({ reason }) => show(`Over: ${reason}`),
};
const handle = async (message) => (await handled, on[message.type]?.(message)); // in turn, or an offer overtakes an answer
socket.onmessage = ({ data }) => (handled = handle(JSON.parse(data)).catch(console.error));
socket.onclose = () => show('The server has gone');
