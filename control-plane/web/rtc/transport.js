// Owns one RTCPeerConnection and its negotiation: the publisher offers, the subscriber answers.
// Operations on a connection run one after the other. Reference: W3C webrtc-pc, RFC 8829.

import { Emitter } from './emitter.js';

const ANSWER_TIMEOUT_MS = 15000;

export class Transport extends Emitter {
  pc;
  hasNegotiated = false;
  #target;
  #send;
  #chain = Promise.resolve();
  #candidates = [];
  #offerId = 0;
  #isOffering = false;
  #wantsOffer = false;
  #wantsRestart = false;
  #answerTimer;

  /** `target` is "PUBLISHER" or "SUBSCRIBER"; `send(kind, body)` reaches the signalling. */
  constructor(target, iceServers, send) {
    super();
    this.#target = target;
    this.#send = send;
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' });
    this.pc.onicecandidate = ({ candidate }) => this.#onCandidate(candidate);
    this.pc.onconnectionstatechange = () => this.emit('state', this.pc.connectionState);
  }

  get isConnected() {
    return this.pc.connectionState === 'connected';
  }

  close() {
    clearTimeout(this.#answerTimer);
    this.pc.onicecandidate = null;
    this.pc.onconnectionstatechange = null;
    this.pc.close();
  }

  /** Publisher: offers now, or once more after the offer under way is answered. */
  negotiate() {
    if (this.#isOffering) this.#wantsOffer = true;
    else this.#offer();
  }

  /** Publisher: a new offer with fresh ICE credentials; an unanswered one is forgotten. */
  restartIce() {
    this.#wantsRestart = true;
    this.#offer();
  }

  handleAnswer({ sdp, id }) {
    if (id && id !== this.#offerId) return;
    this.#run(async () => {
      if (this.pc.signalingState !== 'have-local-offer') return;
      await this.pc.setRemoteDescription({ type: 'answer', sdp });
      await this.#flushCandidates();
      clearTimeout(this.#answerTimer);
      this.hasNegotiated = true;
      this.#isOffering = false;
      this.emit('negotiated');
      if (this.#wantsOffer) this.#offer();
    });
  }

  /** Subscriber: answers; the answer echoes the offer's id. */
  handleOffer({ sdp, id = 0 }) {
    this.#run(async () => {
      await this.pc.setRemoteDescription({ type: 'offer', sdp });
      await this.#flushCandidates();
      await this.pc.setLocalDescription(await this.pc.createAnswer());
      this.hasNegotiated = true;
      this.#send('answer', { type: 'answer', sdp: this.pc.localDescription.sdp, id });
      this.emit('negotiated');
    });
  }

  handleCandidate(init) {
    this.#run(async () => {
      if (this.pc.remoteDescription) await this.pc.addIceCandidate(init);
      else this.#candidates.push(init);
    });
  }

  #offer() {
    this.#isOffering = true;
    this.#wantsOffer = false;
    this.#run(async () => {
      const iceRestart = this.#wantsRestart;
      this.#wantsRestart = false;
      await this.pc.setLocalDescription(await this.pc.createOffer({ iceRestart }));
      this.#offerId += 1;
      clearTimeout(this.#answerTimer);
      this.#answerTimer = setTimeout(() => this.emit('stalled'), ANSWER_TIMEOUT_MS);
      this.#send('offer', { type: 'offer', sdp: this.pc.localDescription.sdp, id: this.#offerId });
    });
  }

  #run(operation) {
    this.#chain = this.#chain.then(async () => {
      if (this.pc.signalingState === 'closed') return;
      try {
        await operation();
      } catch (error) {
        if (this.pc.signalingState === 'closed') return;
        console.error(`${this.#target.toLowerCase()} negotiation`, error);
        this.emit('stalled');
      }
    });
  }

  async #flushCandidates() {
    for (const init of this.#candidates.splice(0)) await this.pc.addIceCandidate(init);
  }

  #onCandidate(candidate) {
    const candidateInit = candidate ? JSON.stringify(candidate.toJSON()) : '';
    this.#send('trickle', { candidateInit, target: this.#target, final: !candidate });
  }
}
