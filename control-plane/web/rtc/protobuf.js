// Owns the protobuf wire format, as little of it as the data channels need: varints and
// length-delimited fields. Knows no message; packet.js does.
// Reference: https://protobuf.dev/programming-guides/encoding/

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const text = { encode: new TextEncoder(), decode: new TextDecoder() };

/** Appends fields to a growing list of bytes; proto3 defaults (0, "", empty) are left out. */
export class Writer {
  #bytes = [];

  varint(field, value) {
    const number = BigInt(value);
    if (number === 0n) return this;
    this.#tag(field, VARINT);
    this.#raw(number);
    return this;
  }

  string(field, value) {
    return value ? this.bytes(field, text.encode.encode(value)) : this;
  }

  bytes(field, value) {
    this.#tag(field, BYTES);
    this.#raw(BigInt(value.length));
    for (const byte of value) this.#bytes.push(byte);
    return this;
  }

  finish() {
    return Uint8Array.from(this.#bytes);
  }

  #tag(field, type) {
    this.#raw(BigInt((field << 3) | type));
  }

  #raw(number) {
    let rest = BigInt.asUintN(64, number);
    while (rest > 0x7fn) {
      this.#bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.#bytes.push(Number(rest));
  }
}

/**
 * Reads a message into a Map: field number to the list of its values in order of arrival
 * (BigInt for varints, Uint8Array for everything else). Throws RangeError on bytes that
 * are cut short or use a wire type that proto3 does not have.
 */
export function readFields(bytes) {
  const fields = new Map();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (at >= bytes.length) throw new RangeError('varint is cut short');
      const byte = bytes[at];
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new RangeError('varint is too long');
  };
  const take = (length) => {
    if (length > bytes.length - at) throw new RangeError('field is cut short');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const type = tag & 7;
    let value;
    if (type === VARINT) value = varint();
    else if (type === BYTES) value = take(Number(varint()));
    else if (type === FIXED64) value = take(8);
    else if (type === FIXED32) value = take(4);
    else throw new RangeError(`wire type ${type}`);
    const field = tag >>> 3;
    if (!fields.has(field)) fields.set(field, []);
    fields.get(field).push(value);
  }
  return fields;
}

const last = (fields, field) => fields.get(field)?.at(-1);

/** The string in `field`, "" when absent or not a string. */
export function stringIn(fields, field) {
  const value = last(fields, field);
  return value instanceof Uint8Array ? text.decode.decode(value) : '';
}

/** The number in `field`, 0 when absent; 64-bit values are read as signed. */
export function numberIn(fields, field) {
  const value = last(fields, field);
  return typeof value === 'bigint' ? Number(BigInt.asIntN(64, value)) : 0;
}

/** The bytes in `field`, or undefined when absent. */
export function bytesIn(fields, field) {
  const value = last(fields, field);
  return value instanceof Uint8Array ? value : undefined;
}
