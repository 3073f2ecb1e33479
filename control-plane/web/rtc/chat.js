// Owns the conversation: messages sent and received, in order of arrival, each once.
// Accepts chat packets and "lk.chat" text streams, which is how other SDKs send text.
// Must not know the DOM or the connection; it is handed bytes and a way to send bytes.

import { Emitter } from './emitter.js';
import { decodePacket, encodeChat } from './packet.js';

const TOPIC = 'lk.chat';
export const MAX_CHARACTERS = 4000;
const MAX_STREAMS = 64;
const MAX_STREAM_BYTES = 64 * 1024;
const MAX_MESSAGES = 1000;

export class Chat extends Emitter {
  messages = [];
  #streams = new Map();
  #received = new Map();
  #sequence = 0;

  /** Records a message as ours, and returns it. */
  compose(text) {
    const message = { id: crypto.randomUUID(), timestamp: Date.now(), message: text.slice(0, MAX_CHARACTERS) };
    this.#add({ ...message, identity: '', mine: true });
    return message;
  }

  /** A composed message as bytes for the reliable channel. */
  encode(message) {
    this.#sequence += 1;
    return encodeChat({ ...message, sequence: this.#sequence });
  }

  /** Takes one packet of a data channel; malformed ones are dropped. `from` sent it, where the packet does not say. */
  async receive(bytes, from = '') {
    let packet;
    try {
      packet = decodePacket(bytes);
    } catch {
      return;
    }
    packet.identity ||= from;
    if (this.#isRepeat(packet)) return;
    if (packet.kind === 'chat') this.#onChat(packet);
    else if (packet.kind === 'header') await this.#onHeader(packet);
    else if (packet.kind === 'chunk') this.#onChunk(packet);
    else if (packet.kind === 'trailer') this.#onTrailer(packet);
  }

  /** What we have of each sender's reliable packets, for a resume. */
  receiveStates() {
    return [...this.#received].map(([publisherSid, lastSeq]) => ({ publisherSid, lastSeq }));
  }

  /** A new session numbers its packets from 1 again. */
  restart() {
    this.#received.clear();
    this.#streams.clear();
    this.#sequence = 0;
  }

  #isRepeat({ sid, sequence }) {
    if (!sid || !sequence) return false;
    if (sequence <= (this.#received.get(sid) ?? 0)) return true;
    this.#received.set(sid, sequence);
    return false;
  }

  #onChat({ id, timestamp, message, deleted, edited, identity }) {
    const known = this.messages.find((other) => other.id === id && other.identity === identity);
    if (known && (deleted || edited)) {
      known.message = deleted ? '' : message;
      known.deleted = deleted;
      this.emit('change');
    } else if (!known && message && !deleted) {
      this.#add({ id, timestamp, message, identity, mine: false });
    }
  }

  async #onHeader({ id, topic, timestamp, identity, isText, inline, compressed }) {
    if (topic !== TOPIC || !isText) return;
    if (inline) {
      const bytes = compressed ? await inflate(inline) : inline;
      if (bytes) this.#onChat({ id, timestamp, identity, message: new TextDecoder().decode(bytes) });
      return;
    }
    if (compressed || this.#streams.size >= MAX_STREAMS) return;
    this.#streams.set(id, { timestamp, identity, chunks: new Map(), size: 0 });
  }

  #onChunk({ id, index, content, identity }) {
    const stream = this.#streams.get(id);
    if (!stream || stream.identity !== identity || stream.chunks.has(index)) return;
    stream.size += content.length;
    if (stream.size > MAX_STREAM_BYTES) this.#streams.delete(id);
    else stream.chunks.set(index, content);
  }

  #onTrailer({ id, reason, identity }) {
    const stream = this.#streams.get(id);
    if (!stream || stream.identity !== identity) return;
    this.#streams.delete(id);
    if (reason) return;
    const decoder = new TextDecoder();
    const parts = [...stream.chunks].sort(([a], [b]) => a - b);
    const message = parts.map(([, part]) => decoder.decode(part, { stream: true })).join('') + decoder.decode();
    this.#onChat({ id, timestamp: stream.timestamp, identity, message });
  }

  #add(message) {
    this.messages.push(message);
    if (this.messages.length > MAX_MESSAGES) this.messages.shift();
    this.emit('message', message);
    this.emit('change');
  }
}

/** Raw DEFLATE, bounded; undefined when it is not valid or too large. */
async function inflate(bytes) {
  try {
    const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader();
    const parts = [];
    let size = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size > MAX_STREAM_BYTES) return undefined;
      parts.push(value);
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  } catch {
    return undefined;
  }
}
