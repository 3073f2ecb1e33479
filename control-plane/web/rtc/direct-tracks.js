// Owns what the two of a direct call announce to each other: which tracks there are, and which of the received
// media is which (by stream id, the one name that both ends know). Pure state: no connection.

const MAX_TRACKS = 16;

export class DirectTracks {
  mine = [];
  theirs = [];
  /** Received media by stream and kind, each with the sid it goes by: "" while it has none. */
  #received = new Map();

  clear() {
    this.mine = [];
    this.theirs = [];
    this.#received.clear();
  }

  /** Announces a track of ours; returns it with its new sid. */
  add({ type, source, name, muted = false, width, height }, stream) {
    const track = { sid: `TR_${crypto.randomUUID()}`, type, source, name, muted, width, height, stream: stream.id };
    this.mine.push(track);
    return track;
  }

  change(sid, change) {
    Object.assign(this.mine.find((track) => track.sid === sid) ?? {}, change);
  }

  remove(sid) {
    this.mine = this.mine.filter((track) => track.sid !== sid);
  }

  /** Takes all that the other one announces; returns the media that goes by a new sid from now on. */
  take(tracks) {
    this.theirs = Array.isArray(tracks) ? tracks.slice(0, MAX_TRACKS).map(known) : [];
    const named = [...this.#received].filter(([key, { sid }]) => ![sid, ''].includes(this.#announced(key)));
    return named.map(([, { event }]) => event);
  }

  /** The sid of received media; "" while it is not announced. */
  sidOf(event) {
    const key = keyOf(event);
    const sid = this.#announced(key);
    this.#received.set(key, { event, sid });
    return sid;
  }

  #announced(key) {
    return this.theirs.find(({ stream, type }) => `${stream} ${type.toLowerCase()}` === key)?.sid ?? '';
  }

  /** Another client of the direct API announces nothing: what comes is a microphone or a camera. */
  guess(event) {
    const received = this.#received.get(keyOf(event));
    if (received?.event !== event || received.sid) return false;
    const stream = streamOf(event);
    const isVideo = event.track.kind === 'video';
    this.theirs.push(known({ sid: `TR_${event.transceiver.mid}`, stream, type: isVideo ? 'VIDEO' : 'AUDIO', source: isVideo ? 'CAMERA' : 'MICROPHONE' }));
    return true;
  }
}

/** Of other clients one stream may hold a microphone and a camera. */
function keyOf(event) {
  return `${streamOf(event)} ${event.track.kind}`;
}

function streamOf({ track, streams }) {
  return streams[0]?.id ?? track.id;
}

/** An announcement of the other page, with only what we know of. */
function known({ sid, type, source, name = '', muted = false, width = 0, height = 0, stream }) {
  return { sid: String(sid), type: String(type), source: String(source), name: String(name), muted: Boolean(muted), width: Number(width), height: Number(height), stream: String(stream) };
}
