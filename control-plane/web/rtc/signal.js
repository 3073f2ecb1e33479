// Owns one signalling WebSocket: JSON text frames, one message kind per frame, keep-alive.
// Says when it closed; what to do about it is connection.js's business.

import { Emitter } from './emitter.js';

const OPEN_TIMEOUT_MS = 8000;
// Room for one segment lost on the way, or an answer that took longer than they did lately.
const PROBE_MS = 1000;
const PROBE_RTTS = 4;
const PROTOCOL = 17;

/** Why a WebSocket could not be opened; `status` is that of the validate call, 0 when unreachable. */
export class SignalRefused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
    // Some other 404, of a proxy while the service restarts, is worth another attempt.
    this.isRoomMissing = status === 404 && message.includes('room does not exist');
  }
}

export class Signal extends Emitter {
  rttMs = 0;
  #socket;
  #pingTimer;
  #deadTimer;
  #probeTimer;
  #isClosed = false;
  #pingTimeoutMs = 0;

  /**
   * Opens a WebSocket and waits for its first message; resolves to `{signal, kind, body}`.
   * `resume` is `{sid, reason}` for a reconnect. Rejects with SignalRefused.
   */
  static async open({ token, resume }) {
    const query = queryOf(token, resume);
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const signal = new Signal(new WebSocket(`${scheme}://${location.host}/rtc?${query}`));
    try {
      return await signal.#first();
    } catch {
      signal.close();
      throw await explain('/rtc/validate', query);
    }
  }

  constructor(socket) {
    super();
    this.#socket = socket;
    // The first frame tells the node's gateway that this session speaks JSON.
    socket.onopen = () => this.#ping();
    socket.onmessage = (event) => this.#onFrame(event.data);
    socket.onclose = () => this.#onClose();
  }

  get isOpen() {
    return !this.#isClosed && this.#socket.readyState === WebSocket.OPEN;
  }

  /** Sends one message; false when the WebSocket is gone. */
  send(kind, body) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify({ [kind]: body }));
    return true;
  }

  /** Starts pinging; after `timeoutS` without any message the WebSocket counts as dead. */
  keepAlive(intervalS, timeoutS) {
    this.#pingTimeoutMs = (timeoutS || 15) * 1000;
    clearInterval(this.#pingTimer);
    this.#pingTimer = setInterval(() => this.#ping(), (intervalS || 5) * 1000);
    this.#watch();
  }

  /** There is reason to think that the WebSocket is dead: it has a moment to show that it is not. */
  probe() {
    if (this.#probeTimer || !this.isOpen) return;
    this.#probeTimer = setTimeout(() => this.close(), Math.max(PROBE_MS, PROBE_RTTS * this.rttMs));
    this.#ping();
  }

  close() {
    this.#onClose();
    this.#socket.close();
  }

  #first() {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no first message')), OPEN_TIMEOUT_MS);
      const stopClose = this.on('close', () => reject(new Error('closed')));
      const stopMessage = this.on('message', (kind, body) => {
        if (kind === 'pongResp' || kind === 'pong') return;
        clearTimeout(timer);
        stopMessage();
        stopClose();
        resolve({ signal: this, kind, body });
      });
    });
  }

  #onFrame(data) {
    if (this.#isClosed || typeof data !== 'string') return;
    this.#watch();
    clearTimeout(this.#probeTimer);
    this.#probeTimer = undefined;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    for (const [kind, body] of Object.entries(message)) {
      if (kind === 'pongResp') this.rttMs = Math.max(0, Date.now() - Number(body.lastPingTimestamp ?? Date.now()));
      this.emit('message', kind, body);
    }
  }

  #onClose() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#pingTimer);
    clearTimeout(this.#deadTimer);
    clearTimeout(this.#probeTimer);
    this.emit('close');
  }

  #ping() {
    this.send('pingReq', { timestamp: String(Date.now()), rtt: String(this.rttMs) });
  }

  #watch() {
    if (!this.#pingTimeoutMs) return;
    clearTimeout(this.#deadTimer);
    this.#deadTimer = setTimeout(() => this.close(), this.#pingTimeoutMs);
  }
}

function queryOf(token, resume) {
  const query = new URLSearchParams({
    access_token: token,
    protocol: String(PROTOCOL),
    sdk: 'unknown',
    version: '0.1.0',
    encoding: 'json',
    auto_subscribe: '1',
    adaptive_stream: '1',
    ...platform(),
  });
  if (resume) {
    query.set('reconnect', '1');
    query.set('sid', resume.sid);
    query.set('reconnect_reason', String(REASONS[resume.reason] ?? 0));
  }
  return query;
}

const REASONS = { signal: 1, publisher: 2, subscriber: 3 };

function platform() {
  const agent = navigator.userAgent;
  const find = (table) => table.find(([pattern]) => pattern.test(agent));
  const browser = find([[/Firefox\/([\d.]+)/, 'firefox'], [/Chrome\/([\d.]+)/, 'chrome'], [/Version\/([\d.]+).*Safari/, 'safari']]);
  const os = find([[/iPhone|iPad/, 'ios'], [/Android/, 'android'], [/Windows/, 'windows'], [/Mac OS/, 'macos'], [/Linux/, 'linux']]);
  return {
    ...(browser && { browser: browser[1], browser_version: agent.match(browser[0])[1] }),
    ...(os && { os: os[1] }),
  };
}

/** A failed WebSocket upgrade tells a page nothing, so the validate endpoint is asked why. */
export async function explain(path, query) {
  try {
    const answer = await fetch(`${path}?${query}`, { signal: AbortSignal.timeout(4000) });
    const text = (await answer.text()).trim();
    return new SignalRefused(answer.ok ? 200 : answer.status, text);
  } catch {
    return new SignalRefused(0, '');
  }
}
