// Owns the way to the room: one signalling WebSocket, two transports, the data channels, and
// keeping all of them alive (resume, or a full reconnect when the room forgot us).
// Must not know participants, tracks or the DOM: it emits what arrives.
//
// Events: "join"(body, isAgain), "resume", "message"(kind, body), "media"(event, sid), "open" (data can be
// sent), "data"(bytes), "state"(name), "ended"(reason), "reset" (the transports are about to be replaced).

import { Emitter } from './emitter.js';
import { Signal, SignalRefused } from './signal.js';
import { Silence } from './silence.js';
import { Transport } from './transport.js';
import { explanation } from './explain.js';
import { iceServersOf } from './shape.js';
import { GIVE_UP_MS, delayBefore, pause } from './backoff.js';

const MEDIA_TIMEOUT_MS = 15000;
const DISCONNECTED_MS = 1000;
const TRANSIENT = new Set(['offer', 'answer', 'trickle', 'pingReq', 'leave', 'syncState']);

/** Ends the session at once, with a DisconnectReason name. */
class Ended extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** The session cannot be resumed; a fresh join may work. */
class Forgotten extends Error {}

export class Connection extends Emitter {
  isDirect = false;
  state = 'idle';
  publisher;
  subscriber;
  sid = '';
  /** How often the session was resumed, and how often joined anew. */
  recoveries = { resumes: 0, rejoins: 0 };
  signalRttMs = () => this.#signal?.rttMs ?? 0;
  #token;
  #signal;
  #keepAlive = [5, 15];
  #channels = {};
  #queue = [];
  #closing = new AbortController();
  #recovery;
  #needsJoin = false;
  #syncState;

  /** `syncState()` returns what a resume has to tell, without the session descriptions. */
  constructor(syncState) {
    super();
    this.#syncState = syncState;
  }

