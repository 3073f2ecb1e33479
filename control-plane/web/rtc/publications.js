// Owns what we publish: one publication per source, announced before it is negotiated, muted
// and unmuted in place, announced anew after a full reconnect.
// Must not open devices: it is handed MediaStreamTracks.
//
// Events: "change", "refused"(sentence), "removed"(source), "mute"(source, isMuted) on the room's request.

import { Emitter } from './emitter.js';
import { applyWanted, cameraPlan, directPlan, preferVp8, screenPlan, wantedRids } from './encodings.js';
import { requestSentence } from './reasons.js';

const ANNOUNCE_TIMEOUT_MS = 10000;

export class Publications extends Emitter {
  bySource = new Map();
  #connection;
  #waiting = new Map();
  #wanted = new Map();

  constructor(connection) {
    super();
    this.#connection = connection;
  }

  /** From now on everything is announced to another connection; what is published already is not. */
  use(connection) {
    this.#connection = connection;
  }

  bySid(sid) {
    return [...this.bySource.values()].find((publication) => publication.sid === sid);
  }

  /** Announces and sends `track`. Rejects when the room does not accept it. */
  async publish(source, track, isMuted = false) {
    const publication = { source, kind: track.kind, track, cid: track.id, sid: '', info: undefined, isMuted };
    this.bySource.set(source, publication);
    try {
      await this.#announce(publication);
    } catch (error) {
      if (this.bySource.get(source) === publication) this.bySource.delete(source);
      this.emit('change');
      throw error;
    }
    return publication;
  }

  async #announce(publication) {
    const { track, cid } = publication;
    const connection = this.#connection;
    const plan = planOf(publication, connection.isDirect);
    const answer = this.#answerTo(cid);
    const stream = new MediaStream([track]);
    connection.send('addTrack', announcementOf(publication, plan), stream);
    const info = await answer;
    publication.sid = info.sid;
    publication.info = info;
    const { pc } = connection.publisher;
    publication.transceiver = pc.addTransceiver(track, {
      direction: 'sendonly',
      streams: [stream],
      ...(plan && { sendEncodings: plan.encodings }),
    });
    if (publication.kind === 'video') preferVp8(publication.transceiver);
    connection.publisher.negotiate();
    const wanted = this.#wanted.get(info.sid);
    if (wanted) await applyWanted(publication.transceiver.sender, wanted);
    this.emit('change');
  }

  /** Says whether a publication is muted; with `track` also what it now sends (null: nothing). */
  async setMuted(source, isMuted, track) {
    const publication = this.bySource.get(source);
    if (!publication) return;
    publication.isMuted = isMuted;
    if (track !== undefined) await this.replaceTrack(source, track);
    if (publication.sid) this.#connection.send('mute', { sid: publication.sid, muted: isMuted });
    this.emit('change');
  }

  /** Sends another device's track in place of the present one. */
  async replaceTrack(source, track) {
    const publication = this.bySource.get(source);
    if (!publication) return;
    publication.track = track ?? undefined;
    await publication.transceiver?.sender.replaceTrack(track);
  }

  unpublish(source) {
    const publication = this.bySource.get(source);
    if (!publication) return;
    this.bySource.delete(source);
    if (publication.transceiver) {
      this.#connection.publisher.pc.removeTrack(publication.transceiver.sender);
      this.#connection.publisher.negotiate();
    }
    this.#connection.withdrawn(publication.sid);
    this.emit('change');
  }

  /** After a full reconnect: what has a track is announced again, what has none is forgotten. */
  async republish() {
    const former = [...this.bySource.values()];
    this.#wanted.clear();
    for (const [cid, { reject }] of this.#waiting) {
      this.#waiting.delete(cid);
      reject(new Error('reconnecting'));
    }
    this.bySource.clear();
    this.emit('change');
    const live = former.filter(({ track }) => track?.readyState === 'live');
    await Promise.allSettled(live.map(({ source, track, isMuted }) => this.publish(source, track, isMuted)));
  }

  /** Takes the messages that concern publications; true when `kind` was one of them. */
  handle(kind, body) {
    if (kind === 'trackPublished') this.#settle(body.cid, ({ resolve }) => resolve(body.track ?? {}));
    else if (kind === 'trackUnpublished') this.#onUnpublished(body.trackSid);
    else if (kind === 'subscribedQualityUpdate') this.#onWanted(body);
    else if (kind === 'mute') this.#onMute(body);
    else if (kind === 'requestResponse') this.#onResponse(body);
    else return false;
    return true;
  }

  /** `publishTracks` of a sync state. */
  describe() {
    return [...this.bySource.values()]
      .filter(({ info }) => info)
      .map(({ cid, info, isMuted }) => ({ cid, track: { ...info, muted: isMuted } }));
  }

  #answerTo(cid) {
    return new Promise((resolve, reject) => {
      this.#waiting.set(cid, { resolve, reject });
      const expire = () => this.#settle(cid, (waiting) => waiting.reject(new Error('The meeting did not answer. Please try again.')));
      setTimeout(expire, ANNOUNCE_TIMEOUT_MS);
    });
  }

  #settle(cid, action) {
    const waiting = this.#waiting.get(cid);
    this.#waiting.delete(cid);
    if (waiting) action(waiting);
  }

  #onUnpublished(sid) {
    const publication = this.bySid(sid);
    if (!publication) return;
    this.unpublish(publication.source);
    this.emit('removed', publication.source);
  }

  #onWanted(update) {
    const wanted = wantedRids(update);
    this.#wanted.set(update.trackSid, wanted);
    const sender = this.bySid(update.trackSid)?.transceiver?.sender;
    if (sender) applyWanted(sender, wanted).catch((error) => console.warn('encodings', error));
  }

  #onMute({ sid, muted = false }) {
    const publication = this.bySid(sid);
    if (publication && publication.isMuted !== muted) this.emit('mute', publication.source, muted);
  }

  #onResponse(response) {
    const sentence = requestSentence(response);
    if (!sentence) return;
    const cid = response.addTrack?.cid;
    if (cid && this.#waiting.has(cid)) this.#settle(cid, ({ reject }) => reject(new Error(sentence)));
    else this.emit('refused', sentence);
  }
}

function planOf({ source, kind, track }, isDirect) {
  if (kind !== 'video') return undefined;
  const { width = 1280, height = 720 } = track.getSettings();
  const plan = source === 'SCREEN_SHARE' ? screenPlan : isDirect ? directPlan : cameraPlan;
  return { width, height, ...plan(width, height) };
}

const NAMES = { CAMERA: 'camera', MICROPHONE: 'microphone', SCREEN_SHARE: 'screen', SCREEN_SHARE_AUDIO: 'screen audio' };

function announcementOf({ source, kind, cid, isMuted }, plan) {
  const request = { cid, name: NAMES[source], type: kind.toUpperCase(), source, muted: isMuted };
  if (!plan) {
    const isScreen = source === 'SCREEN_SHARE_AUDIO';
    return { ...request, disableRed: isScreen, disableDtx: isScreen };
  }
  const codecs = [{ codec: 'vp8', cid, layers: plan.layers }];
  return { ...request, width: plan.width, height: plan.height, layers: plan.layers, simulcastCodecs: codecs };
}
