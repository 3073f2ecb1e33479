// Owns the one RTCPeerConnection of a direct call, and its negotiation with the other page: "perfect
// negotiation" of W3C webrtc, with the roles the room gives. Beside the media runs one data channel, agreed
// upon beforehand: text frames are for us, binary ones are packets as the room would carry them.
// Must not decide when to give up.
//
// Events: "state"(name), "media"(event), "open" (the channel), "text"(object), "data"(bytes).

import { Emitter } from './emitter.js';
import { selectedPair } from './stats.js';

const CHANNEL = { negotiated: true, id: 0 };
// A check may come before the candidate it comes from is told: until then it looks like one behind a NAT.
const SETTLE_MS = 3000;
const WORDS = { host: 'host', srflx: 'reflexive', prflx: 'reflexive', relay: 'relayed' };

export class DirectLink extends Emitter {
  pc;
  #send;
  #channel;
  #isPolite = false;
  #hasBegun = false;
  #isOffering = false;
  #ignoresOffer = false;
  #handled = Promise.resolve();
  #connectedAt = 0;

  /** `send(message)` reaches the other page by way of the room. */
  constructor(iceServers, send) {
    super();
    this.#send = send;
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' });
    this.pc.onnegotiationneeded = () => this.#offer();
    this.pc.onicecandidate = ({ candidate }) => candidate && send({ type: 'candidate', ...candidate.toJSON() });
    this.pc.onconnectionstatechange = () => {
      if (this.isConnected) this.#connectedAt = performance.now();
      this.emit('state', this.pc.connectionState);
    };
    this.pc.ontrack = (event) => this.emit('media', event);
    this.#channel = this.pc.createDataChannel('plenum', CHANNEL);
    this.#channel.binaryType = 'arraybuffer';
    this.#channel.onopen = () => this.emit('open');
    this.#channel.onmessage = ({ data }) => this.#onData(data);
  }

  /**
   * Somebody is there: the impolite one makes the first offer, the polite one none before that has come. Taken
   * back while candidates are gathered, a first offer leaves Chromium now and then without any.
   */
  begin(isPolite) {
    this.#isPolite = isPolite;
    this.#hasBegun = true;
    this.#offer();
  }

  get isConnected() {
    return this.pc.connectionState === 'connected';
  }

  /** Asks for a new way; the impolite one offers it, so that both do not at once. */
  restart() {
    if (this.#isPolite) this.#send({ type: 'restart' });
    else this.#offerNewWay();
  }

  /** One after the other: an offer behind an answer that is still being taken in must not look like a collision. */
  handle(message) {
    this.#handled = this.#handled.then(() => this.#handle(message));
  }

  async #handle(message) {
    try {
      if (message.type === 'candidate') await this.#onCandidate(message);
      else if (message.type === 'restart') this.#offerNewWay();
      else await this.#onDescription(message);
    } catch (error) {
      if (this.pc.signalingState !== 'closed') console.warn('direct negotiation', error);
    }
  }

  get isOpen() {
    return this.#channel.readyState === 'open';
  }

  /** Says something to the other page; false while the channel is not open. */
  tell(object) {
    if (this.isOpen) this.#channel.send(JSON.stringify(object));
    return this.isOpen;
  }

  /** If `isOpen`. */
  sendData(bytes) {
    this.#channel.send(bytes);
  }

  /** "host", "reflexive" or "relayed", with what speaks at each end; undefined while there is no way. */
  async path() {
    if (this.pc.connectionState === 'closed') return undefined;
    const stats = await this.pc.getStats();
    const pair = selectedPair(stats);
    const types = [pair?.localCandidateId, pair?.remoteCandidateId].map((id) => stats.get(id)?.candidateType);
    // The longest detour of either end names the way.
    const longest = ['relay', 'srflx', 'prflx', 'host'].find((type) => types.includes(type));
    const isSettled = longest !== 'prflx' || performance.now() - this.#connectedAt > SETTLE_MS;
    const level = (type) => [...stats.values()].find((entry) => entry.type === type && entry.kind === 'audio')?.audioLevel ?? 0;
    return { path: isSettled ? (WORDS[longest] ?? '') : '', theirLevel: level('inbound-rtp'), myLevel: level('media-source') };
  }

  close() {
    this.pc.onnegotiationneeded = this.pc.onicecandidate = this.pc.onconnectionstatechange = null;
    this.pc.close();
  }

  /** Also in place of an offer that waits for its answer: either may have been lost with a WebSocket. */
  #offerNewWay() {
    this.pc.restartIce();
    if (this.pc.signalingState === 'have-local-offer') this.#offer();
  }

  async #offer() {
    const isAnothersTurn = this.#isPolite && !this.pc.remoteDescription;
    if (!this.#hasBegun || this.#isOffering || isAnothersTurn) return;
    try {
      this.#isOffering = true;
      await this.pc.setLocalDescription();
      this.#send({ type: this.pc.localDescription.type, sdp: this.pc.localDescription.sdp });
    } catch (error) {
      if (this.pc.signalingState !== 'closed') console.warn('direct offer', error);
    } finally {
      this.#isOffering = false;
    }
  }

  async #onDescription({ type, sdp }) {
    const collides = type === 'offer' && (this.#isOffering || this.pc.signalingState !== 'stable');
    this.#ignoresOffer = collides && !this.#isPolite;
    if (this.#ignoresOffer) return;
    await this.pc.setRemoteDescription({ type, sdp });
    if (type !== 'offer') return;
    await this.pc.setLocalDescription();
    this.#send({ type: 'answer', sdp: this.pc.localDescription.sdp });
  }

  async #onCandidate({ candidate, sdpMid, sdpMLineIndex, usernameFragment }) {
    try {
      await this.pc.addIceCandidate({ candidate, sdpMid, sdpMLineIndex, usernameFragment });
    } catch (error) {
      if (!this.#ignoresOffer) throw error;
    }
  }

  #onData(data) {
    if (typeof data !== 'string') this.emit('data', new Uint8Array(data));
    else this.emit('text', JSON.parse(data));
  }
}
