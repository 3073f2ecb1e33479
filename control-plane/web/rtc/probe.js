// Owns trying one way to the media: a join of its own, whose connection is allowed this one way only.
// Must not know the page. Policies are those of W3C webrtc-pc; candidates are lines of RFC 8839.

import { iceServersOf } from './shape.js';
import { Signal } from './signal.js';

const PATIENCE_MS = 10000;

/** The ways, the best first. `relay` matches the URLs of the TURN servers that go this way. */
export const WAYS = [
  { id: 'udp', name: 'UDP', transport: 'udp' },
  { id: 'tcp', name: 'TCP', transport: 'tcp' },
  { id: 'turn-udp', name: 'TURN over UDP', transport: 'udp', relay: /^turn:(?!.*transport=tcp)/ },
  { id: 'turn-tcp', name: 'TURN over TCP', transport: 'udp', relay: /^turn:.*transport=tcp/ },
  { id: 'turn-tls', name: 'TURN over TLS', transport: 'udp', relay: /^turns:/ },
];

/** Resolves to `{state, detail, signalMs}`; state is "works", "fails" or "absent". Rejects without signalling. */
export async function tryWay(way, token) {
  const begun = performance.now();
  const { signal, kind, body } = await Signal.open({ token });
  const signalMs = Math.round(performance.now() - begun);
  try {
    if (kind !== 'join') throw new Error(`the service answers with ${kind}`);
    const iceServers = way.relay ? serversFor(way, iceServersOf(body.iceServers)) : [];
    if (way.relay && !iceServers.length) return { state: 'absent', detail: '', signalMs };
    const outcome = await connect(way, iceServers, signal);
    return { ...outcome, signalMs };
  } finally {
    signal.send('leave', { reason: 'CLIENT_INITIATED', action: 'DISCONNECT' });
    signal.close();
  }
}

function serversFor({ relay }, servers) {
  return servers
    .map((server) => ({ ...server, urls: server.urls.filter((url) => relay.test(url)) }))
    .filter(({ urls }) => urls.length);
}

async function connect(way, iceServers, signal) {
  const pc = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle', iceTransportPolicy: way.relay ? 'relay' : 'all' });
  const begun = performance.now();
  let why = '';
  pc.onicecandidateerror = ({ errorCode, errorText }) => (why = `${errorText || 'no answer'} (${errorCode})`);
  pc.onicecandidate = ({ candidate }) => {
    const candidateInit = candidate ? JSON.stringify(candidate.toJSON()) : '';
    signal.send('trickle', { candidateInit, target: 'SUBSCRIBER', final: !candidate });
  };
  try {
    const found = await Promise.race([connected(way, pc, signal), after(PATIENCE_MS)]);
    if (found === 'absent') return { state: 'absent', detail: '' };
    if (!found) return { state: 'fails', detail: why || 'no answer in time; a firewall may drop it' };
    return { state: 'works', detail: `${await pairOf(pc)} in ${Math.round(performance.now() - begun)} ms` };
  } finally {
    pc.close();
  }
}

/** Resolves to true once connected, to false when that failed, to "absent" when the way is not offered. */
function connected(way, pc, signal) {
  return new Promise((resolve) => {
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === 'connected') resolve(true);
      if (pc.connectionState === 'failed') resolve(false);
    };
    signal.on('close', () => resolve(false));
    signal.on('message', async (kind, body) => {
      if (kind !== 'offer') return;
      const sdp = onlyBy(way.transport, body.sdp);
      if (!sdp.includes('a=candidate:')) return resolve('absent');
      await pc.setRemoteDescription({ type: 'offer', sdp });
      await pc.setLocalDescription(await pc.createAnswer());
      signal.send('answer', { type: 'answer', sdp: pc.localDescription.sdp, id: body.id ?? 0 });
    });
  });
}

/** The description with the candidates of one transport. */
function onlyBy(transport, sdp) {
  const isOther = (line) => line.startsWith('a=candidate:') && line.split(' ')[2].toLowerCase() !== transport;
  return sdp.split('\r\n').filter((line) => !isOther(line)).join('\r\n');
}

async function pairOf(pc) {
  const report = await pc.getStats();
  const transport = [...report.values()].find(({ type }) => type === 'transport');
  const pair = report.get(transport?.selectedCandidatePairId);
  const remote = report.get(pair?.remoteCandidateId);
  return remote ? `${remote.address}:${remote.port}` : 'connected';
}

function after(ms) {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms));
}
