// Owns a call for two whose media goes straight between the pages: who the other one is, what each publishes,
// and giving up when the way fails. To the conference it looks like a Connection: it answers the same requests
// and emits the same events, so that everything else works in both modes.
// Must not join the room by the server; it says "over" when that is due.
//
// Events: those of Connection, and "over"({token, reason}), "path" (the way is another one).

import { Emitter } from './emitter.js';
import { DirectSignal } from './direct-signal.js';
import { DirectLink } from './direct-link.js';
import { DirectTracks } from './direct-tracks.js';
import { SignalRefused } from './signal.js';
import { GIVE_UP_MS, delayBefore, pause } from './backoff.js';

const CONNECT_MS = 6000;
const RESTART_MS = 4000;
const INTERRUPTED_MS = 1500;
const LOOK_MS = 400;
const GUESS_MS = 1500;
const HANDOVER_MS = 8000;
const AUDIBLE = 0.02;
const SIGNALS = new Set(['offer', 'answer', 'candidate', 'restart']);

export class DirectConnection extends Emitter {
  isDirect = true;
  state = 'idle';
  sid = '';
  recoveries = { resumes: 0, rejoins: 0 };
  signalRttMs = () => this.#signal?.rttMs ?? 0;
  /** "host", "reflexive", "relayed", or "" while there is no way. */
  path = '';
  #token = '';
  #iceServers = [];
  #signal;
  #link;
  #me;
  #room;
  #peer;
  #tracks = new DirectTracks();
  #wasConnected = false;
  #patience;
  #look;
  #speaking = '';
  /** Who has everything by the server: "here", "there". */
  #moved = new Set();
  #closing = new AbortController();

  /** What the statistics look at. */
  get publisher() {
    return this.#link && { pc: this.#link.pc, negotiate: () => this.#tellTracks() };
  }

  get subscriber() {
    return this.publisher;
  }

  /** Joins; rejects with SignalRefused. */
  async start(token) {
    this.#token = token;
    this.#setState('connecting');
    await this.#join(false);
    this.#setState('connected');
  }

  send(kind, body, stream) {
    if (kind === 'addTrack') this.#publish(body, stream);
    else if (kind === 'mute') {
      this.#tracks.change(body.sid, { muted: body.muted });
      this.#tellTracks();
    }
  }

  /** A track is no longer published. */
  withdrawn(sid) {
    this.#tracks.remove(sid);
    this.#tellTracks();
  }

  get canSendData() {
    return this.#link?.isOpen ?? false;
  }

  sendData(bytes) {
    this.#link.sendData(bytes);
  }

  leave() {
    if (this.state === 'ended') return;
    this.#signal?.send({ type: 'leave' });
    this.#end('CLIENT_INITIATED');
  }

  /** For tests: breaks something on purpose. */
  simulate(kind) {
    if (kind === 'signal-drop') this.#signal?.close();
    else if (kind === 'direct-failed') this.#giveUp();
    else if (kind === 'direct-restart') this.#link.restart();
    else throw new RangeError(`unknown: ${kind}`);
  }

  /** What the other one publishes, to be shown until it comes by the server. */
  get peerTracks() {
    return this.#tracks.theirs.filter(({ muted }) => !muted).map(({ sid }) => sid);
  }

  get peerIdentity() {
    return this.#peer?.identity ?? '';
  }

