// Owns livekit.DataPacket as this page uses it: the chat message it sends, and the chat
// message and text stream it understands. Everything else in a packet is ignored.
// Field numbers: livekit_models.proto.

import { Writer, readFields, stringIn, numberIn, bytesIn } from './protobuf.js';

const PACKET = { identity: 4, chat: 9, header: 13, chunk: 14, trailer: 15, sequence: 16, sid: 17 };
const CHAT = { id: 1, timestamp: 2, edited: 3, message: 4, deleted: 5 };
const HEADER = { id: 1, timestamp: 2, topic: 3, text: 9, inline: 11, compression: 12 };
const CHUNK = { id: 1, index: 2, content: 3 };
const TRAILER = { id: 1, reason: 2 };

/** Bytes of a reliable packet with one chat message; `timestamp` in milliseconds. */
export function encodeChat({ id, timestamp, message, sequence }) {
  const chat = new Writer()
    .string(CHAT.id, id)
    .varint(CHAT.timestamp, timestamp)
    .string(CHAT.message, message)
    .finish();
  return new Writer().bytes(PACKET.chat, chat).varint(PACKET.sequence, sequence).finish();
}

/**
 * A packet as `{identity, sid, sequence, kind, …}` where kind is "chat", "header", "chunk",
 * "trailer" or "other". Throws RangeError on malformed bytes.
 */
export function decodePacket(bytes) {
  const fields = readFields(bytes);
  const packet = {
    identity: stringIn(fields, PACKET.identity),
    sid: stringIn(fields, PACKET.sid),
    sequence: numberIn(fields, PACKET.sequence),
    kind: 'other',
  };
  const body = (field) => bytesIn(fields, field);
  if (body(PACKET.chat)) return { ...packet, kind: 'chat', ...chatOf(body(PACKET.chat)) };
  if (body(PACKET.header)) return { ...packet, kind: 'header', ...headerOf(body(PACKET.header)) };
  if (body(PACKET.chunk)) return { ...packet, kind: 'chunk', ...chunkOf(body(PACKET.chunk)) };
  if (body(PACKET.trailer)) return { ...packet, kind: 'trailer', ...trailerOf(body(PACKET.trailer)) };
  return packet;
}

function chatOf(bytes) {
  const fields = readFields(bytes);
  return {
    id: stringIn(fields, CHAT.id),
    timestamp: numberIn(fields, CHAT.timestamp),
    edited: numberIn(fields, CHAT.edited) > 0,
    message: stringIn(fields, CHAT.message),
    deleted: numberIn(fields, CHAT.deleted) > 0,
  };
}

function headerOf(bytes) {
  const fields = readFields(bytes);
  return {
    id: stringIn(fields, HEADER.id),
    timestamp: numberIn(fields, HEADER.timestamp),
    topic: stringIn(fields, HEADER.topic),
    isText: fields.has(HEADER.text),
    inline: bytesIn(fields, HEADER.inline),
    compressed: numberIn(fields, HEADER.compression) > 0,
  };
}

function chunkOf(bytes) {
  const fields = readFields(bytes);
  return {
    id: stringIn(fields, CHUNK.id),
    index: numberIn(fields, CHUNK.index),
    content: bytesIn(fields, CHUNK.content) ?? new Uint8Array(),
  };
}

function trailerOf(bytes) {
  const fields = readFields(bytes);
  return { id: stringIn(fields, TRAILER.id), reason: stringIn(fields, TRAILER.reason) };
}
