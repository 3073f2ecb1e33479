// Owns one WebSocket of the direct API (docs/direct.md): JSON messages with a `type`, and a sign of life.
// Says when it closed; what to do about it is direct.js's business.

import { Emitter } from './emitter.js';
import { explain } from './signal.js';

const OPEN_TIMEOUT_MS = 8000;
const PING_MS = 5000;
const DEAD_MS = 15000;

export class DirectSignal extends Emitter {
  rttMs = 0;
  #socket;
  #pingTimer;
  #deadTimer;
  #pingedAt = 0;
  #isClosed = false;

  /**
   * Opens a WebSocket and waits for its first message; resolves to `{signal, message}`. With `participant`,
   * an id, that stay is taken up again. Rejects with SignalRefused.
   */
  static async open({ token, participant }) {
    const query = new URLSearchParams({ access_token: token, sdk: 'page', ...(participant && { participant }) });
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const signal = new DirectSignal(new WebSocket(`${scheme}://${location.host}/direct?${query}`));
    try {
      return { signal, message: await signal.#first() };
    } catch {
      signal.close();
      throw await explain('/direct/validate', query);
    }
  }

  constructor(socket) {
    super();
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#onFrame(data);
    socket.onclose = () => this.#onClose();
    this.#pingTimer = setInterval(() => this.#ping(), PING_MS);
    this.#watch();
  }

  get isOpen() {
    return !this.#isClosed && this.#socket.readyState === WebSocket.OPEN;
  }

  /** Sends one message; false when the WebSocket is gone. */
  send(message) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  close() {
    this.#onClose();
    this.#socket.close();
  }

  #first() {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no first message')), OPEN_TIMEOUT_MS);
      const stopClose = this.on('close', () => reject(new Error('closed')));
      const stop = this.on('message', (message) => {
        clearTimeout(timer);
        stop();
        stopClose();
        resolve(message);
      });
    });
  }

  #onFrame(data) {
    if (this.#isClosed) return;
    this.#watch();
    const message = JSON.parse(data);
    if (message.type === 'pong') this.rttMs = performance.now() - this.#pingedAt;
    else this.emit('message', message);
  }

  #ping() {
    if (this.send({ type: 'ping' })) this.#pingedAt = performance.now();
  }

  #watch() {
    clearTimeout(this.#deadTimer);
    this.#deadTimer = setTimeout(() => this.close(), DEAD_MS);
  }

  #onClose() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#pingTimer);
    clearTimeout(this.#deadTimer);
    this.emit('close');
  }
}