  /** Everything comes by the server now. The link goes once the other one says the same, or after a while. */
  handedOver() {
    this.#moved.add('here');
    if (!this.#link.tell({ type: 'moved' }) || this.#moved.size === 2) this.#closeLink();
  }

  async #join(isAgain) {
    const { signal, message } = await DirectSignal.open({ token: this.#token });
    this.#takeHello(signal, message);
    this.#peer = undefined;
    this.#openLink();
    this.#emitJoin(isAgain);
    this.#attach(signal);
  }

  async #resume() {
    const { signal, message } = await DirectSignal.open({ token: this.#token, participant: this.sid });
    if (message.type !== 'hello' || !message.resumed) {
      signal.close();
      throw new Error('forgotten');
    }
    this.#takeHello(signal, message);
    this.#attach(signal);
  }

  #takeHello(signal, message) {
    if (message.type !== 'hello') {
      signal.close();
      throw new SignalRefused(0, '');
    }
    this.#me = personOf(message.participant);
    this.#room = { sid: message.room.id, name: message.room.name };
    this.sid = this.#me.sid;
    this.#iceServers = message.iceServers;
  }

  #attach(signal) {
    this.#signal = signal;
    signal.on('message', (message) => this.#signal === signal && this.#onMessage(message));
    signal.on('close', () => this.#signal === signal && this.#recover());
  }

  #onMessage(message) {
    if (SIGNALS.has(message.type)) this.#link.handle(message);
    else if (message.type === 'token') this.#token = message.token;
    else if (message.type === 'peer-joined') this.#onPeer(message);
    else if (message.type === 'peer-left') this.#onPeerLeft();
    else if (message.type === 'sfu') this.#over(message);
    else if (message.type === 'closed') this.#onClosed(message);
    else if (message.type === 'error') console.warn('direct', message.code, message.message);
  }

  #onPeer({ peer, polite }) {
    if (this.#peer?.sid === peer.id) {
      // We are back on a new WebSocket; what was negotiated meanwhile may be lost, either way, and nobody knows.
      this.#link.restart();
      return;
    }
    if (this.#peer) this.#onPeerLeft();
    this.#peer = personOf(peer);
    this.#emitPeer();
    this.#wait(CONNECT_MS);
    this.#link.begin(polite);
  }

  #onPeerLeft() {
    this.#emitPeer('DISCONNECTED');
    this.#peer = undefined;
    this.#openLink();
    this.#emitJoin(true);
  }

  #openLink() {
    if (this.#link) {
      this.#link.close();
      this.emit('reset');
    }
    clearTimeout(this.#patience);
    clearInterval(this.#look);
    this.#wasConnected = false;
    this.#tracks.clear();
    this.#setPath('');
    const link = new DirectLink(this.#iceServers, (message) => this.#signal?.send(message));
    this.#link = link;
    const on = (name, handler) => link.on(name, (value) => this.#link === link && handler(value));
    on('state', (state) => this.#onLinkState(state));
    on('media', (event) => this.#onMedia(event));
    on('open', () => {
      this.#tellTracks();
      this.emit('open');
    });
    on('text', (message) => this.#onText(message));
    on('data', (bytes) => this.emit('data', bytes, this.#peer?.identity));
  }

  #onLinkState(state) {
    if (state === 'connected') {
      clearTimeout(this.#patience);
      this.#wasConnected = true;
      this.#signal?.send({ type: 'connected' });
      clearInterval(this.#look);
      this.#look = setInterval(() => this.#lookAtLink(), LOOK_MS);
      this.#lookAtLink();
    } else if (state === 'disconnected') {
      this.#wait(INTERRUPTED_MS, () => this.#restart());
    } else if (state === 'failed') {
      if (this.#wasConnected) this.#restart();
      else this.#giveUp();
    }
  }

  #restart() {
    this.#link.restart();
    this.#wait(RESTART_MS);
  }

  #wait(ms, action = () => this.#giveUp()) {
    clearTimeout(this.#patience);
    this.#patience = setTimeout(action, ms);
  }

  #giveUp() {
    this.#signal?.send({ type: 'sfu', reason: 'failed' });
  }

  async #lookAtLink() {
    const link = this.#link;
    const seen = await link.path();
    if (!seen || this.#link !== link || this.state === 'ended') return;
    this.#setPath(seen.path);
    if (this.#signal === undefined) return;
    const speakers = [[this.sid, seen.myLevel], [this.#peer?.sid, seen.theirLevel]]
      .filter(([sid]) => sid)
      .map(([sid, level]) => ({ sid, level: Math.min(1, level), active: level > AUDIBLE }));
    const speaking = JSON.stringify(speakers.map(({ sid, level, active }) => [sid, active, Math.round(level * 10)]));
    if (speaking === this.#speaking) return;
    this.#speaking = speaking;
    this.emit('message', 'speakersChanged', { speakers });
  }

  #setPath(path) {
    if (path === this.path) return;
    this.path = path;
    this.emit('path');
  }

  #publish(request, stream) {
    const track = this.#tracks.add(request, stream);
    this.emit('message', 'trackPublished', { cid: request.cid, track });
    this.#tellTracks();
  }

  #tellTracks() {
    this.#link?.tell({ type: 'tracks', tracks: this.#tracks.mine });
  }

  #onText(message) {
    if (message.type === 'moved') {
      this.#moved.add('there');
      if (this.#moved.size === 2) this.#closeLink();
    } else if (message.type === 'tracks' && this.#peer) {
      const waiting = this.#tracks.take(message.tracks);
      this.#emitPeer();
      for (const event of waiting) this.#onMedia(event);
    }
  }

  #onMedia(event) {
    const sid = this.#tracks.sidOf(event);
    if (sid) this.emit('media', event, sid);
    else setTimeout(() => this.#guess(event), GUESS_MS);
  }

  #guess(event) {
    if (!this.#peer || !this.#tracks.guess(event)) return;
    this.#emitPeer();
    this.#onMedia(event);
  }

  #emitJoin(isAgain) {
    this.emit('join', { room: this.#room, participant: this.#me, otherParticipants: [] }, isAgain);
  }

  #emitPeer(state = 'ACTIVE') {
    this.emit('message', 'update', { participants: [{ ...this.#peer, state, tracks: this.#tracks.theirs }] });
  }

  /** The room wants us by the server. The link stays, so that the picture does. */
  #over({ token, reason }) {
    clearTimeout(this.#patience);
    const signal = this.#signal;
    this.#signal = undefined;
    this.emit('over', { token, reason });
    signal.close();
    setTimeout(() => this.#closeLink(), HANDOVER_MS);
  }

  #onClosed({ reason, retry }) {
    this.#signal?.close();
    if (retry === 'no') this.#end(REASONS[reason] ?? reason.toUpperCase().replaceAll('-', '_'));
  }

  async #recover() {
    if (this.state === 'ended' || this.state === 'resuming') return;
    this.#signal = undefined;
    this.#setState('resuming');
    const deadline = performance.now() + GIVE_UP_MS;
    let isForgotten = false;
    for (let attempt = 0; this.state !== 'ended'; attempt += 1) {
      await pause(delayBefore(attempt), this.#closing.signal);
      if (this.state === 'ended') return;
      try {
        if (isForgotten) await this.#join(true);
        else await this.#resume();
        this.recoveries[isForgotten ? 'rejoins' : 'resumes'] += 1;
        this.#setState('connected');
        if (!this.#signal.isOpen) this.#recover();
        return;
      } catch (error) {
        if (error instanceof SignalRefused && error.status === 401) this.#end('TOKEN_REFUSED');
        else if (performance.now() > deadline) this.#end('UNREACHABLE');
        else if (!(error instanceof SignalRefused)) isForgotten = true;
      }
    }
  }

  #closeLink() {
    clearInterval(this.#look);
    this.#link?.close();
  }

  #end(reason) {
    if (this.state === 'ended') return;
    this.#setState('ended');
    this.#closing.abort();
    clearTimeout(this.#patience);
    const signal = this.#signal;
    this.#signal = undefined;
    signal?.close();
    this.#closeLink();
    this.emit('reset');
    this.emit('ended', reason);
  }

  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state);
  }
}

const REASONS = { 'node-shutdown': 'SERVER_SHUTDOWN', 'limit-exceeded': 'PARTICIPANT_REMOVED', 'signal-closed': 'DUPLICATE_IDENTITY' };

function personOf({ id, identity, name }) {
  return { sid: id, identity, name, joinedAtMs: String(Date.now()), state: 'ACTIVE' };
}