  /** Why we are sent what we are sent, as the service knows it; undefined when it does not answer. */
  explain() {
    return explanation(this.#token);
  }

  /** Joins; rejects with SignalRefused, or with Ended when the room turned us away. */
  async start(token) {
    this.#token = token;
    this.#setState('connecting');
    await this.#join(false);
    this.#setState('connected');
    this.#watchNetwork();
  }

  /** Whatever hints at another network: where the WebSocket is as dead as the media, nobody else says so. */
  #suspect() {
    if (!this.#recovery) this.#signal?.probe();
  }

  #watchNetwork() {
    const silence = new Silence(
      () => [this.publisher, this.subscriber].map(({ pc }) => pc),
      () => this.#suspect(),
    );
    this.#onEnd(() => silence.stop());
    const { signal } = this.#closing;
    for (const name of ['online', 'offline']) window.addEventListener(name, () => this.#suspect(), { signal });
    navigator.connection?.addEventListener('change', () => this.#suspect(), { signal });
  }

  /** Sends a request; while reconnecting, requests that keep their meaning wait their turn. */
  send(kind, body) {
    if (!this.#recovery && this.#signal?.send(kind, body)) return;
    if (this.#recovery && TRANSIENT.has(kind)) this.#signal?.send(kind, body);
    else if (!TRANSIENT.has(kind)) this.#queue.push([kind, body]);
  }

  /** A track is no longer published: the room learns of it from the next offer. */
  withdrawn() {}

  /** Also an open channel may be about to go while we are not connected. */
  get canSendData() {
    return this.state === 'connected' && this.#channels.reliable?.readyState === 'open';
  }

  /** Sends bytes on the reliable channel, if `canSendData`. */
  sendData(bytes) {
    this.#channels.reliable.send(bytes);
  }

  leave() {
    if (this.state === 'ended') return;
    this.#signal?.send('leave', { reason: 'CLIENT_INITIATED', action: 'DISCONNECT' });
    this.#end('CLIENT_INITIATED');
  }

  /** For tests: breaks something on purpose. */
  simulate(kind) {
    if (kind === 'signal-drop') this.#signal?.close();
    else if (kind === 'full-reconnect') this.#recover('signal', true);
    else if (kind === 'publisher-failed') this.#recover('publisher', false);
    else if (kind === 'subscriber-failed') this.#recover('subscriber', false);
    else if (kind === 'server-leave') this.send('simulate', { serverLeave: true });
    else if (kind === 'leave-full-reconnect') this.send('simulate', { leaveRequestFullReconnect: true });
    else if (kind === 'node-failure') this.send('simulate', { nodeFailure: true });
    else if (kind === 'narrow') this.send('simulate', { subscriberBandwidth: '200000' });
    else if (kind === 'migration') this.send('simulate', { migration: true });
    else throw new RangeError(`unknown: ${kind}`);
  }

  async #join(isAgain) {
    const { signal, kind, body } = await Signal.open({ token: this.#token });
    if (kind !== 'join') {
      signal.close();
      throw kind === 'leave' ? leaveError(body) : new SignalRefused(0, '');
    }
    this.#closing.signal.throwIfAborted();
    this.#closeTransports();
    this.sid = body.participant?.sid ?? '';
    this.#keepAlive = [body.pingInterval, body.pingTimeout];
    this.#openTransports(iceServersOf(body.iceServers));
    this.#attach(signal);
    this.#queue = [];
    this.emit('join', body, isAgain);
    if (body.fastPublish || !body.subscriberPrimary) this.publisher.negotiate();
  }

  async #resume(reason) {
    const resume = { sid: this.sid, reason };
    const { signal, kind, body } = await Signal.open({ token: this.#token, resume });
    if (kind !== 'reconnect') {
      signal.close();
      throw kind === 'leave' ? leaveError(body) : new Forgotten();
    }
    this.#closing.signal.throwIfAborted();
    this.#attach(signal);
    const iceServers = iceServersOf(body.iceServers);
    for (const transport of [this.publisher, this.subscriber]) {
      if (iceServers.length) transport.pc.setConfiguration({ iceServers, bundlePolicy: 'max-bundle' });
    }
    const ready = this.#mediaReady(signal);
    signal.send('syncState', this.#describeSync());
    if (this.publisher.hasNegotiated) this.publisher.restartIce();
    await ready;
    this.emit('resume');
  }

  #describeSync() {
    const describe = (description) => description && { type: description.type, sdp: description.sdp };
    const dataChannels = Object.entries(this.#channels)
      .filter(([, channel]) => channel.id !== null)
      .map(([name, channel]) => ({
        label: channel.label,
        id: channel.id,
        target: name.startsWith('in') ? 'SUBSCRIBER' : 'PUBLISHER',
      }));
    return {
      answer: describe(this.subscriber.pc.localDescription),
      offer: describe(this.publisher.pc.localDescription),
      dataChannels,
      ...this.#syncState(),
    };
  }

  /** Resolves when both transports work again; rejects when the WebSocket is lost meanwhile. */
  #mediaReady(signal) {
    return new Promise((resolve, reject) => {
      let isAnswered = !this.publisher.hasNegotiated;
      const stops = [];
      const settle = (action) => {
        clearTimeout(timer);
        stops.forEach((stop) => stop());
        action();
      };
      const check = () => {
        const used = [this.publisher, this.subscriber].filter((transport) => transport.hasNegotiated);
        if (isAnswered && used.every((transport) => transport.isConnected)) settle(resolve);
      };
      const timer = setTimeout(() => settle(() => reject(new Forgotten())), MEDIA_TIMEOUT_MS);
      stops.push(
        signal.on('close', () => settle(() => reject(new Error('signal lost')))),
        this.publisher.on('negotiated', () => {
          isAnswered = true;
          check();
        }),
        this.publisher.on('state', check),
        this.subscriber.on('state', check),
        this.#onEnd(() => settle(() => reject(new Error('closed')))),
      );
      queueMicrotask(check);
    });
  }

  #onEnd(action) {
    this.#closing.signal.addEventListener('abort', action);
    return () => this.#closing.signal.removeEventListener('abort', action);
  }

  #attach(signal) {
    this.#signal = signal;
    signal.keepAlive(...this.#keepAlive);
    signal.on('message', (kind, body) => this.#signal === signal && this.#onMessage(kind, body));
    signal.on('close', () => this.#signal === signal && this.#recover('signal', false));
  }

  #onMessage(kind, body) {
    if (kind === 'answer') this.publisher.handleAnswer(body);
    else if (kind === 'offer') this.subscriber.handleOffer(body);
    else if (kind === 'trickle') this.#onTrickle(body);
    else if (kind === 'leave') this.#onLeave(body);
    else if (kind === 'refreshToken') this.#token = body;
    else {
      if (kind === 'roomMoved' && body.token) this.#token = body.token;
      this.emit('message', kind, body);
    }
  }

  #onTrickle({ candidateInit, target = 'PUBLISHER' }) {
    if (!candidateInit) return;
    const transport = target === 'SUBSCRIBER' ? this.subscriber : this.publisher;
    transport.handleCandidate(JSON.parse(candidateInit));
  }

  #onLeave(body) {
    const error = leaveError(body);
    if (error instanceof Ended) this.#end(error.reason);
    else this.#recover('signal', error instanceof Forgotten);
  }

  #openTransports(iceServers) {
    const send = (kind, body) => this.send(kind, body);
    this.publisher = new Transport('PUBLISHER', iceServers, send);
    this.subscriber = new Transport('SUBSCRIBER', iceServers, send);
    for (const [transport, reason] of [[this.publisher, 'publisher'], [this.subscriber, 'subscriber']]) {
      const isAway = () => transport.pc.connectionState === 'disconnected';
      transport.on('state', (state) => {
        if (state === 'failed') this.#recover(reason, false);
        if (!isAway()) return;
        this.#suspect();
        setTimeout(() => isAway() && this.#recover(reason, false), DISCONNECTED_MS);
      });
      transport.on('stalled', () => this.#recover(reason, true));
    }
    const open = (label, init) => this.publisher.pc.createDataChannel(label, init);
    this.#channels = {
      reliable: open('_reliable', { ordered: true }),
      lossy: open('_lossy', { ordered: false, maxRetransmits: 0 }),
    };
    this.#channels.reliable.onopen = () => this.emit('open');
    this.subscriber.pc.ontrack = (event) => this.emit('media', event, sidOf(event));
    this.subscriber.pc.ondatachannel = ({ channel }) => {
      channel.binaryType = 'arraybuffer';
      channel.onmessage = ({ data }) => data instanceof ArrayBuffer && this.emit('data', new Uint8Array(data));
      this.#channels[`in${channel.label}`] = channel;
    };
  }

  #closeTransports() {
    if (!this.publisher) return;
    this.emit('reset');
    this.publisher.close();
    this.subscriber.close();
  }

  async #recover(reason, needsJoin) {
    if (this.state === 'ended' || this.state === 'connecting') {
      if (this.state === 'connecting') this.#end('SIGNAL_CLOSE');
      return;
    }
    this.#needsJoin ||= needsJoin;
    if (this.#recovery) return;
    this.#recovery = reason;
    // Before a new join the room ends this one, and what it says about that is not for us.
    const former = this.#signal;
    this.#signal = undefined;
    former?.close();
    const deadline = performance.now() + GIVE_UP_MS;
    for (let attempt = 0; this.state !== 'ended'; attempt += 1) {
      this.#setState(this.#needsJoin ? 'reconnecting' : 'resuming');
      await pause(delayBefore(attempt), this.#closing.signal);
      if (this.state === 'ended') return;
      try {
        if (this.#needsJoin) await this.#join(true);
        else await this.#resume(reason);
        this.recoveries[this.#needsJoin ? 'rejoins' : 'resumes'] += 1;
        this.#recovered();
        return;
      } catch (error) {
        this.#onAttemptFailed(error, deadline);
      }
    }
  }

  #onAttemptFailed(error, deadline) {
    if (this.state === 'ended') return;
    if (error instanceof Ended) this.#end(error.reason);
    else if (error instanceof SignalRefused && error.status === 401) this.#end('TOKEN_REFUSED');
    else if (error instanceof SignalRefused && error.isRoomMissing) this.#end('ROOM_CLOSED');
    else if (performance.now() > deadline) this.#end('UNREACHABLE');
    else if (error instanceof Forgotten) this.#needsJoin = true;
  }

  #recovered() {
    this.#recovery = undefined;
    this.#needsJoin = false;
    for (const [kind, body] of this.#queue.splice(0)) this.send(kind, body);
    this.#setState('connected');
    if (!this.#signal.isOpen) this.#recover('signal', false);
  }

  #end(reason) {
    if (this.state === 'ended') return;
    this.#setState('ended');
    this.#closing.abort();
    const signal = this.#signal;
    this.#signal = undefined;
    signal?.close();
    this.#closeTransports();
    this.emit('ended', reason);
  }

  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state);
  }
}

/** The stream id is "PA_…|TR_…" where the track id may not be the track's own: in a section that is used again, and in Firefox. */
function sidOf({ track, streams: [stream] }) {
  const fromStream = stream?.id.split('|')[1] ?? '';
  if (fromStream.startsWith('TR')) return fromStream;
  return track.id.startsWith('TR') ? track.id : '';
}

/** What a `leave` message asks for: an Ended, a Forgotten (join anew), or a plain Error (resume). */
function leaveError({ action = 'DISCONNECT', reason = 'UNKNOWN_REASON', canReconnect = false }) {
  if (action === 'RECONNECT' || (action === 'DISCONNECT' && canReconnect)) return new Forgotten();
  return action === 'RESUME' ? new Error('resume') : new Ended(reason);
}

/** The DisconnectReason name in an error of `start`, or "" when it carries none. */
export function endReasonOf(error) {
  return error instanceof Ended ? error.reason : '';
}
